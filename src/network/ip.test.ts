import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesOf, contains, formatIp, formatPrefix, lastOf, overlaps, parseIp, parsePrefix, prefixOf } from "./ip.ts";

const round = (text: string): string | undefined => {
  const ip = parseIp(text);
  return ip === undefined ? undefined : formatIp(ip);
};

describe("addresses", () => {
  it.each([
    ["10.0.0.1", "10.0.0.1"],
    ["::", "::"],
    ["::1", "::1"],
    ["FD00:0:0:1:0:0:0:1", "fd00:0:0:1::1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["::ffff:10.0.0.1", "::ffff:a00:1"],
  ])("%s reads as %s (RFC 5952)", (text, expected) => expect(round(text)).toBe(expected));

  it.each(["", "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::g", "fe80::1%eth0", "1.2.3.4/8"])("%s is none", (text) =>
    expect(parseIp(text)).toBeUndefined(),
  );

  it("what is written reads as the same, for every address", () => {
    const ips = fc.oneof(
      fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }).map((value) => ({ family: 4 as const, value })),
      fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((value) => ({ family: 6 as const, value })),
      fc.array(fc.nat(3), { minLength: 8, maxLength: 8 }).map((groups) => ({ family: 6 as const, value: groups.reduce((v, g) => (v << 16n) | BigInt(g > 1 ? g : 0), 0n) })),
    );
    fc.assert(
      fc.property(ips, (ip) => {
        expect(parseIp(formatIp(ip))).toEqual(ip);
        expect(bytesOf(ip).reduce((v, b) => (v << 8n) | BigInt(b), 0n)).toBe(ip.value);
      }),
    );
  });
});

describe("prefixes", () => {
  const prefix = fc.tuple(fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }), fc.nat(32)).map(([value, length]) => prefixOf({ family: 4, value }, length));

  it("drop host bits, and refuse lengths that are none", () => {
    expect(formatPrefix(parsePrefix("10.1.2.3/16") ?? { family: 4, value: 0n, length: 0 })).toBe("10.1.0.0/16");
    for (const text of ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "::/129", "/8", "10.0.0.0/"]) expect(parsePrefix(text), text).toBeUndefined();
  });

  it("overlap exactly when one holds the other's first address", () => {
    fc.assert(
      fc.property(prefix, prefix, (a, b) => {
        expect(overlaps(a, b)).toBe(contains(a, { family: 4, value: b.value }) || contains(b, { family: 4, value: a.value }));
        expect(overlaps(a, b)).toBe(overlaps(b, a));
        expect(contains(a, b)).toBe(contains(a, { family: 4, value: b.value }) && contains(a, { family: 4, value: lastOf(b) }));
      }),
    );
  });
});
