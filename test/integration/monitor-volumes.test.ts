import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, linkSync, lstatSync, mkdirSync, readFileSync, readlinkSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MonitorWorld } from "./monitor/container.ts";
import type { TestContainer } from "./monitor/container.ts";

let world: MonitorWorld;
let volume: string;
beforeEach(() => {
  world = new MonitorWorld();
  volume = join(world.root, "volume");
  mkdirSync(volume, { mode: 0o755 });
  const data = join(world.rootfs, "data");
  mkdirSync(join(data, "sub"), { recursive: true });
  writeFileSync(join(data, "sub/file"), "content");
  chmodSync(join(data, "sub/file"), 0o4751);
  chownSync(join(data, "sub/file"), 1000, 50);
  chmodSync(join(data, "sub/file"), 0o4751);
  execFileSync("python3", ["-c", "import os,sys; os.setxattr(sys.argv[1], 'user.note', b'kept')", join(data, "sub/file")]);
  linkSync(join(data, "sub/file"), join(data, "same"));
  symlinkSync("/etc/passwd", join(data, "link"));
  execFileSync("mkfifo", [join(data, "pipe")]);
  chownSync(data, 7, 8);
  chmodSync(data, 0o1770);
});
afterEach(() => world.dispose());

function container(target = "/data"): TestContainer {
  return world.container({ args: ["true"], spec: { populate: [{ target, source: volume }] } });
}

test("an empty volume gets the image's content with owner, mode, attributes and links", async () => {
  await container().started();
  const file = statSync(join(volume, "sub/file"));
  expect([file.uid, file.gid, file.mode & 0o7777, file.nlink]).toEqual([1000, 50, 0o4751, 2]);
  expect(statSync(join(volume, "same")).ino).toBe(file.ino);
  expect(readFileSync(join(volume, "same"), "utf8")).toBe("content");
  expect(execFileSync("python3", ["-c", "import os,sys; print(os.getxattr(sys.argv[1], 'user.note').decode())", join(volume, "same")], { encoding: "utf8" })).toBe("kept\n");
  expect(readlinkSync(join(volume, "link"))).toBe("/etc/passwd");
  expect(lstatSync(join(volume, "pipe")).isFIFO()).toBe(true);
  const root = statSync(volume);
  expect([root.uid, root.gid, root.mode & 0o7777]).toEqual([7, 8, 0o1770]);
});

test("a volume that holds something is left alone", async () => {
  writeFileSync(join(volume, "mine"), "");
  await container().started();
  expect(readdirSync(volume)).toEqual(["mine"]);
});

test("a target that the image lacks leaves the volume empty", async () => {
  await container("/nothing").started();
  expect(readdirSync(volume)).toEqual([]);
});

test("a link in the image leads nowhere outside of it", async () => {
  symlinkSync("../../../../../../etc", join(world.rootfs, "evil"));
  writeFileSync(join(world.rootfs, "etc/only-here"), "");
  await container("/evil").started();
  expect(existsSync(join(volume, "only-here"))).toBe(true);
  expect(existsSync(join(volume, "hostname"))).toBe(false);
});
