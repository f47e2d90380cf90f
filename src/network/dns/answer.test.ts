import { describe, expect, it } from "vitest";
import type { DnsView } from "../types.ts";
import { decide, reverseAddress } from "./answer.ts";
import { RCODE, TYPE } from "./codec.ts";
import { parseResolvConf } from "./resolv-conf.ts";
import { formatIp } from "../ip.ts";

const view: DnsView = {
  entries: [
    { name: "shop-web-1", ipv4: "172.18.0.2" },
    { name: "web", ipv4: "172.18.0.2" },
    { name: "web", ipv4: "172.18.0.3" },
    { name: "web", ipv4: "172.18.0.3" },
    { name: "db", ipv4: "172.18.0.4", ipv6: "fd00::4" },
  ],
  upstreams: [],
  internal: false,
};

const ask = (name: string, type: number, turn = 0, seen: DnsView = view, cls = 1): string => {
  const decision = decide(seen, { name, type, class: cls, end: 0 }, () => turn);
  if (decision.kind === "forward") return "forward";
  const { rcode, records } = decision.answer;
  return `${rcode} ${records.map((r) => (r.type === TYPE.PTR ? r.target : [...r.address].join("."))).join(" ")}`.trim();
};

describe("what a container is told", () => {
  it("names replicas in turn, each once", () => {
    expect(ask("web", TYPE.A, 0)).toBe("0 172.18.0.2 172.18.0.3");
    expect(ask("WEB", TYPE.A, 1)).toBe("0 172.18.0.3 172.18.0.2");
    expect(ask("web", TYPE.A, 2)).toBe("0 172.18.0.2 172.18.0.3");
  });

  it.each([
    ["no data, not no name, for a name of ours", "web", TYPE.AAAA, "0"],
    ["the same for other types", "web", 65, "0"],
    ["IPv6 where there is one", "db", TYPE.AAAA, "0 253.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4"],
    ["names below ours are not ours", "x.web", TYPE.A, "forward"],
    ["strangers are asked for outside", "example.org", TYPE.A, "forward"],
    ["the name of an address", "2.0.18.172.in-addr.arpa", TYPE.PTR, "0 shop-web-1"],
    ["of an IPv6 address", `4.${"0.".repeat(27)}0.0.d.f.ip6.arpa`, TYPE.PTR, "0 db"],
    ["other people's addresses are asked for outside", "1.0.0.10.in-addr.arpa", TYPE.PTR, "forward"],
    ["localhost stays here", "localhost", TYPE.A, "0 127.0.0.1"],
    ["no zone transfers", "web", TYPE.AXFR, `${RCODE.REFUSED}`],
  ])("%s", (_what, name, type, expected) => {
    expect(ask(name, type)).toBe(expected);
  });

  it("never asks outside for a container of internal networks alone", () => {
    expect(ask("example.org", TYPE.A, 0, { ...view, internal: true })).toBe(`${RCODE.NXDOMAIN}`);
    expect(ask("web", TYPE.A, 0, { ...view, internal: true })).toBe("0 172.18.0.2 172.18.0.3");
  });

  it("refuses other classes", () => {
    expect(ask("version.bind", 16, 0, view, 3)).toBe(`${RCODE.REFUSED}`);
  });

  it("reads reverse names", () => {
    const text = (name: string): string | undefined => {
      const ip = reverseAddress(name);
      return ip === undefined ? undefined : formatIp(ip);
    };
    expect(text("1.2.3.4.IN-ADDR.ARPA")).toBe("4.3.2.1");
    expect(text("2.3.4.in-addr.arpa")).toBeUndefined();
    expect(text("1.ip6.arpa")).toBeUndefined();
  });
});

describe("resolv.conf", () => {
  it("gives the nameservers in order, with zones, without what is no address", () => {
    expect(parseResolvConf("# x\nnameserver 127.0.0.53\n options edns0\nsearch a b\n nameserver\tfe80::1%eth0\nnameserver nonsense\n;nameserver 9.9.9.9\n")).toEqual(["127.0.0.53", "fe80::1%eth0"]);
  });
});
