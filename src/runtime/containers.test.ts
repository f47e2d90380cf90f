import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseHostPath, paths } from "../core/index.ts";
import type { ContainerId, DataRoot } from "../core/index.ts";
import { loadNative } from "../native/index.ts";
import { openContainers } from "./containers.ts";
import type { ContainerStore, Creation } from "./containers.ts";
import { image, input } from "./fixtures.ts";
import { FORMAT_VERSION } from "./formats.ts";
import type { ContainerRecord } from "./formats.ts";
import { toMonitorSpec } from "./monitor-spec.ts";
import { toOciConfig } from "./oci-config.ts";
import { currentBootId } from "./state.ts";

const native = loadNative();
let root: DataRoot;
let store: ContainerStore;

beforeEach(async () => {
  root = { root: parseHostPath(await mkdtemp(join(tmpdir(), "stack-containers-")))! };
  store = openContainers(root, native);
});
afterEach(() => rm(root.root, { recursive: true }));

function record(id: ContainerId, name: string): ContainerRecord {
  return {
    version: FORMAT_VERSION, id, name, project: "shop", service: "web", number: 1, oneoff: false, createdAt: new Date(0).toISOString(), configHash: "h", labels: {},
    command: ["x"], tty: false, stdin: false, volumes: [], networks: [], joins: [], stop: { signal: 15, graceMs: 1 }, removeOnExit: false,
  };
}

async function commit(creation: Creation, name: string): Promise<ContainerId> {
  const { id, directory } = creation;
  const of = input();
  await creation.commit({
    record: record(id, name),
    config: toOciConfig({ ...of, id }),
    monitor: toMonitorSpec({ id, name, service: of.service, image, directory, rootfs: { kind: "directory", path: "/x" }, populate: [], network: { mode: "none", interfaces: [], dns: false, ports: [] }, labels: {} }),
  });
  return id;
}

async function make(name: string): Promise<ContainerId> {
  await using creation = await store.reserve(name);
  return await commit(creation, name);
}

const state = (members: object): string => JSON.stringify({ version: 1, status: "running", bootId: currentBootId(), pid: 0, pidStart: 0, ...members });

describe("a container on disk", () => {
  it("is there with its commit, found by name, id and beginning, listed by name", async () => {
    const b = await make("b");
    const a = await make("a");
    expect((await store.list()).map((container) => [container.record.name, container.status])).toEqual([["a", "created"], ["b", "created"]]);
    expect((await store.find("a"))?.record.id).toBe(a);
    expect((await store.find(b))?.record.id).toBe(b);
    expect((await store.find(b.slice(0, 12)))?.record.id).toBe(b);
    expect(await store.find("")).toBeUndefined();
    expect(await store.find("nobody")).toBeUndefined();
  });

  it("that may write nowhere has every mount that its root is made of closed, after all that is mounted in them", async () => {
    await using creation = await store.reserve("ro");
    const { id, directory } = creation;
    const of = { ...input({ read_only: true }), id };
    const rootfs = { kind: "overlay" as const, layers: ["/l"], upper: "/u", work: "/w", overlays: [{ target: "/usr", source: "/usr", upper: "/ou", work: "/ow" }] };
    await creation.commit({
      record: record(id, "ro"),
      config: toOciConfig(of),
      monitor: toMonitorSpec({ id, name: "ro", service: of.service, image, directory, rootfs, populate: [], network: { mode: "none", interfaces: [], dns: false, ports: [] }, labels: {} }),
    });
    const config = JSON.parse(await readFile(join(directory, "config.json"), "utf8")) as { mounts: unknown[] };
    expect(config.mounts.at(-1)).toEqual({ destination: "/usr", type: "none", source: "none", options: ["remount", "bind", "ro"] });
  });

  it("is not there before, and nothing of it is left when its creation fails", async () => {
    const fail = async (): Promise<void> => {
      await using creation = await store.reserve("half");
      await writeFile(join(creation.directory, "files"), "x");
      expect(await store.list()).toEqual([]);
      throw new Error("no");
    };
    await expect(fail()).rejects.toThrow("no");
    expect((await readdir(paths.containers(root))).filter((name) => !name.startsWith("."))).toEqual([]);
    expect(await readdir(paths.tmp(root))).toEqual([]);
    await make("half");
  });

  it("leaves nothing when not even its reservation can be made", async () => {
    const failing = openContainers(root, {
      ...native,
      lock: (path, mode, wait) => {
        if (path.endsWith("/creating")) throw new Error("ENOMEM");
        return native.lock(path, mode, wait);
      },
    });
    await expect(failing.reserve("half")).rejects.toThrow("ENOMEM");
    expect((await readdir(paths.containers(root))).filter((name) => !name.startsWith("."))).toEqual([]);
    await make("half");
  });

  it("is there with its record, even if its reservation cannot be taken back", async () => {
    await using creation = await store.reserve("kept");
    await rm(join(creation.directory, "creating"));
    await mkdir(join(creation.directory, "creating", "stuck"), { recursive: true });
    await commit(creation, "kept");
    expect((await store.find("kept"))?.status).toBe("created");
    await rm(join(creation.directory, "creating"), { recursive: true });
    await store.remove(creation.id);
    await make("kept");
  });

  it("is closed to everybody else", async () => {
    const id = await make("a");
    expect((await stat(paths.container(root, id))).mode & 0o777).toBe(0o700);
    for (const file of ["container.json", "config.json", "monitor.json"]) expect((await stat(join(paths.container(root, id), file))).mode & 0o777).toBe(0o600);
  });

  it("has a name of its own: among those that are there and those being made, also by another process", async () => {
    await make("taken");
    await expect(store.reserve("taken")).rejects.toMatchObject({ code: "usage", message: expect.stringMatching(/^The container name "taken" is already in use by container [0-9a-f]{12} of project "shop"$/) as unknown });
    await using creation = await store.reserve("pending");
    await expect(openContainers(root, native).reserve("pending")).rejects.toMatchObject({ code: "usage" });
    await commit(creation, "pending");
  });

  it("of many at once gets its own name and id", async () => {
    const names = Array.from({ length: 20 }, (_, index) => `many-${index}`);
    await Promise.all(names.map(make));
    expect((await store.list()).map((container) => container.record.name)).toEqual([...names].sort());
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => make("one")));
    expect(results.filter((result) => result.status === "fulfilled")).toHaveLength(1);
  });

  it("goes completely, any number of times, and frees its name", async () => {
    const id = await make("a");
    await mkdir(join(paths.container(root, id), "upper/deep"), { recursive: true });
    await store.remove(id);
    await store.remove(id);
    expect(await store.list()).toEqual([]);
    expect(await readdir(paths.tmp(root))).toEqual([]);
    await make("a");
  });

  it("is gone for everybody, and its name free, before its files are deleted", async () => {
    const id = await make("a");
    const { deleted } = await store.discard(id);
    expect(await openContainers(root, native).list()).toEqual([]);
    await make("a");
    await deleted;
    expect(await readdir(paths.tmp(root))).toEqual([]);
  });

  it("is listed by what its record says, without a look at the others' state", async () => {
    await writeFile(join(paths.container(root, await make("a")), "state.json"), "damaged");
    await make("b");
    expect((await store.list((r) => r.name === "b")).map((c) => c.record.name)).toEqual(["b"]);
  });

  it("that another process makes is surveyed as such until it is committed", async () => {
    const other = openContainers(root, native);
    await using creation = await store.reserve("a");
    expect(other.survey()).toEqual({ records: [], making: [creation.id] });
    expect(store.survey()).toEqual({ records: [], making: [] });
    await commit(creation, "a");
    expect(other.survey()).toMatchObject({ records: [{ name: "a" }], making: [] });
  });

  it("is not removed while its monitor runs", async () => {
    const id = await make("a");
    const held = native.lock(join(paths.container(root, id), "lock"), "exclusive", false);
    await expect(store.remove(id)).rejects.toMatchObject({ message: expect.stringContaining("its monitor runs") as unknown });
    native.close(held);
    await store.remove(id);
  });

  it("is closed to monitors from the decision to remove it until nobody finds it any more", async () => {
    const id = await make("a");
    const directory = paths.container(root, id);
    const seen: string[] = [];
    const watched = openContainers(root, {
      ...native,
      lock: (path, mode, wait) => {
        const fd = native.lock(path, mode, wait);
        if (path === join(directory, "lock")) seen.push(`locked, ${existsSync(directory) ? "there" : "gone"}`);
        return fd;
      },
      close: (fd) => {
        if (seen.length === 1) seen.push(`unlocked, ${existsSync(directory) ? "there" : "gone"}`);
        native.close(fd);
      },
    });
    await watched.remove(id);
    expect(seen).toEqual(["locked, there", "unlocked, gone"]);
  });
});

describe("what a container is", () => {
  const withState = async (text: string): Promise<string> => {
    const id = await make("a");
    await writeFile(join(paths.container(root, id), "state.json"), text);
    return (await store.find("a"))?.status ?? "none";
  };

  it("is its monitor's word while that lives", async () => {
    const id = await make("a");
    const directory = paths.container(root, id);
    await writeFile(join(directory, "state.json"), state({ status: "restarting" }));
    const held = native.lock(join(directory, "lock"), "exclusive", false);
    expect((await store.find("a"))?.status).toBe("restarting");
    native.close(held);
    expect((await store.find("a"))?.status).toBe("dead");
  });
  it("is dead when nobody holds it and its process has gone", async () => {
    expect(await withState(state({ pid: 1, pidStart: 1 }))).toBe("dead");
  });
  it("is what it was when its process lives without a monitor", async () => {
    const stat = await readFile("/proc/self/stat", "utf8");
    const start = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    expect(await withState(state({ pid: process.pid, pidStart: start }))).toBe("running");
  });
  it("is dead after the machine started again, even if the numbers fit", async () => {
    expect(await withState(state({ pid: process.pid, bootId: "another" }))).toBe("dead");
  });
  it("is ended when it ended", async () => {
    expect(await withState(state({ status: "exited" }))).toBe("exited");
  });
  it("is not guessed at when a newer version wrote it", async () => {
    await expect(withState(JSON.stringify({ version: 2 }))).rejects.toMatchObject({ code: "state-version" });
  });
});

describe("sweep", () => {
  it("removes what dead processes left, and nothing else", async () => {
    const whole = await make("whole");
    await writeFile(join(paths.container(root, whole), "creating"), "whole"); // killed between its record and this file's end
    await using pending = await store.reserve("pending");
    const crashed = await store.reserve("crashed");
    // The lock goes with the process that held it.
    await rm(join(crashed.directory, "creating"));
    await mkdir(join(paths.tmp(root), "trash.x/y"), { recursive: true });
    await mkdir(join(paths.tmp(root), "other"), { recursive: true });
    await openContainers(root, native).sweep();
    const left = await readdir(paths.containers(root));
    expect(left).toContain(pending.id);
    expect(left).not.toContain(crashed.id);
    expect(await readdir(paths.container(root, whole))).not.toContain("creating");
    expect((await store.list()).map((container) => container.record.name)).toEqual(["whole"]);
    expect(await readdir(paths.tmp(root))).toEqual(["other"]);
    await crashed[Symbol.asyncDispose]();
  });
});
