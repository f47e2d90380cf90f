import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseContainerId, parseHostPath, readMounts } from "../../src/core/index.ts";
import type { DataRoot } from "../../src/core/index.ts";
import { loadNative } from "../../src/native/index.ts";
import { openVolumes } from "../../src/volumes/index.ts";
import type { VolumeRequest, Volumes } from "../../src/volumes/index.ts";

let root: DataRoot;
let volumes: Volumes;
let outside: string;

beforeEach(() => {
  root = { root: parseHostPath(mkdtempSync("/var/tmp/stack-volumes-"))! };
  outside = mkdtempSync("/var/tmp/stack-outside-");
  volumes = openVolumes(root, loadNative());
});
afterEach(async () => {
  for (const { name } of await volumes.list()) await volumes.remove(name);
  rmSync(root.root, { recursive: true });
  rmSync(outside, { recursive: true });
});

const request = (name: string, driverOptions: Readonly<Record<string, string>>): VolumeRequest => ({
  name, project: "shop", key: name, configHash: "h", labels: {}, driver: "local", driverOptions, anonymous: false,
});
const mountedAt = async (path: string): Promise<boolean> => (await readMounts()).some((mount) => mount.mountpoint === path);
const tmpfsMagic = 0x01021994;

describe("a local volume with options", () => {
  it("of type none is the directory that it names, and keeps that when it is removed", async () => {
    writeFileSync(join(outside, "file"), "x");
    const path = await volumes.path(await volumes.create(request("bound", { type: "none", o: "bind", device: outside })));
    expect(readFileSync(join(path, "file"), "utf8")).toBe("x");
    await volumes.remove("bound");
    expect(readFileSync(join(outside, "file"), "utf8")).toBe("x");
    expect((await readMounts()).filter((mount) => mount.mountpoint.startsWith(root.root))).toEqual([]);
  });

  it("bound read-only is that", async () => {
    const path = await volumes.path(await volumes.create(request("bound", { type: "none", o: "bind,ro", device: outside })));
    expect(() => writeFileSync(join(path, "file"), "x")).toThrow(/EROFS/);
    writeFileSync(join(outside, "file"), "x");
  });

  it("of type tmpfs has its size and owner, is mounted once, and again after it was let go", async () => {
    const record = await volumes.create(request("memory", { type: "tmpfs", device: "tmpfs", o: "size=1m,uid=1000,mode=700" }));
    const path = await volumes.path(record);
    expect(await volumes.path(record)).toBe(path);
    expect((await readMounts()).filter((mount) => mount.mountpoint === path)).toHaveLength(1);
    const { type, bsize, blocks } = statfsSync(path);
    expect([type, bsize * blocks]).toEqual([tmpfsMagic, 1024 * 1024]);
    expect([statSync(path).uid, statSync(path).mode & 0o777]).toEqual([1000, 0o700]);
    await volumes.release("memory");
    expect(await mountedAt(path)).toBe(false);
    await volumes.path(record);
    expect(await mountedAt(path)).toBe(true);
  });

  it("that cannot be mounted says what and why", async () => {
    const missing = await volumes.create(request("missing", { type: "none", o: "bind", device: "/var/tmp/stack-nothing-here" }));
    await expect(volumes.path(missing)).rejects.toMatchObject({ message: 'Volume "missing": cannot mount /var/tmp/stack-nothing-here (type none)', hint: "The device or directory does not exist." });
    const unknown = await volumes.create(request("unknown", { type: "nosuchfs", device: "x" }));
    await expect(volumes.path(unknown)).rejects.toMatchObject({ hint: 'The kernel has no file system "nosuchfs" (is its module there?).' });
  });
});

describe("the file of a secret", () => {
  it("belongs to whom it was asked to belong", async () => {
    const container = parseContainerId("cd".repeat(32))!;
    mkdirSync(join(root.root, "containers"), { recursive: true });
    const path = await volumes.writeFile(container, "secret", "s", { uid: 103, gid: 104, mode: 0o400 });
    const { uid, gid, mode } = statSync(path);
    expect([uid, gid, mode & 0o7777]).toEqual([103, 104, 0o400]);
  });
});
