import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseContainerId, parseHostPath, paths } from "../core/index.ts";
import type { DataRoot } from "../core/index.ts";
import { loadNative } from "../native/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { mountLocal } from "./local.ts";
import { parseMountOptions } from "./mount-options.ts";
import type { VolumeRequest, Volumes } from "./types.ts";
import { openVolumes } from "./volumes.ts";

let root: DataRoot;
let volumes: Volumes;

beforeEach(async () => {
  root = { root: parseHostPath(await mkdtemp(join(tmpdir(), "stack-volumes-")))! };
  volumes = openVolumes(root, loadNative());
});
afterEach(() => rm(root.root, { recursive: true }));

const request = (name: string, members: Partial<VolumeRequest> = {}): VolumeRequest => ({
  name, project: "shop", key: "data", configHash: "h", labels: { a: "b" }, driver: "", driverOptions: {}, anonymous: false, ...members,
});

describe("a volume", () => {
  it("is made once and keeps its data", async () => {
    const made = await volumes.create(request("data"));
    expect(made).toMatchObject({ version: 1, name: "data", driver: "local", project: "shop", labels: { a: "b" } });
    await writeFile(join(await volumes.path(made), "file"), "x");
    expect(await volumes.create(request("data", { configHash: "other" }))).toEqual(made);
    expect(await readFile(join(await volumes.path(made), "file"), "utf8")).toBe("x");
    expect(await volumes.find("data")).toEqual(made);
    expect(await readdir(paths.tmp(root))).toEqual([]);
  });

  it("whose maker was killed is swept, one that is being made is not", async () => {
    const staging = (digit: string) => join(paths.tmp(root), `volume.${digit.repeat(16)}`);
    await mkdir(join(staging("a"), "_data"), { recursive: true });
    await mkdir(staging("b"));
    const native = loadNative();
    const held = native.lock(`${staging("b")}.lock`, "exclusive", false);
    await volumes.sweep();
    expect((await readdir(paths.tmp(root))).sort()).toEqual([`volume.${"b".repeat(16)}`, `volume.${"b".repeat(16)}.lock`]);
    native.close(held);
    await volumes.sweep();
    expect(await readdir(paths.tmp(root))).toEqual([]);
  });

  it("made by many at once is one", async () => {
    const made = await Promise.all(Array.from({ length: 10 }, () => volumes.create(request("data"))));
    expect(new Set(made.map((volume) => volume.createdAt)).size).toBe(1);
    expect(await readdir(paths.tmp(root))).toEqual([]);
  });

  it("is closed outside and open inside", async () => {
    const made = await volumes.create(request("data"));
    expect((await stat(join(paths.volumes(root), "data"))).mode & 0o777).toBe(0o700);
    expect((await stat(await volumes.path(made))).mode & 0o777).toBe(0o755);
  });

  it("goes completely, any number of times", async () => {
    await writeFile(join(await volumes.path(await volumes.create(request("data"))), "file"), "x");
    await volumes.remove("data");
    await volumes.remove("data");
    expect(await volumes.list()).toEqual([]);
    expect(await readdir(paths.tmp(root))).toEqual([]);
  });

  it("is listed by name", async () => {
    await volumes.create(request("b"));
    await volumes.create(request("a"));
    expect((await volumes.list()).map((volume) => volume.name)).toEqual(["a", "b"]);
  });

  it.each(["", "..", "a/b", ".hidden", "a\0b", "x".repeat(256)])("cannot be called %j", async (name) => {
    await expect(volumes.create(request(name))).rejects.toMatchObject({ code: "usage" });
    expect(await volumes.find(name)).toBeUndefined();
    await volumes.remove(name);
  });

  it("of a driver or with options that we do not know is refused, and nothing is left", async () => {
    await expect(volumes.create(request("data", { driver: "rexray" }))).rejects.toMatchObject({ code: "unsupported" });
    await expect(volumes.create(request("data", { driverOptions: { size: "1g" } }))).rejects.toMatchObject({ code: "unsupported", hint: "For a tmpfs write `o: size=100m`." });
    await expect(volumes.create(request("data", { driverOptions: { device: "/x" } }))).rejects.toMatchObject({ code: "usage" });
    expect(await volumes.list()).toEqual([]);
  });
});

describe("the file of a config or secret", () => {
  const container = parseContainerId("ab".repeat(32))!;
  it("has the owner and mode that were asked for, whatever the umask, and is replaced whole", async () => {
    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const path = await volumes.writeFile(container, "secret-_run_secrets_a", "one", { ...owner, mode: 0o440 });
    expect((await stat(path)).mode & 0o7777).toBe(0o440);
    expect(await volumes.writeFile(container, "secret-_run_secrets_a", new Uint8Array([0, 255]), { ...owner, mode: 0o666 })).toBe(path);
    expect((await stat(path)).mode & 0o7777).toBe(0o666);
    expect([...(await readFile(path))]).toEqual([0, 255]);
    expect(await readdir(join(paths.container(root, container), "files"))).toHaveLength(1);
  });
  it("stays in its directory", async () => {
    const path = await volumes.writeFile(container, "../../x", "y", { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mode: 0o400 });
    expect(path.startsWith(join(paths.container(root, container), "files/"))).toBe(true);
    expect(path.slice(join(paths.container(root, container), "files/").length)).not.toContain("/");
  });
});

describe("a volume on a server", () => {
  type Call = Parameters<NativeBinding["mount"]>[0];
  /** The call that the kernel gets for these options; it answers with `code`, or fine. */
  async function mounting(driverOptions: Readonly<Record<string, string>>, code?: string): Promise<Call | undefined> {
    let seen: Call | undefined;
    const record = await volumes.create(request("shared", { driverOptions }));
    const mount = (call: Call): void => {
      seen = call;
      if (code !== undefined) throw Object.assign(new Error(`mount: ${code}`), { code });
    };
    await mountLocal({ mount }, record, parseHostPath(join(root.root, "there"))!);
    return seen;
  }

  it.each([
    [{ type: "nfs", o: "addr=10.0.0.7,rw,nolock,soft,nfsvers=4", device: ":/srv/data" }, { source: ":/srv/data", type: "nfs", flags: 0, data: "addr=10.0.0.7,nolock,soft,nfsvers=4" }],
    [{ type: "nfs4", o: "addr=fd00::7,ro,noatime,hard", device: ":/" }, { source: ":/", type: "nfs4", flags: 1 | 1024, data: "addr=fd00::7,hard" }],
    [{ type: "nfs", o: "rw", device: "10.0.0.7:/srv/data" }, { source: "10.0.0.7:/srv/data", type: "nfs", flags: 0, data: "addr=10.0.0.7" }],
    [{ type: "nfs", o: "vers=4", device: "[fd00::7]:/srv" }, { source: "[fd00::7]:/srv", type: "nfs", flags: 0, data: "vers=4,addr=fd00::7" }],
    [{ type: "cifs", o: "username=me,addr=10.0.0.7", device: "//nas/share" }, { source: "//nas/share", type: "cifs", flags: 0, data: "username=me,addr=10.0.0.7" }],
  ])("%j is this call", async (options, call) => {
    expect(await mounting(options)).toEqual({ ...call, target: join(root.root, "there") });
  });

  it("has the name of its server resolved, which the kernel does not do", async () => {
    for (const options of [{ type: "nfs", o: "addr=localhost,soft", device: ":/x" }, { type: "nfs", o: "soft", device: "localhost:/x" }]) {
      const data = (await mounting(options))?.data.split(",") ?? [];
      expect(data).toContain("soft");
      expect(isLoopback(data.find((part) => part.startsWith("addr="))?.slice(5) ?? "")).toBe(true);
      await volumes.remove("shared");
    }
    await expect(mounting({ type: "nfs", o: "addr=server.invalid", device: ":/x" })).rejects.toMatchObject({ code: "container-start-failed", message: 'Volume "shared": the host "server.invalid" of its server is not known' });
  });

  it.each([
    ["EINVAL", "addr=HOST"],
    ["EACCES", "does not export"],
    ["ECONNREFUSED", "Nothing answers"],
    ["ETIMEDOUT", "does not answer"],
    ["EPROTONOSUPPORT", "nfsvers"],
    ["ENODEV", 'no file system "nfs"'],
    ["EPERM", "may not mount"],
  ])("tells of %s what to do", async (code, hint) => {
    await expect(mounting({ type: "nfs", o: "addr=10.0.0.7", device: ":/srv" }, code)).rejects.toMatchObject({ message: 'Volume "shared": cannot mount :/srv (type nfs)', hint: expect.stringContaining(hint) as string });
  });
});

const isLoopback = (address: string): boolean => address === "::1" || address.startsWith("127.");

describe("mount options", () => {
  it.each([
    ["", 0, ""],
    ["ro,noexec,size=10m,uid=5", 1 | 8, "size=10m,uid=5"],
    ["ro,rw", 0, ""],
    ["bind,ro", 4096 | 1, ""],
    ["addr=1.2.3.4,nolock,soft,_netdev,defaults", 0, "addr=1.2.3.4,nolock,soft"],
    ["constructor", 0, "constructor"],
  ])("%j", (text, flags, data) => {
    expect(parseMountOptions(text)).toEqual({ flags, data });
  });
});
