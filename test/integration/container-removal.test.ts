import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseHostPath, paths, readMounts } from "../../src/core/index.ts";
import type { ContainerId, DataRoot } from "../../src/core/index.ts";
import { loadNative } from "../../src/native/index.ts";
import { image, input } from "../../src/runtime/fixtures.ts";
import { FORMAT_VERSION, openContainers, toMonitorSpec, toOciConfig } from "../../src/runtime/index.ts";
import type { ContainerStore } from "../../src/runtime/index.ts";

const native = loadNative();
let root: DataRoot;
let store: ContainerStore;
let outside: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  root = { root: parseHostPath(mkdtempSync("/var/tmp/stack-removal-"))! };
  outside = mkdtempSync("/var/tmp/stack-outside-");
  store = openContainers(root, native);
});
afterEach(() => {
  child?.kill("SIGKILL");
  rmSync(root.root, { recursive: true });
  rmSync(outside, { recursive: true });
});

async function make(project: string): Promise<ContainerId> {
  await using creation = await store.reserve(`${project}-web-1`);
  const { id, directory } = creation;
  const of = { ...input(), id, project };
  await creation.commit({
    record: {
      version: FORMAT_VERSION, id, name: `${project}-web-1`, project, service: "web", number: 1, oneoff: false, createdAt: new Date(0).toISOString(), configHash: "h", labels: {},
      command: ["x"], tty: false, stdin: false, volumes: [], networks: [], joins: [], stop: { signal: 15, graceMs: 1 }, removeOnExit: false,
    },
    config: toOciConfig(of),
    monitor: toMonitorSpec({ id, name: "n", service: of.service, image, directory, rootfs: { kind: "directory", path: "/x" }, populate: [], network: { mode: "none", interfaces: [], dns: false, ports: [] }, labels: {} }),
  });
  return id;
}

/** Where a cgroup of that path can be made: the first hierarchy that has a directory for plain processes. */
async function cgroup(path: string): Promise<string> {
  for (const { type, mountpoint } of await readMounts()) {
    if (type !== "cgroup" && type !== "cgroup2") continue;
    const directory = join(mountpoint, path);
    mkdirSync(directory, { recursive: true });
    // A new cpuset takes no process before it has been filled; any other hierarchy will do.
    if (!existsSync(join(directory, "cpuset.cpus")) && existsSync(join(directory, "cgroup.procs"))) return directory;
    rmSync(directory, { force: true, recursive: true });
  }
  throw new Error("no cgroup hierarchy");
}

describe("removing a container", () => {
  it("deletes nothing that is only mounted in it", async () => {
    const id = await make("a");
    writeFileSync(join(outside, "precious"), "x");
    const inside = join(paths.container(root, id), "upper/with space");
    mkdirSync(inside, { recursive: true });
    native.mount({ source: outside, target: inside, type: "none", flags: 4096, data: "" });
    native.mount({ source: "tmpfs", target: join(inside), type: "tmpfs", flags: 0, data: "" });
    await store.remove(id);
    expect(readFileSync(join(outside, "precious"), "utf8")).toBe("x");
    expect((await readMounts()).filter((mount) => mount.mountpoint.startsWith(root.root))).toEqual([]);
    expect(existsSync(paths.container(root, id))).toBe(false);
  });

  it("ends what a killed monitor left running, and removes its cgroup; the project's goes with its last container", async () => {
    const project = `test${process.pid}`;
    const id = await make(project);
    const directory = await cgroup(`stack/${project}/${id}`);
    mkdirSync(join(directory, "exec"));
    child = spawn("sleep", ["1000"], { stdio: "ignore" });
    await once(child, "spawn");
    writeFileSync(join(directory, "exec/cgroup.procs"), String(child.pid));
    const ended = once(child, "exit");
    await store.remove(id);
    expect((await ended)[1]).toBe("SIGKILL");
    expect(existsSync(directory)).toBe(false);
    expect(existsSync(dirname(directory))).toBe(false);
  });
});
