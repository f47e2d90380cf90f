import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StackError } from "../core/index.ts";
import type { ContainerId } from "../core/index.ts";
import { addressing, allocate, freeSubnet4, localPrefix6 } from "./allocate.ts";
import type { Taken } from "./allocate.ts";
import { contains, formatPrefix, overlaps, parseIp, parsePrefix } from "./ip.ts";
import type { Prefix } from "./ip.ts";
import type { EndpointRequest, NetworkRecord, NetworkRequest } from "./types.ts";
import { uplinkFor } from "./uplink.ts";

const prefix = (text: string): Prefix => {
  const found = parsePrefix(text);
  if (found === undefined) throw new Error(text);
  return found;
};
const taken = (...texts: readonly string[]): readonly Prefix[] => texts.map(prefix);
const request = (more: Partial<NetworkRequest> = {}): NetworkRequest => ({
  name: "app", project: null, key: null, configHash: "", labels: {}, driverOptions: {}, internal: false, enableIpv4: true, enableIpv6: false, ipam: [], ...more,
});
const pool = (more: Partial<NetworkRequest["ipam"][number]>): NetworkRequest["ipam"] => [{ auxAddresses: {}, ...more }];
const code = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof StackError) return error.code;
    throw error;
  }
  return "no error";
};

describe("default subnets", () => {
  it("come in Docker's order", () => {
    expect(formatPrefix(freeSubnet4([]))).toBe("172.17.0.0/16");
    expect(formatPrefix(freeSubnet4(taken("172.17.0.0/16", "172.18.5.0/24", "172.19.0.1/32")))).toBe("172.20.0.0/16");
    expect(formatPrefix(freeSubnet4(taken("172.16.0.0/12", "192.168.1.0/24")))).toBe("192.168.16.0/20");
    expect(code(() => freeSubnet4(taken("172.16.0.0/12", "192.168.0.0/16")))).toBe("address-pool-exhausted");
  });

  it("never overlap anything that is taken", () => {
    const any = fc.tuple(fc.bigInt({ min: 0xac100000n, max: 0xac1fffffn }), fc.integer({ min: 14, max: 32 })).map(([value, length]) => prefix(`${Number(value >> 24n)}.${Number((value >> 16n) & 255n)}.${Number((value >> 8n) & 255n)}.${Number(value & 255n)}/${length}`));
    fc.assert(
      fc.property(fc.array(any, { maxLength: 20 }), (list) => {
        const found = freeSubnet4(list);
        expect(list.some((other) => overlaps(found, other))).toBe(false);
      }),
    );
  });

  it("of IPv6 are unique local, by data root, and leave the uplink's alone", () => {
    const a = localPrefix6("/var/lib/stack");
    expect(formatPrefix(a)).toMatch(/^fd.*\/48$/);
    expect(localPrefix6("/srv/other")).not.toEqual(a);
    const place = addressing(request({ enableIpv6: true }), "/var/lib/stack", [], []);
    expect(contains(a, prefix(place.subnet6 ?? ""))).toBe(true);
    expect(place.gateway6).toMatch(/::1$/);
  });
});

describe("a network's own wishes", () => {
  it("are kept: subnet, gateway, range, reserved addresses", () => {
    expect(addressing(request({ ipam: pool({ subnet: "10.5.0.0/24", gateway: "10.5.0.254", ipRange: "10.5.0.128/25", auxAddresses: { nas: "10.5.0.9" } }) }), "/r", [], [])).toEqual({
      subnet4: "10.5.0.0/24", gateway4: "10.5.0.254", range4: "10.5.0.128/25", reserved: ["10.5.0.9"],
    });
    expect(addressing(request({ ipam: [...pool({ subnet: "10.5.0.0/24" }), ...pool({ subnet: "fd01::/64" })] }), "/r", [], [])).toMatchObject({ subnet4: "10.5.0.0/24", subnet6: "fd01::/64", gateway6: "fd01::1" });
  });

  const ours: readonly Taken[] = [{ prefix: prefix("10.5.0.0/16"), network: "other" }];
  it.each<[string, NetworkRequest["ipam"], string]>([
    ["no prefix", pool({ subnet: "10.5.0.0" }), "model-invalid"],
    ["too small", pool({ subnet: "10.9.0.0/31" }), "model-invalid"],
    ["a gateway elsewhere", pool({ subnet: "10.9.0.0/24", gateway: "10.8.0.1" }), "model-invalid"],
    ["a range elsewhere", pool({ subnet: "10.9.0.0/24", ipRange: "10.9.1.0/25" }), "model-invalid"],
    ["a reserved address elsewhere", pool({ subnet: "10.9.0.0/24", auxAddresses: { x: "1.1.1.1" } }), "model-invalid"],
    ["another network's", pool({ subnet: "10.5.3.0/24" }), "address-taken"],
    ["two of a family", [...pool({ subnet: "10.9.0.0/24" }), ...pool({ subnet: "10.10.0.0/24" })], "unsupported"],
  ])("are refused with their name: %s", (_what, ipam, expected) => {
    expect(code(() => addressing(request({ ipam }), "/r", ours, []))).toBe(expected);
  });
});

const id = (n: number): ContainerId => n.toString(16).padStart(64, "0") as ContainerId;
const record = (more: Partial<NetworkRecord> = {}): NetworkRecord => ({
  version: 1, id: "a".repeat(64), name: "app", project: null, key: null, configHash: "", labels: {}, driver: "bridge", internal: false, bridge: "br-a", mtu: 1500,
  subnet4: "10.5.0.0/29", gateway4: "10.5.0.1", reserved: [], createdAt: "", endpoints: {}, ...more,
});
const give = (network: NetworkRecord, container: ContainerId, more: Partial<EndpointRequest> = {}): NetworkRecord => ({
  ...network,
  endpoints: { ...network.endpoints, [container]: allocate(network, { network: network.id, container, ...more }, () => "shop-db-1") },
});

describe("a container's address", () => {
  it("is the lowest that is free, its MAC follows from it, and both stay when asked again", () => {
    const one = give(give(record({ reserved: ["10.5.0.3"] }), id(1)), id(2));
    expect([one.endpoints[id(1)]?.ipv4, one.endpoints[id(2)]?.ipv4]).toEqual(["10.5.0.2", "10.5.0.4"]);
    expect(one.endpoints[id(2)]?.mac).toBe("02:42:0a:05:00:04");
    expect(give(one, id(1)).endpoints[id(1)]).toEqual(one.endpoints[id(1)]);
    expect(one.endpoints[id(1)]?.peer).toMatch(/^v-[0-9a-f]{12}$/);
  });

  it("may be given; a conflict names who has it", () => {
    const one = give(record(), id(1), { ipv4: "10.5.0.5", mac: "02:00:00:00:00:01" });
    expect(one.endpoints[id(1)]).toMatchObject({ ipv4: "10.5.0.5", mac: "02:00:00:00:00:01" });
    expect(() => give(one, id(2), { ipv4: "10.5.0.5" })).toThrow(/10\.5\.0\.5.*"app".*shop-db-1/);
    expect(give(one, id(1), { ipv4: "10.5.0.5" }).endpoints[id(1)]?.ipv4).toBe("10.5.0.5");
    for (const ipv4 of ["10.5.0.0", "10.5.0.1", "10.5.0.7"]) expect(code(() => give(one, id(2), { ipv4 })), ipv4).toBe("address-taken");
    expect(code(() => give(one, id(2), { ipv4: "10.6.0.1" }))).toBe("model-invalid");
    expect(code(() => give(one, id(2), { ipv6: "fd00::5" }))).toBe("model-invalid");
  });

  it("when none is left, says where", () => {
    let network = record();
    for (let n = 1; n <= 5; n += 1) network = give(network, id(n));
    expect(() => give(network, id(6))).toThrow(/"app".*10\.5\.0\.0\/29/);
  });

  it("comes from the range, fixed ones from the whole subnet", () => {
    const network = record({ subnet4: "10.5.0.0/24", range4: "10.5.0.128/25" });
    expect(give(network, id(1)).endpoints[id(1)]?.ipv4).toBe("10.5.0.128");
    expect(give(network, id(1), { ipv4: "10.5.0.9" }).endpoints[id(1)]?.ipv4).toBe("10.5.0.9");
  });

  it("exists for IPv6 too, and alone", () => {
    const both = record({ subnet6: "fd00::/64", gateway6: "fd00::1" });
    const bare = Object.fromEntries(Object.entries(both).filter(([key]) => !key.endsWith("4"))) as unknown as NetworkRecord;
    expect(give(bare, id(1)).endpoints[id(1)]).toMatchObject({ ipv6: "fd00::2", mac: "02:42:00:00:00:02" });
    expect(give(both, id(1)).endpoints[id(1)]).toMatchObject({ ipv4: "10.5.0.2", ipv6: "fd00::2" });
  });

  it("is nobody else's, whatever comes and goes", () => {
    const step = fc.record({ n: fc.nat(20), come: fc.boolean(), fixed: fc.option(fc.integer({ min: 0, max: 31 }), { nil: undefined }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let network = record({ subnet4: "10.5.0.0/27", reserved: ["10.5.0.20"] });
        for (const { n, come, fixed } of steps) {
          if (come) {
            try {
              network = give(network, id(n), fixed === undefined ? {} : { ipv4: `10.5.0.${fixed}` });
            } catch (error) {
              if (!(error instanceof StackError)) throw error;
            }
          } else {
            network = { ...network, endpoints: Object.fromEntries(Object.entries(network.endpoints).filter(([holder]) => holder !== id(n))) };
          }
          const held = Object.values(network.endpoints).map((e) => e.ipv4 ?? "");
          expect(new Set(held).size).toBe(held.length);
          for (const ip of held) {
            expect(contains(prefix("10.5.0.0/27"), parseIp(ip) ?? { family: 6, value: 0n })).toBe(true);
            expect(["10.5.0.0", "10.5.0.1", "10.5.0.20", "10.5.0.31"]).not.toContain(ip);
          }
        }
      }),
    );
  });
});

describe("the uplink", () => {
  it("has names that fit, and addresses that nothing else has", () => {
    const first = uplinkFor("/var/lib/stack", "boot", 1500, taken("169.254.0.0/16"));
    expect(first.link).toMatch(/^stk[0-9a-f]{10}$/);
    expect(contains(prefix("169.254.64.0/18"), parseIp(first.host4) ?? { family: 6, value: 0n })).toBe(true);
    const second = uplinkFor("/var/lib/stack", "boot", 1500, taken(`${first.host4}/30`));
    expect(overlaps(prefix(`${first.host4}/30`), prefix(`${second.host4}/30`))).toBe(false);
    expect(second.link).toBe(first.link);
  });
});
