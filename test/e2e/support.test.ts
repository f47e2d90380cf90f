import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openMachine } from "../support/machine.ts";
import type { Machine } from "../support/machine.ts";

let machine: Machine;
beforeAll(async () => {
  machine = await openMachine();
});
afterAll(async () => machine.destroy());

const inside = (...argv: string[]) => execFileSync(machine.network.enter[0]!, [...machine.network.enter.slice(1), ...argv]);

test("the sweep finds nothing on a fresh machine", async () => {
  expect(await machine.remains()).toEqual([]);
});

test("the sweep sees a process that works for the data root", async () => {
  const left = machine.command(["sleep", "60"]);
  await new Promise((resolve) => setImmediate(resolve));
  expect((await machine.remains()).join("\n")).toMatch(/process \d+: .*sleep 60/);
  left.signal("SIGKILL");
  await left.ended;
  expect(await machine.remains()).toEqual([]);
});

test("the sweep sees a mount, and a process in a mount namespace that shows files of a container", async () => {
  const target = join(machine.root, "containers", "a".repeat(12));
  mkdirSync(target);
  execFileSync("mount", ["-t", "tmpfs", "none", target]);
  expect(await machine.remains()).toContain(`mount ${target}`);
  execFileSync("umount", [target]);
  rmdirSync(target);
  expect(await machine.remains()).toEqual([]);
});

test("the sweep sees links and nftables tables", async () => {
  inside("ip", "link", "add", "left0", "type", "bridge");
  inside("nft", "add", "table", "inet", "stack_left");
  expect(await machine.remains()).toEqual(["link left0", "nftables table inet stack_left"]);
  inside("ip", "link", "del", "left0");
  inside("nft", "delete", "table", "inet", "stack_left");
});

test("the sweep sees the cgroup of a container that was there once", async () => {
  const id = "0123456789abcdef0123";
  const hierarchy = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].find((d) => existsSync(join(d, "cgroup.procs")))!;
  const path = join(hierarchy, "stack", id);
  const container = join(machine.root, "containers", id);
  mkdirSync(path, { recursive: true });
  mkdirSync(container);
  rmdirSync(container);
  await machine.sweep.noted(id);
  expect(await machine.remains()).toContain(`cgroup ${path}`);
  rmdirSync(path);
});

test("the sweep sees files of projects and, unless they may stay, volumes", async () => {
  for (const name of ["projects", "volumes"]) mkdirSync(join(machine.root, name, "left"), { recursive: true });
  writeFileSync(join(machine.root, "root.json"), "{}");
  expect(await machine.remains()).toEqual([`file ${machine.root}/projects/left`, `file ${machine.root}/volumes/left`]);
  expect(await machine.remains({ volumes: true })).toEqual([`file ${machine.root}/projects/left`]);
  for (const name of ["projects", "volumes"]) rmdirSync(join(machine.root, name, "left"));
});

test("nothing of a machine can reach another network", async () => {
  await expect(machine.network.tcp({ host: "192.0.2.1", port: 80 })).rejects.toThrow(/ENETUNREACH/);
  await machine.network.listen({ port: 4000, answer: "here " });
  expect(await machine.network.tcp({ port: 4000 })).toBe("here ::ffff:127.0.0.1".replace("::ffff:", ""));
  await machine.network.unlisten(4000);
});
