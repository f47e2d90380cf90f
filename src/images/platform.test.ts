import { expect, test } from "vitest";
import { choosePlatform, formatPlatform, hostPlatform, parsePlatform, satisfies } from "./platform.ts";

test.each([
  ["linux/amd64", "linux/amd64"],
  ["linux/x86_64", "linux/amd64"],
  ["amd64", "linux/amd64"],
  ["linux/aarch64", "linux/arm64"],
  ["linux/arm64/v8", "linux/arm64"],
  ["linux/arm", "linux/arm/v7"],
  ["linux/arm/6", "linux/arm/v6"],
  ["linux/armhf", "linux/arm/v7"],
  ["Linux/AMD64/v1", "linux/amd64"],
  ["linux/amd64/v3", "linux/amd64/v3"],
  ["windows/amd64", "windows/amd64"],
])("%s is %s", (text, normal) => {
  expect(formatPlatform(parsePlatform(text))).toBe(normal);
});

test.each([[""], ["a/b/c/d"], ["linux/"], ["linux/amd 64"]])("%j is refused", (text) => {
  expect(() => parsePlatform(text)).toThrow(/is not a platform/);
});

test("this machine's name is the registries'", () => {
  expect(formatPlatform(hostPlatform("x64"))).toBe("linux/amd64");
  expect(formatPlatform(hostPlatform("arm64"))).toBe("linux/arm64");
  expect(formatPlatform(hostPlatform("arm"))).toBe("linux/arm/v7");
});

const offers = (...texts: string[]) => texts.map((text) => ({ text, platform: parsePlatform(text) }));

test.each([
  ["linux/amd64", ["linux/arm64", "linux/386", "linux/amd64"], "linux/amd64"],
  ["linux/amd64", ["linux/arm64", "linux/386"], "linux/386"],
  ["linux/amd64", ["windows/amd64", "linux/arm64"], undefined],
  ["linux/amd64", ["linux/amd64/v3", "linux/amd64/v2"], undefined],
  ["linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v2"],
  ["linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm64"], "linux/arm/v6"],
  ["linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], "linux/arm/v5"],
  ["linux/arm/v5", ["linux/arm/v7"], undefined],
  ["linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], "linux/arm64/v8"],
  ["linux/arm64", ["linux/arm/v7"], "linux/arm/v7"],
  ["linux/riscv64", ["linux/riscv64"], "linux/riscv64"],
])("a machine of %s takes of %j: %s", (wanted, available, chosen) => {
  expect(choosePlatform(offers(...available), parsePlatform(wanted))?.text).toBe(chosen);
});

test("an image without platform is not chosen, and the first of equals is", () => {
  const wanted = parsePlatform("linux/amd64");
  expect(choosePlatform([{ n: 0 }, { n: 1, platform: wanted }, { n: 2, platform: wanted }] as { n: number; platform?: typeof wanted }[], wanted)?.n).toBe(1);
  expect(satisfies(parsePlatform("linux/arm64"), wanted)).toBe(false);
});
