import { isIP } from "node:net";
import fc from "fast-check";
import { it } from "vitest";
import { ipVersion } from "./addresses.ts";

it("knows an IP address as Node does", () => {
  const odd = fc.array(fc.constantFrom("0", "1", "25", "255", "256", "01", "1000", ".", "..", ":", "::", "f", "%eth0", "-1", " ", "\n", "٣"), { maxLength: 12 }).map((parts) => parts.join(""));
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), odd, fc.string()), (text) => ipVersion(text) === isIP(text)), { numRuns: 2000 });
});
