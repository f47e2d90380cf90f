import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseHostPath } from "../../src/core/index.ts";
import type { HostPath } from "../../src/core/index.ts";
import { hostSkeleton, safeIdentity } from "../../src/runtime/host-skeleton.ts";
import { mountHostMounts } from "../../src/runtime/host-mounts.ts";
import { makeLayerDirectories, planRootfs } from "../../src/runtime/rootfs.ts";
import type { RootfsPlan } from "../../src/runtime/rootfs.ts";
import { loadNative } from "../../src/native/index.ts";

const native = loadNative();
let root: HostPath;
let directory: HostPath;
const mounted: string[] = [];

beforeEach(() => {
  root = parseHostPath(mkdtempSync("/var/tmp/stack-rootfs-"))!;
  directory = parseHostPath(join(root, "containers", "c"))!;
  mkdirSync(directory, { recursive: true });
});
afterEach(() => {
  for (const path of mounted.splice(0).reverse()) native.unmount(path);
  rmSync(root, { recursive: true });
});

function overlay(target: string, lower: readonly string[], upper: string, work: string): void {
  native.mount({ source: "overlay", target, type: "overlay", flags: 0, data: `lowerdir=${lower.join(":")},upperdir=${upper},workdir=${work}` });
  mounted.push(target);
}

/** Mounts the plan as the monitor does: the root, then what is laid over it. */
async function mount(plan: RootfsPlan): Promise<string> {
  const at = join(root, "at");
  mkdirSync(at);
  await mountHostMounts(native, plan);
  for (const { target } of plan.hostMounts) mounted.push(target);
  makeLayerDirectories(plan.spec);
  if (plan.spec.kind !== "overlay") throw new Error("not an overlay");
  overlay(at, plan.spec.layers, plan.spec.upper, plan.spec.work);
  for (const over of plan.spec.overlays) overlay(join(at, over.target), [over.source], over.upper, over.work);
  return at;
}

describe("rootfs: /", () => {
  it("offers the host's programs, which run", async () => {
    const at = await mount(await planRootfs({ directory, root, layers: [], rootfs: "/" as HostPath }));
    expect(execFileSync("chroot", [at, "/bin/sh", "-c", "ls /usr/bin/env && id -u"], { encoding: "utf8" })).toBe("/usr/bin/env\n0\n");
    expect(execFileSync("chroot", [at, "getent", "services", "http"], { encoding: "utf8" })).toMatch(/^http\s+80\/tcp/);
  });

  it("shows nothing of the host's people, state and secrets", async () => {
    const at = await mount(await planRootfs({ directory, root, layers: [], rootfs: "/" as HostPath }));
    for (const empty of ["home", "root", "tmp", "var/lib", "var/log", "var/tmp", "srv", "proc", "sys", "dev"]) expect([empty, readdirSync(join(at, empty))]).toEqual([empty, []]);
    expect(readdirSync(join(at, "run"))).toEqual(["lock"]);
    const etc = readdirSync(join(at, "etc"));
    for (const secret of ["shadow", "gshadow", "sudoers", "ssh", "machine-id", "environment", "docker"]) expect(etc).not.toContain(secret);
    // Places for the container's own files, not the host's.
    for (const name of ["hosts", "hostname", "resolv.conf"]) expect([name, readFileSync(join(at, "etc", name), "utf8")]).toEqual([name, ""]);
    expect(() => statSync(join(at, "etc/ssl/private"))).toThrow();
    expect(readFileSync(join(at, "etc/passwd"), "utf8")).toMatch(/^root:x:0:0::/m);
    expect(statSync(join(at, "tmp")).mode & 0o7777).toBe(0o1777);
    expect(statSync(join(at, "root")).mode & 0o7777).toBe(0o700);
  });

  it("lets the container write everywhere, and nothing of it reaches the host", async () => {
    const at = await mount(await planRootfs({ directory, root, layers: [], rootfs: "/" as HostPath }));
    for (const path of ["etc/new", "usr/bin/new-program", "usr/lib/new-library", "new"]) {
      writeFileSync(join(at, path), "x");
      expect(() => lstatSync(join("/", path))).toThrow();
    }
    rmSync(join(at, "usr/bin/env"));
    expect(statSync("/usr/bin/env").isFile()).toBe(true);
  });

  it("shares one skeleton between containers, and makes another when the host's list changes", async () => {
    const one = await planRootfs({ directory, root, layers: [], rootfs: "/" as HostPath });
    const two = await planRootfs({ directory: parseHostPath(join(root, "containers"))!, root, layers: [], rootfs: "/" as HostPath });
    expect(one.spec.kind === "overlay" && two.spec.kind === "overlay" && one.spec.layers[0] === two.spec.layers[0]).toBe(true);
    expect((await hostSkeleton(root)).directory).toContain(`${root}/cache/skeleton-`);
  });
});

describe("rootfs: DIR", () => {
  function tree(): HostPath {
    const path = join(root, "..", `${root.split("/").at(-1)!}-tree`);
    mkdirSync(join(path, "etc"), { recursive: true });
    writeFileSync(join(path, "etc/passwd"), "app:x:7:8::/:\n");
    return parseHostPath(path)!;
  }

  it("is the lower layer as it is, with its own users", async () => {
    const source = tree();
    try {
      const plan = await planRootfs({ directory, root, layers: [], rootfs: source });
      expect(plan.identity).toEqual({ passwd: "app:x:7:8::/:\n", group: "" });
      const at = await mount(plan);
      writeFileSync(join(at, "etc/passwd"), "changed");
      expect(readFileSync(join(source, "etc/passwd"), "utf8")).toBe("app:x:7:8::/:\n");
    } finally {
      for (const path of mounted.splice(0).reverse()) native.unmount(path);
      rmSync(source, { recursive: true });
    }
  });

  it("that holds the data root offers the rest, and hides that", async () => {
    const outer = mkdtempSync("/var/tmp/stack-outer-");
    try {
      const inner = parseHostPath(join(outer, "a/data"))!;
      const own = parseHostPath(join(inner, "containers/c"))!;
      mkdirSync(own, { recursive: true });
      mkdirSync(join(outer, "bin"));
      mkdirSync(join(outer, "a/b"));
      writeFileSync(join(outer, "bin/tool"), "x");
      writeFileSync(join(outer, "a/b/file"), "y");
      writeFileSync(join(outer, "a/single"), "z");
      symlinkSync("bin", join(outer, "sbin"));
      const plan = await planRootfs({ directory: own, root: inner, layers: [], rootfs: parseHostPath(outer)! });
      expect(plan.mounts).toEqual([{ type: "bind", target: "/a/single", source: join(outer, "a/single"), readOnly: true }]);
      const at = await mount(plan);
      expect(readFileSync(join(at, "sbin/tool"), "utf8")).toBe("x");
      expect(readFileSync(join(at, "a/b/file"), "utf8")).toBe("y");
      expect(readdirSync(join(at, "a")).sort()).toEqual(["b", "data"]);
      expect(readdirSync(join(at, "a/data"))).toEqual([]);
    } finally {
      for (const path of mounted.splice(0).reverse()) native.unmount(path);
      rmSync(outer, { recursive: true });
    }
  });

  it("offers what is mounted in it", async () => {
    const source = tree();
    try {
      mkdirSync(join(source, "data"));
      const other = join(root, "other");
      mkdirSync(other);
      writeFileSync(join(other, "file"), "x");
      native.mount({ source: other, target: join(source, "data"), type: "none", flags: 4096, data: "" });
      mounted.push(join(source, "data"));
      // The data root lies outside of it, so only the mount is laid over.
      const plan = await planRootfs({ directory, root, layers: [], rootfs: source });
      expect(plan.spec).toMatchObject({ layers: [source, join(root, "cache/mount-points-1")], overlays: [{ target: "/data", source: join(source, "data") }] });
      const at = await mount(plan);
      expect(readFileSync(join(at, "data/file"), "utf8")).toBe("x");
    } finally {
      for (const path of mounted.splice(0).reverse()) native.unmount(path);
      rmSync(source, { recursive: true });
    }
  });

  it("that does not exist is refused by name", async () => {
    await expect(planRootfs({ directory, root, layers: [], rootfs: "/nope" as HostPath })).rejects.toMatchObject({ message: "rootfs: /nope does not exist" });
    await expect(planRootfs({ directory, root, layers: [], rootfs: "/etc/passwd" as HostPath })).rejects.toMatchObject({ message: "rootfs: /etc/passwd is not a directory" });
  });
});

describe("a data root on an overlay file system", () => {
  it("keeps what containers write in memory, and says so", async () => {
    const lower = join(root, "lower");
    const on = join(root, "on");
    for (const path of [lower, on, join(root, "u"), join(root, "w")]) mkdirSync(path);
    writeFileSync(join(lower, "file"), "x");
    overlay(on, [lower], join(root, "u"), join(root, "w"));
    const inner = parseHostPath(join(on, "c"))!;
    mkdirSync(inner);
    const plan = await planRootfs({ directory: inner, root: parseHostPath(on)!, layers: [lower] });
    expect(plan.warnings).toEqual([expect.stringContaining("kept in memory")]);
    const at = await mount(plan);
    writeFileSync(join(at, "new"), "y");
    expect(readFileSync(join(at, "file"), "utf8")).toBe("x");
  });
});

describe("the host's accounts", () => {
  it("are handed on without passwords, names of people, and people", () => {
    const passwd = "root:$6$hash:0:0:Root,Room 1:/root:/bin/bash\nwww-data:x:33:33:www:/var/www:/bin/sh\nalice:x:1000:1000:Alice,,,:/home/alice:/bin/bash\nnobody:x:65534:65534::/:\nbad\nodd:x:-1:0::/:\n";
    const group = "root:x:0:\nwww-data:x:33:alice,www-data\nalice:x:1000:\nsudo:x:27:alice\n";
    expect(safeIdentity(passwd, group)).toEqual({
      passwd: "root:x:0:0::/root:/bin/bash\nwww-data:x:33:33::/var/www:/bin/sh\nnobody:x:65534:65534::/:\n",
      group: "root:x:0:\nwww-data:x:33:www-data\nsudo:x:27:\n",
    });
    expect(safeIdentity("", "")).toEqual({ passwd: "root:x:0:0::/root:/bin/sh\n", group: "root:x:0:\n" });
  });
});
