import { describe, expect, it } from "vitest";
import { dropsByPolicy, isOurs, missingAccepts, openings } from "./foreign.ts";
import type { Chain, ListedRule } from "./kernel.ts";
import { driverOptions } from "./options.ts";

const chain = (more: Partial<Chain>): Chain => ({ family: "ip", table: "filter", chain: "FORWARD", type: "filter", hook: 2, priority: 0, policy: 0, ...more });
const none = (): boolean => false;
const where = (chains: readonly Chain[]): readonly string[] => {
  const found = openings(chains, none, dropsByPolicy);
  return [...found.openings.map((o) => `${o.family} ${o.table} ${o.chain}`), ...found.unknown.map((o) => `? ${o.family} ${o.table} ${o.chain}`)];
};
const jumped: Chain = { family: "ip", table: "filter", chain: "DOCKER-USER", type: "", priority: 0, policy: 1 };

describe("where other people's filters are opened", () => {
  it.each<[string, readonly Chain[], readonly string[]]>([
    ["ufw's FORWARD", [chain({}), chain({ family: "ip6" })], ["ip filter FORWARD", "ip6 filter FORWARD"]],
    ["Docker's chain for users, where there is one", [chain({}), jumped, chain({ family: "ip6" })], ["ip filter DOCKER-USER", "ip6 filter FORWARD"]],
    ["nowhere where the policy is accept", [chain({ policy: 1 })], []],
    ["nowhere but at the forward hook", [chain({ hook: 1, chain: "INPUT" })], []],
    ["firewalld's", [chain({ family: "inet", table: "firewalld", chain: "filter_FORWARD" })], ["inet firewalld filter_FORWARD"]],
    ["nowhere in what is unknown", [chain({ family: "inet", table: "mine", chain: "fw" })], ["? inet mine fw"]],
    ["not in bridge filters", [chain({ family: "bridge" })], []],
  ])("%s", (_what, chains, expected) => expect(where(chains)).toEqual(expected));
});

describe("our rules among theirs", () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const rule = (key: number, name: string): ListedRule => ({ handle: 1, expressions: [{ kind: "meta", key }, { kind: "cmp", value: bytes(name) }, { kind: "counter" }, { kind: "immediate", verdict: 1 }] });

  it("are known by the link's name alone", () => {
    expect(isOurs(rule(6, "stk0123456789\0\0"), "stk0123456789", "in")).toBe(true);
    expect(isOurs(rule(6, "stk0123456789\0"), "stk0123456789", "out")).toBe(false);
    expect(isOurs(rule(6, "stk01234567890\0"), "stk0123456789")).toBe(false);
    expect(isOurs({ handle: 1, expressions: [] }, "stk0123456789")).toBe(false);
  });

  it("are added once for each direction", () => {
    const opening = { family: "ip", table: "filter", chain: "FORWARD" } as const;
    expect(missingAccepts([], opening, "stkx").length).toBe(2);
    expect(missingAccepts([rule(6, "stkx\0")], opening, "stkx").length).toBe(1);
    expect(missingAccepts([rule(6, "stkx\0"), rule(7, "stkx\0")], opening, "stkx").length).toBe(0);
  });
});

describe("driver options", () => {
  const request = (driverOptionsGiven: Readonly<Record<string, string>>, driver?: string) => ({
    name: "app", project: null, key: null, configHash: "", labels: {}, driverOptions: driverOptionsGiven, internal: false, enableIpv4: true, enableIpv6: false, ipam: [], ...(driver === undefined ? {} : { driver }),
  });

  it("do what they say, or say that they do not", () => {
    expect(driverOptions(request({ "com.docker.network.driver.mtu": "1400" }))).toEqual({ mtu: 1400, warnings: [] });
    expect(driverOptions(request({ "com.docker.network.bridge.name": "x", "org.example": "1" })).warnings).toHaveLength(2);
    for (const [name, value] of [["com.docker.network.driver.mtu", "big"], ["com.docker.network.bridge.enable_icc", "false"]] as const)
      expect(() => driverOptions(request({ [name]: value })), name).toThrow(/not supported/);
    for (const driver of ["overlay", "macvlan", "host"]) expect(() => driverOptions(request({}, driver))).toThrow(new RegExp(driver));
  });
});
