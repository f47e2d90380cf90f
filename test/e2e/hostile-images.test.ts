/** Images whose configuration wants harm: refused with a reason, or carried out inside the container; never a mark on the host. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect, test } from "vitest";
import { tar } from "../support/images/tar.ts";
import type { TarEntry } from "../support/images/tar.ts";
import { useMachine } from "../support/machine.ts";
import type { Finished } from "../support/command.ts";

const used = useMachine({ images: true });
let busybox: Buffer;
let outside: string;

beforeAll(() => {
  const { root, scratch } = used.current;
  const [binary] = execFileSync("find", [join(root, "layers"), "-type", "f", "-name", "busybox", "-size", "+100k"], { encoding: "utf8" }).split("\n");
  busybox = readFileSync(binary ?? "");
  outside = join(scratch, "outside");
  mkdirSync(outside);
  used.current.write("compose.yaml", "name: hostile\nservices:\n  a: {image: 'hostile:1', init: true}\n");
});

afterEach(async () => {
  await used.current.ok("down", "-v", "-t", "0", "--remove-orphans");
  expect(await used.current.remains()).toEqual([]);
  expect(readdirSync(outside), "nothing was made outside of the container").toEqual([]);
});

/** A docker-archive of one image with busybox, what else it is to have, and that configuration. */
function archive(config: object, entries: readonly TarEntry[] = [], diffIds?: readonly string[]): string {
  const machine = used.current;
  const layer = tar([{ path: "bin/", type: "directory" }, { path: "bin/busybox", content: busybox, mode: 0o755 }, { path: "bin/sh", type: "symlink", link: "busybox" }, ...entries]);
  const document = { os: "linux", architecture: "amd64", config, rootfs: { type: "layers", diff_ids: diffIds ?? [`sha256:${createHash("sha256").update(layer).digest("hex")}`] } };
  const path = join(machine.directory, "hostile.tar");
  writeFileSync(path, tar([{ path: "manifest.json", content: JSON.stringify([{ Config: "config.json", RepoTags: ["hostile:1"], Layers: (diffIds ?? [""]).map(() => "0.tar") }]) }, { path: "config.json", content: JSON.stringify(document) }, { path: "0.tar", content: layer }]));
  return path;
}

/** Loads it, and runs a command of it. */
async function run(config: object, script: string, entries: readonly TarEntry[] = []): Promise<Finished> {
  const machine = used.current;
  await machine.ok("load", "-i", archive(config, entries));
  return machine.stack("run", "--rm", "-T", "a", "/bin/busybox", "sh", "-c", script);
}

test("a WorkingDir behind a link that leads out is made inside, or not at all", async () => {
  for (const target of [outside, `../../../../../../../..${outside}`]) {
    const { output } = await run({ WorkingDir: "/work/made" }, "busybox pwd; echo > here; echo done", [{ path: "work", type: "symlink", link: target }]);
    expect(output).toMatch(/done|working directory/i);
    expect(readdirSync(outside)).toEqual([]);
  }
});

test("a volume behind a link that leads out is mounted inside", async () => {
  const { code, output } = await run({ Volumes: { "/data/volume": {} } }, "echo kept > /data/volume/file && busybox cat /data/volume/file", [{ path: "data", type: "symlink", link: outside }]);
  expect(code, output).toBe(0);
  expect(output).toContain("kept");
});

test.each(["-1", "4294967296", "2147483648", "root:nosuchgroup", "0x0", "nobody\n", ":-5"])("the User %j is refused by name", async (User) => {
  const { code, output } = await run({ User }, "echo runs");
  expect(code).not.toBe(0);
  expect(output).toMatch(/user|group/i);
  expect(output).not.toMatch(/^runs$/m);
});

test("an environment larger than the kernel takes is said to be that", async () => {
  const { code, output } = await run({ Env: Array.from({ length: 200_000 }, (_, n) => `VARIABLE_${n}=1`) }, "echo runs");
  expect(code).not.toBe(0);
  expect(output).toMatch(/argument list too long|E2BIG/i);
});

test("ports that are none, and all ports at once, harm neither the start nor `ps`", async () => {
  const machine = used.current;
  await machine.ok("load", "-i", archive({ ExposedPorts: { x: {}, "99999/tcp": {}, "80/banana": {}, "-1": {}, "8080/tcp": {}, "1-65535/udp": {} }, Cmd: ["/bin/busybox", "sleep", "1000"] }));
  await machine.ok("up", "-d");
  expect((await machine.ok("ps", "--format", "{{.Ports}}")).trim()).toMatch(/^1-\d{3}\/udp, 8080\/tcp$/);
});

test.each([
  ["no name", { Env: ["=x", "PLAIN", "A=1"], Cmd: ["/bin/busybox", "env"] }, 0, /A=1/],
  ["an empty entrypoint", { Entrypoint: [""], Cmd: ["x"] }, 127, /not found|empty/i],
  ["a stop signal that is none", { StopSignal: "SIGNOTHING", Cmd: ["/bin/busybox", "true"] }, 1, /SIGNOTHING/],
])("%s", async (_what, config, status, said) => {
  const machine = used.current;
  await machine.ok("load", "-i", archive(config));
  const { code, output } = await machine.stack("run", "--rm", "-T", "a");
  expect(code, output).toBe(status);
  expect(output).toMatch(said);
});

test("ten thousand layers are refused before one is unpacked", async () => {
  const digest = (n: number): string => `sha256:${n.toString(16).padStart(64, "0")}`;
  const { code, output, ms } = await used.current.stack("load", "-i", archive({}, [], Array.from({ length: 10_000 }, (_, n) => digest(n))));
  expect(code).toBe(1);
  expect(output).toContain("lists 10000 layers; the kernel lays at most 499 over each other");
  expect(ms).toBeLessThan(20_000);
});
