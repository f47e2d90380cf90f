import { expect, test } from "vitest";
import { isExempt, proxyFor } from "./proxy.ts";

const url = new URL("https://registry.example.com:5000/v2/");

test("the proxy of the scheme is used, lower case first", () => {
  expect(proxyFor(url, { HTTPS_PROXY: "http://up:3128", https_proxy: "http://low:3128" })?.url.host).toBe("low:3128");
  expect(proxyFor(url, { HTTPS_PROXY: "up:3128" })?.url.host).toBe("up:3128");
  expect(proxyFor(url, { HTTP_PROXY: "http://up:3128" })).toBeUndefined();
  expect(proxyFor(new URL("http://a.b/"), { HTTP_PROXY: "http://up:3128" })?.url.host).toBe("up:3128");
  expect(proxyFor(url, {})).toBeUndefined();
});

test("its login goes into a header and out of the URL", () => {
  const proxy = proxyFor(url, { HTTPS_PROXY: "http://me:p%40ss@up:3128" });
  expect(proxy?.headers).toEqual({ "proxy-authorization": `Basic ${Buffer.from("me:p@ss").toString("base64")}` });
  expect(proxy?.url.href).toBe("http://up:3128/");
});

test("a proxy that we cannot speak to is named", () => {
  expect(() => proxyFor(url, { HTTPS_PROXY: "socks5://up:1080" })).toThrow("socks5");
  expect(() => proxyFor(url, { HTTPS_PROXY: "http://:bad" })).toThrow("no URL");
});

test.each([
  ["https://registry.example.com:5000/", "example.com", true],
  ["https://registry.example.com:5000/", ".example.com", true],
  ["https://registry.example.com:5000/", "*.example.com", true],
  ["https://registry.example.com:5000/", "ample.com", false],
  ["https://registry.example.com:5000/", "other.org, registry.example.com:5000", true],
  ["https://registry.example.com:5000/", "registry.example.com:443", false],
  ["https://registry.example.com/", "registry.example.com:443", true],
  ["https://registry.example.com/", "*", true],
  ["https://10.1.2.3/", "10.0.0.0/8", true],
  ["https://11.1.2.3/", "10.0.0.0/8", false],
  ["https://10.1.2.3/", "10.1.2.3", true],
  ["https://10.1.2.3/", "2.3", false],
  ["https://[fd00::1]/", "fd00::1", true],
  ["https://localhost:5000/", "", true],
  ["https://127.0.0.2:5000/", "", true],
  ["https://[::1]:5000/", "", true],
])("%s with NO_PROXY=%s: %s", (target, list, exempt) => {
  expect(isExempt(new URL(target), list)).toBe(exempt);
});
