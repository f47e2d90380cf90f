import { expect, test } from "vitest";
import { StackError } from "../core/index.ts";
import { familiarReference, formatReference, parseReference } from "./reference.ts";

const hex = "a".repeat(64);

test.each([
  ["redis", "docker.io/library/redis:latest", "redis:latest"],
  ["redis:7", "docker.io/library/redis:7", "redis:7"],
  ["bitnami/redis", "docker.io/bitnami/redis:latest", "bitnami/redis:latest"],
  ["docker.io/redis:7", "docker.io/library/redis:7", "redis:7"],
  ["index.docker.io/library/redis:7", "docker.io/library/redis:7", "redis:7"],
  ["registry-1.docker.io/library/redis:7", "docker.io/library/redis:7", "redis:7"],
  ["docker.io/a/b/c:1", "docker.io/a/b/c:1", "a/b/c:1"],
  ["localhost/app", "localhost/app:latest", "localhost/app:latest"],
  ["localhost:5000/app:v1.2-rc.1_x", "localhost:5000/app:v1.2-rc.1_x", "localhost:5000/app:v1.2-rc.1_x"],
  ["127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest", "127.0.0.1:5000/a/b:latest"],
  ["[::1]:5000/app:1", "[::1]:5000/app:1", "[::1]:5000/app:1"],
  ["ghcr.io/Org".toLowerCase() + "/x", "ghcr.io/org/x:latest", "ghcr.io/org/x:latest"],
  ["LOCAL/app", "LOCAL/app:latest", "LOCAL/app:latest"],
  [`redis@sha256:${hex}`, `docker.io/library/redis@sha256:${hex}`, `redis@sha256:${hex}`],
  [`redis:7@sha256:${hex}`, `docker.io/library/redis:7@sha256:${hex}`, `redis:7@sha256:${hex}`],
  ["a__b/c-d---e.f", "docker.io/a__b/c-d---e.f:latest", "a__b/c-d---e.f:latest"],
])("%s is %s", (text, normal, familiar) => {
  expect(formatReference(parseReference(text))).toBe(normal);
  expect(familiarReference(normal)).toBe(familiar);
  expect(formatReference(parseReference(normal))).toBe(normal);
});

test.each([
  ["", "empty"],
  ["Redis", "lower-case"],
  ["ghcr.io/Org/x", "lower-case"],
  ["https://ghcr.io/x", "URL"],
  ["redis:", "tag"],
  ["redis:a b", "tag"],
  [`redis:${"x".repeat(129)}`, "tag"],
  ["a//b", "empty part"],
  ["/a", "may not|empty|host"],
  ["a/", "empty part"],
  ["-a", "may not"],
  ["a..b", "may not"],
  [".hidden/x", "host"],
  ["../../etc/passwd", "host|may not"],
  ["host.name/../../x", "may not"],
  ["a".repeat(256), "255"],
  [hex, "image id"],
  ["redis@sha256:abc", "digest"],
  [`redis@sha512:${hex}${hex}`, "only sha256"],
  ["redis\n7", "may not"],
  ["redis?x=1", "may not"],
  ["host:99x/a", "host"],
])("%j is refused: %s", (text, why) => {
  let error: unknown;
  try {
    parseReference(text);
  } catch (e) {
    error = e;
  }
  expect(error).toBeInstanceOf(StackError);
  expect((error as StackError).code).toBe("image-reference-invalid");
  expect((error as StackError).message).toMatch(new RegExp(why));
});
