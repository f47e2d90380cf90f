import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findCredentials } from "./credentials.ts";

let home: string;
beforeEach(() => (home = mkdtempSync(join(tmpdir(), "stack-credentials-"))));
afterEach(() => rmSync(home, { recursive: true }));

const base64 = (text: string): string => Buffer.from(text).toString("base64");

function configure(config: unknown): void {
  mkdirSync(join(home, ".docker"), { recursive: true });
  writeFileSync(join(home, ".docker", "config.json"), typeof config === "string" ? config : JSON.stringify(config));
}

/** A helper that answers with `answer` to the server it is asked about. */
function helper(name: string, script: string): void {
  mkdirSync(join(home, "bin"), { recursive: true });
  const path = join(home, "bin", `docker-credential-${name}`);
  writeFileSync(path, `#!/bin/sh\nread -r server\n${script}\n`);
  chmodSync(path, 0o755);
}

const find = (host: string) => findCredentials(host, { HOME: home, PATH: `${join(home, "bin")}:${process.env["PATH"] ?? ""}` }, AbortSignal.timeout(5000));

test("without a file nobody is logged in", async () => {
  expect(await find("ghcr.io")).toEqual({});
});

test.each([["ghcr.io"], ["https://ghcr.io"], ["https://ghcr.io/v1/"], ["http://ghcr.io"]])("an entry under %s is ghcr.io's", async (key) => {
  configure({ auths: { [key]: { auth: base64("me:pass:word") }, "other.io": { auth: base64("x:y") } } });
  expect(await find("ghcr.io")).toEqual({ credentials: { kind: "password", username: "me", password: "pass:word" } });
  expect(await find("evil-ghcr.io")).toEqual({});
});

test("Docker Hub's entry has the key of its first version", async () => {
  configure({ auths: { "https://index.docker.io/v1/": { auth: base64("me:hub") } } });
  expect(await find("docker.io")).toEqual({ credentials: { kind: "password", username: "me", password: "hub" } });
});

test("identity and registry tokens, and name and password in clear", async () => {
  configure({ auths: { a: { identitytoken: "id", auth: base64("x:") }, b: { registrytoken: "reg" }, "c:1": { username: "u", password: "p" }, d: {} } });
  expect(await find("a")).toEqual({ credentials: { kind: "identity", token: "id" } });
  expect(await find("b")).toEqual({ credentials: { kind: "bearer", token: "reg" } });
  expect(await find("c:1")).toEqual({ credentials: { kind: "password", username: "u", password: "p" } });
  expect(await find("d")).toEqual({});
});

test("DOCKER_CONFIG names another directory", async () => {
  writeFileSync(join(home, "config.json"), JSON.stringify({ auths: { a: { auth: base64("u:p") } } }));
  expect(await findCredentials("a", { DOCKER_CONFIG: home }, AbortSignal.timeout(5000))).toMatchObject({ credentials: { username: "u" } });
});

test("a host's own helper goes before the general one, and that before the file", async () => {
  helper("own", 'echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"own\\",\\"Secret\\":\\"$server\\"}"');
  helper("all", 'echo "{\\"Username\\":\\"all\\",\\"Secret\\":\\"$server\\"}"');
  configure({ credsStore: "all", credHelpers: { "ghcr.io": "own" }, auths: { "ghcr.io": { auth: base64("file:x") } } });
  expect(await find("ghcr.io")).toEqual({ credentials: { kind: "password", username: "own", password: "ghcr.io" } });
  expect(await find("docker.io")).toEqual({ credentials: { kind: "password", username: "all", password: "https://index.docker.io/v1/" } });
});

test("the helper's user <token> means an identity token", async () => {
  helper("t", 'echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"refresh\\"}"');
  configure({ credsStore: "t" });
  expect(await find("a")).toEqual({ credentials: { kind: "identity", token: "refresh" } });
});

test("a helper that knows nothing leaves it to the file, then to nobody", async () => {
  helper("none", 'echo "credentials not found in native keychain"; exit 1');
  configure({ credsStore: "none", auths: { a: { auth: base64("u:p") } } });
  expect(await find("a")).toMatchObject({ credentials: { username: "u" } });
  expect(await find("b")).toEqual({});
});

test("what is broken is a reason, not a failure, and never contains the secret", async () => {
  configure({ credsStore: "missing" });
  expect((await find("a")).problem).toContain("docker-credential-missing cannot be run (ENOENT)");
  helper("bad", "echo s3cret-but-no-json");
  configure({ credsStore: "bad" });
  expect((await find("a")).problem).toBe("the credential helper docker-credential-bad answered something that is no credential");
  helper("err", 'echo "locked"; exit 3');
  configure({ credsStore: "err" });
  expect((await find("a")).problem).toContain("failed: locked");
  configure({ credsStore: "../../evil" });
  expect((await find("a")).problem).toContain("no valid name");
  configure('{"auths": {"a": {"auth": "s3cret"');
  expect((await find("a")).problem).toMatch(/^(?!.*s3cret).*is not valid JSON$/);
  configure({ auths: { a: { auth: base64("nocolon") } } });
  expect((await find("a")).problem).toContain("malformed");
});

test("waiting for a helper ends with the signal", async () => {
  helper("slow", "exec sleep 60");
  configure({ credsStore: "slow" });
  const stop = new AbortController();
  const asked = findCredentials("a", { HOME: home, PATH: `${join(home, "bin")}:${process.env["PATH"] ?? ""}` }, stop.signal);
  stop.abort();
  await expect(asked).rejects.toMatchObject({ code: "cancelled" });
});
