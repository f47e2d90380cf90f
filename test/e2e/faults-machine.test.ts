import { execFileSync } from "node:child_process";
import { appendFileSync, chmodSync, existsSync, mkdirSync, readdirSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Layout, tar } from "../support/images/index.ts";
import type { TarEntry } from "../support/images/index.ts";
import { repository, useMachine } from "../support/machine.ts";
import { Registry } from "../support/registry.ts";

const used = useMachine({ images: true });
const web = (more: string, image = "busybox:1") => `services:\n  web:\n    image: ${image}\n    command: [sleep, "1000"]\n${more}`;

async function refused(args: readonly string[], file: string) {
  const machine = used.current;
  machine.write("compose.yaml", file);
  const result = await machine.stack(...args);
  expect(result.code, result.output).not.toBe(0);
  expect(result.output).not.toMatch(/^\s+at .*\.(js|ts):\d+/m);
  return result;
}

async function clean(options = {}) {
  await used.current.ok("down", "-v");
  expect(await used.current.remains(options)).toEqual([]);
}

describe("ports", () => {
  test("a port that another program holds is refused, with its number and the holder's name", async () => {
    const machine = used.current;
    const port = await machine.network.listen({ port: 0 });
    const { stderr } = await refused(["up", "-d"], web(`    ports: ["${port}:80"]\n`));
    expect(stderr).toContain(String(port));
    expect(stderr).toContain("node");
    expect(stderr).toContain(String(machine.network.pid));
    await machine.network.unlisten(port);
    await machine.ok("up", "-d"); // what was in the way is gone: the same command succeeds
    await clean();
  });

  test("a port that another stack holds is refused, with that stack's name", async () => {
    const machine = used.current;
    machine.write("compose.yaml", web('    ports: ["7070:80"]\n'));
    await machine.ok("-p", "first", "up", "-d");
    const second = await machine.stack("-p", "second", "up", "-d");
    expect(second.code).not.toBe(0);
    expect(second.stderr).toContain("7070");
    expect(second.stderr).toContain("first");
    await machine.ok("-p", "second", "down");
    await machine.ok("-p", "first", "down");
    expect(await machine.remains()).toEqual([]);
  });
});

describe("registries", () => {
  test("an image that is not there: registry, name and tag are named", async () => {
    await using registry = await Registry.start(used.current, { port: 5001 });
    await registry.push("busybox:1");
    const missing = await refused(["up", "-d"], web("", `${registry.address}/no/such:9`));
    expect(missing.stderr).toContain(`${registry.address}/no/such:9`);
    expect(missing.stderr).toMatch(/no image|not found/i);
    const tag = await refused(["pull"], web("", `${registry.address}/busybox:9`));
    expect(tag.stderr).toContain(`${registry.address}/busybox:9`);
    await clean();
  });

  test("a registry that is down is named with its address", async () => {
    const { stderr } = await refused(["up", "-d"], web("", "127.0.0.1:5999/web:1"));
    expect(stderr).toContain("127.0.0.1:5999");
    expect(stderr).toMatch(/refused|unreachable|cannot/i);
    await clean();
  });

  test("a registry that wants a password says so, and takes the one of the Docker configuration", async () => {
    const machine = used.current;
    await using registry = await Registry.start(machine, { port: 5002, users: { ada: "lovelace" } });
    const reference = await registry.push("busybox:1", { credentials: "ada:lovelace" });
    const { stderr } = await refused(["pull"], web("", reference));
    expect(stderr).toMatch(/login|credential|authori/i);
    machine.write("../home/.docker/config.json", JSON.stringify({ auths: { [registry.address]: { auth: Buffer.from("ada:lovelace").toString("base64") } } }));
    await machine.ok("pull");
    machine.write("../home/.docker/config.json", JSON.stringify({ auths: { [registry.address]: { auth: Buffer.from("ada:wrong").toString("base64") } } }));
    const wrong = await machine.start(["pull"]).ended;
    expect(wrong.output).not.toContain("wrong");
    await clean();
  });

  test("a layer whose bytes are not what its digest says is refused, and nothing of it is kept", async () => {
    const machine = used.current;
    await using registry = await Registry.start(machine, { port: 5003 });
    const reference = await registry.push("redis:7", { as: "tampered:1" });
    const blobs = execFileSync("find", [registry.storage, "-path", "*/blobs/*", "-name", "data", "-size", "+100k"], { encoding: "utf8" }).trim().split("\n");
    for (const blob of blobs) {
      const { size } = statSync(blob);
      truncateSync(blob, size - 4096);
      appendFileSync(blob, Buffer.alloc(4096, 7));
    }
    const empty = join(machine.scratch, "empty");
    machine.write("compose.yaml", web("", reference));
    const { code, stderr } = await machine.start(["pull"], { env: { STACK_ROOT: empty } }).ended;
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/digest|sha256/);
    for (const part of ["layers", "tmp", "images"]) expect(existsSync(join(empty, part)) ? readdirSync(join(empty, part)).filter((n) => !/lock|\.use$/.test(n)) : [], part).toEqual([]);
  });
});

describe("hostile layers", () => {
  const outside = () => join(used.current.scratch, "outside");
  const cases: readonly (readonly [string, (target: string) => readonly TarEntry[]])[] = [
    ["climbs out by ..", (target) => [{ path: `../../../../../../../..${target}/evil`, content: "x" }]],
    ["names an absolute path", (target) => [{ path: `${target}/evil`, content: "x" }]],
    ["writes through a link that it made before", (target) => [{ path: "way", type: "symlink", link: target }, { path: "way/evil", content: "x" }]],
    ["makes a hard link to a file outside", () => [{ path: "shadow", type: "hardlink", link: "../../../../../../etc/shadow" }]],
  ];
  for (const [name, entries] of cases) {
    test(`a layer that ${name} touches nothing outside`, async () => {
      const machine = used.current;
      mkdirSync(outside(), { recursive: true });
      const layout = new Layout(join(machine.scratch, `hostile-${name.replaceAll(" ", "-")}`));
      layout.image("hostile:1", [layout.layer(tar(entries(outside())))], { Cmd: ["/bin/true"] });
      const result = await machine.stack("load", "-i", layout.directory);
      expect(readdirSync(outside())).toEqual([]);
      if (result.code !== 0) expect(result.stderr).toMatch(/layer|hostile|archive/i);
      expect(result.output).not.toMatch(/^\s+at .*\.js:\d+/m);
    });
  }

  test("a layer that swells without end is stopped", async () => {
    const machine = used.current;
    const layout = new Layout(join(machine.scratch, "truncated"));
    layout.image("short:1", [layout.layer(tar([{ path: "big", content: "only this", claimedSize: 1 << 30 }]))], { Cmd: ["/big"] });
    const { code, stderr } = await machine.stack("load", "-i", layout.directory);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/truncated|ends|unexpected/i);
  });
});

describe("the machine's own limits", () => {
  test("a full disk is said to be full, and the next command works", async () => {
    const machine = used.current;
    const small = join(machine.scratch, "small");
    mkdirSync(small);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "none", small]);
    try {
      await using registry = await Registry.start(machine, { port: 5004 });
      machine.write("compose.yaml", web("", await registry.push("nginx:1")));
      const result = await machine.start(["pull"], { env: { STACK_ROOT: small } }).ended;
      expect(result.code).not.toBe(0);
      expect(result.stderr).toMatch(/no space/i);
      expect(readdirSync(join(small, "tmp")), "what was half pulled is gone").toEqual([]);
      expect((await machine.start(["images"], { env: { STACK_ROOT: small } }).ended).code).toBe(0);
    } finally {
      execFileSync("umount", ["-l", small]);
    }
  });

  test("a user without the right to the data root is told so, with what to do", async () => {
    const machine = used.current;
    machine.write("compose.yaml", web(""));
    for (const directory of [machine.scratch, machine.directory]) chmodSync(directory, 0o755);
    const argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", process.execPath, join(repository, "dist/stack.js"), "up", "-d"];
    const result = await machine.command(argv).ended;
    expect(result.code).not.toBe(0);
    expect(result.stderr).toMatch(/permission|root/i);
    expect(result.stderr).not.toMatch(/^\s+at /m);
  });

  test("a kernel without what containers need is told by the name of what is missing", async () => {
    const machine = used.current;
    machine.write("compose.yaml", web("    mem_limit: 20m\n"));
    // No cgroups at all, as inside some other container: what the file asks for cannot be had.
    const program = `mount -t tmpfs none /sys/fs/cgroup && exec ${process.execPath} ${join(repository, "dist/stack.js")} up -d`;
    const result = await machine.command(["unshare", "--mount", "sh", "-c", program]).ended;
    expect(result.code).not.toBe(0);
    expect(result.output).toMatch(/cgroup/);
    await clean();
  });
});
