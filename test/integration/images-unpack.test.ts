import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, statSync, symlinkSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { tar } from "../support/images/tar.ts";
import type { TarEntry } from "../support/images/tar.ts";
import { getXattr, UnpackBench } from "../support/unpack.ts";

const bench = new UnpackBench();
afterAll(() => bench[Symbol.dispose]());

const sha256 = (data: Buffer): string => `sha256:${createHash("sha256").update(data).digest("hex")}`;
const isWhiteout = (path: string): boolean => lstatSync(path).isCharacterDevice() && lstatSync(path).rdev === 0;
/** What GNU tar writes for a directory made by the test. */
function gnuTar(...args: string[]): Buffer {
  return execFileSync("tar", ["--numeric-owner", "-cf", "-", ...args], { maxBuffer: 256 << 20 });
}

describe("an honest layer", () => {
  test("keeps types, modes, owners, times and content", () => {
    const result = bench.run(
      tar([
        { path: "bin", type: "directory", mode: 0o1777, uid: 3, gid: 4, mtime: 1_000_000_001 },
        { path: "bin/su", content: "#!", mode: 0o4755, uid: 0, gid: 42, mtime: 1_000_000_002 },
        { path: "bin/sh", type: "symlink", link: "/nowhere/at/all", uid: 7, gid: 8 },
        { path: "bin/again", type: "hardlink", link: "bin/su" },
        { path: "dev/null", type: "char", device: [1, 3], mode: 0o666 },
        { path: "dev/disk", type: "block", device: [259, 1025], mode: 0o600 },
        { path: "run/pipe", type: "fifo", mode: 0o640 },
        { path: "empty", content: "" },
      ]),
    );
    expect(result).toMatchObject({ ok: true, files: 7, bytes: 2, implicit: ["dev", "run"] });
    const bin = statSync(bench.path("bin"));
    expect([bin.mode & 0o7777, bin.uid, bin.gid, bin.mtimeMs]).toEqual([0o1777, 3, 4, 1_000_000_001_000]);
    const su = statSync(bench.path("bin/su"));
    expect([su.mode & 0o7777, su.uid, su.gid, su.mtimeMs, su.nlink]).toEqual([0o4755, 0, 42, 1_000_000_002_000, 2]);
    expect(statSync(bench.path("bin/again")).ino).toBe(su.ino);
    expect(readlinkSync(bench.path("bin/sh"))).toBe("/nowhere/at/all");
    expect(lstatSync(bench.path("bin/sh")).uid).toBe(7);
    expect(lstatSync(bench.path("dev/null")).rdev).toBe(0x103);
    expect(lstatSync(bench.path("dev/disk")).isBlockDevice()).toBe(true);
    expect(lstatSync(bench.path("run/pipe")).isFIFO()).toBe(true);
    expect(statSync(bench.path("dev")).mode & 0o7777).toBe(0o755);
  });

  test("reports the digests of what it read and of what that contained, whatever the compression", () => {
    const plain = tar([{ path: "a", content: "x".repeat(700_000) }]);
    const zstd = execFileSync("zstd", ["-q", "-c"], { input: plain });
    for (const [input, option] of [
      [plain, "none"],
      [gzipSync(plain), "gzip"],
      [zstd, "zstd"],
      [plain, "auto"],
      [gzipSync(plain), "auto"],
      [zstd, "auto"],
      [Buffer.concat([gzipSync(plain.subarray(0, 1000)), gzipSync(plain.subarray(1000))]), "auto"],
      [Buffer.concat([gzipSync(plain), Buffer.alloc(4096)]), "gzip"],
      [Buffer.concat([execFileSync("zstd", ["-q", "-c"], { input: plain.subarray(0, 512) }), execFileSync("zstd", ["-q", "-c"], { input: plain.subarray(512) })]), "auto"],
    ] as const) {
      expect(bench.run(input, "--compression", option)).toMatchObject({ ok: true, digest: sha256(input), diffId: sha256(plain), bytes: 700_000 });
      expect(readFileSync(bench.path("a"), "latin1")).toBe("x".repeat(700_000));
    }
  });

  test("may be empty, without an end mark, or have anything behind its end", () => {
    expect(bench.run(Buffer.alloc(0))).toMatchObject({ ok: true, files: 0 });
    expect(bench.run(Buffer.alloc(1024))).toMatchObject({ ok: true, files: 0 });
    const plain = tar([{ path: "a", content: "b" }]);
    expect(bench.run(plain.subarray(0, 1024))).toMatchObject({ ok: true, files: 1 });
    const trailed = Buffer.concat([plain, Buffer.from("anything".repeat(100_000))]);
    expect(bench.run(trailed)).toMatchObject({ ok: true, files: 1, diffId: sha256(trailed) });
  });

  test("keeps the time of a directory although entries come after it", () => {
    bench.run(tar([{ path: "d", type: "directory", mtime: 5 }, { path: "d/f", content: "1" }, { path: "d/e/f", content: "1" }]));
    expect(statSync(bench.path("d")).mtimeMs).toBe(5000);
  });

  test("fills a directory that nobody may write to", () => {
    expect(bench.run(tar([{ path: "d", type: "directory", mode: 0o555 }, { path: "d/f", content: "1", mode: 0o444 }]))).toMatchObject({ ok: true });
    expect(statSync(bench.path("d")).mode & 0o777).toBe(0o555);
  });

  test("does not take the group of a set-group-id directory", () => {
    bench.run(tar([{ path: "d", type: "directory", mode: 0o2775, gid: 50 }, { path: "d/f", content: "1" }]));
    expect(statSync(bench.path("d")).mode & 0o7777).toBe(0o2775);
    expect(statSync(bench.path("d/f")).gid).toBe(0);
  });

  test("has long names, large ids, times before 1970 and fractions of seconds by pax records", () => {
    const name = `${"d".repeat(200)}/${"f".repeat(200)}`;
    bench.run(tar([{ path: "x", content: "1", pax: { path: name, uid: "4000000000", gid: "4000000001", mtime: "-1.25" } }, { path: "l", type: "symlink", pax: { linkpath: "t".repeat(300) } }]));
    const stats = statSync(bench.path(name), { bigint: true });
    expect([stats.uid, stats.gid, stats.mtimeNs]).toEqual([4000000000n, 4000000001n, -1_250_000_000n]);
    expect(readlinkSync(bench.path("l"))).toBe("t".repeat(300));
  });

  test("has extended attributes: file capabilities stay, those of overlayfs never", () => {
    const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    const attributes = { "SCHILY.xattr.user.note": "hello", "SCHILY.xattr.security.capability": capability, "SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.trusted.overlay.opaque": "y" };
    expect(
      bench.run(
        tar([
          { path: "f", content: "1", uid: 5, pax: attributes },
          { path: "d", type: "directory", pax: attributes },
        ]),
      ),
    ).toMatchObject({ ok: true, opaque: [] });
    expect(getXattr(bench.path("f"), "security.capability")).toBe(capability);
    for (const path of ["f", "d"]) {
      expect(getXattr(bench.path(path), "user.note")).toBe("hello");
      expect(getXattr(bench.path(path), "trusted.overlay.redirect")).toBeUndefined();
      expect(getXattr(bench.path(path), "trusted.overlay.opaque")).toBeUndefined();
    }
  });
});

describe("what GNU tar writes", () => {
  const made = join(bench.scratch, "made");
  const sparse = join(made, "sparse");

  function make(): void {
    if (existsSync(made)) return;
    mkdirSync(made);
    const fd = openSync(sparse, "w");
    // More pieces than one header has room for.
    for (let i = 0; i < 40; i++) writeSync(fd, `piece ${i}`, i * (1 << 20) + 5000);
    closeSync(fd);
    truncateSync(sparse, 64 << 20);
    writeFileSync(join(made, "long".repeat(60)), "1");
    symlinkSync("target".repeat(40), join(made, "link"));
  }
  beforeEach(make);

  test.each([["gnu"], ["oldgnu"], ["posix"]])("in format %s: long names and sparse files", (format) => {
    for (const version of format === "posix" ? ["0.0", "0.1", "1.0"] : [""]) {
      const extra = version === "" ? [] : [`--sparse-version=${version}`];
      const result = bench.run(gnuTar("--sparse", `--format=${format}`, ...extra, "-C", made, "."));
      expect(result).toMatchObject({ ok: true });
      expect(result.bytes).toBeLessThan(2 << 20);
      expect(sha256(readFileSync(bench.path("sparse")))).toBe(sha256(readFileSync(sparse)));
      expect(lstatSync(bench.path("sparse")).blocks * 512).toBeLessThan(2 << 20);
      expect(readFileSync(bench.path("long".repeat(60)), "utf8")).toBe("1");
      expect(readlinkSync(bench.path("link"))).toBe("target".repeat(40));
    }
  });

  test("ids that do not fit octal digits", () => {
    expect(bench.run(gnuTar("--format=gnu", "--owner=3000000000", "--group=3000000001", "-C", made, "sparse"))).toMatchObject({ ok: true });
    expect([statSync(bench.path("sparse")).uid, statSync(bench.path("sparse")).gid]).toEqual([3000000000, 3000000001]);
  });
});

describe("whiteouts", () => {
  test("become devices 0:0, and mark opaque directories, before or after their entries", () => {
    const result = bench.run(
      tar([
        { path: ".wh.gone", content: "" },
        { path: "d/file", content: "1" },
        { path: "d/.wh..wh..opq", content: "" },
        { path: "e/.wh..wh..opq", content: "" },
        { path: "e/file", content: "1" },
        { path: "f/.wh.old", content: "" },
      ]),
    );
    expect(result).toMatchObject({ ok: true, opaque: ["d", "e"] });
    expect(isWhiteout(bench.path("gone"))).toBe(true);
    expect(isWhiteout(bench.path("f/old"))).toBe(true);
    for (const path of ["d", "e"]) {
      expect(getXattr(bench.path(path), "trusted.overlay.opaque")).toBe("y");
      expect(readdirSync(bench.path(path))).toEqual(["file"]);
    }
    expect(getXattr(bench.path("f"), "trusted.overlay.opaque")).toBeUndefined();
  });

  test("are marked by user.overlay.opaque for mounts without root", () => {
    bench.run(tar([{ path: "d/.wh..wh..opq" }]), "--userxattr");
    expect(getXattr(bench.path("d"), "user.overlay.opaque")).toBe("y");
  });

  test("never hide an entry of their own layer, but what a directory would merge with", () => {
    for (const order of [
      [{ path: "f", content: "1" }, { path: ".wh.f" }, { path: "d/x", content: "1" }, { path: ".wh.d" }],
      [{ path: ".wh.f" }, { path: "f", content: "1" }, { path: ".wh.d" }, { path: "d", type: "directory" }, { path: "d/x", content: "1" }],
      [{ path: ".wh.f" }, { path: "f", content: "1" }, { path: ".wh.d" }, { path: "d/x", content: "1" }],
    ] as const satisfies readonly (readonly TarEntry[])[]) {
      expect(bench.run(tar(order))).toMatchObject({ ok: true, opaque: ["d"] });
      expect(readFileSync(bench.path("f"), "utf8")).toBe("1");
      expect(readFileSync(bench.path("d/x"), "utf8")).toBe("1");
      expect(getXattr(bench.path("d"), "trusted.overlay.opaque")).toBe("y");
    }
  });

  test("below a whiteout or a file have nothing to do", () => {
    expect(bench.run(tar([{ path: ".wh.foo" }, { path: "foo/.wh.bar" }, { path: "f", content: "1" }, { path: "f/.wh.x" }]))).toMatchObject({ ok: true });
    expect(isWhiteout(bench.path("foo"))).toBe(true);
  });

  test("of aufs' own records leave no trace", () => {
    expect(bench.run(tar([{ path: ".wh..wh.aufs" }, { path: ".wh..wh.plnk", type: "directory" }, { path: ".wh..wh.plnk/1.2", content: "1" }]))).toMatchObject({ ok: true });
    expect(readdirSync(bench.into)).toEqual([]);
  });

  test.each([[".wh."], [".wh.."], [".wh..."], ["d/.wh..."]])("called %s are refused", (path) => {
    expect(bench.run(tar([{ path }])).error).toMatchObject({ call: "", message: expect.stringContaining("whiteout") });
  });
});

describe("entries that come twice", () => {
  test("the later one wins, whatever both are", () => {
    const kinds = {
      file: [{ path: "x", content: "file" }],
      directory: [{ path: "x", type: "directory" }, { path: "x/in/side", content: "1" }],
      symlink: [{ path: "x", type: "symlink", link: "other" }],
      device: [{ path: "x", type: "char", device: [1, 3] }],
      fifo: [{ path: "x", type: "fifo" }],
      hardlink: [{ path: "x", type: "hardlink", link: "other/target" }],
      whiteout: [{ path: ".wh.x" }],
    } as const satisfies Record<string, readonly TarEntry[]>;
    const other: TarEntry[] = [{ path: "other", type: "directory" }, { path: "other/target", content: "kept" }];
    for (const [first, before] of Object.entries(kinds)) {
      for (const [second, after] of Object.entries(kinds)) {
        expect(bench.run(tar([...other, ...before, ...after])), `${first}, ${second}`).toMatchObject({ ok: true });
        const stats = lstatSync(bench.path("x"));
        const last = second === "whiteout" ? first : second; // a whiteout is about the layers below
        const is = { file: stats.isFile(), directory: stats.isDirectory(), symlink: stats.isSymbolicLink(), device: stats.rdev === 0x103, fifo: stats.isFIFO(), hardlink: stats.isFile(), whiteout: stats.rdev === 0 };
        expect(is[last as keyof typeof is], `${first}, ${second}`).toBe(true);
        expect(readFileSync(bench.path("other/target"), "utf8")).toBe("kept");
      }
    }
  });

  test("a directory's second entry changes its mode and keeps its content", () => {
    bench.run(tar([{ path: "d", type: "directory", mode: 0o700 }, { path: "d/f", content: "1" }, { path: "d/", type: "directory", mode: 0o711 }]));
    expect(statSync(bench.path("d")).mode & 0o777).toBe(0o711);
    expect(existsSync(bench.path("d/f"))).toBe(true);
  });
});

describe("a hostile layer touches nothing outside of its directory", () => {
  const outside = join(bench.scratch, "outside");

  function guard(): void {
    mkdirSync(outside, { recursive: true });
    writeFileSync(join(outside, "file"), "untouched", { mode: 0o600 });
  }
  function expectUntouched(): void {
    expect(readdirSync(outside)).toEqual(["file"]);
    expect(readFileSync(join(outside, "file"), "utf8")).toBe("untouched");
    expect(lstatSync(join(outside, "file")).mode & 0o7777).toBe(0o600);
    expect(lstatSync(outside).mode & 0o777).toBe(0o755);
    expect(readdirSync(bench.scratch).sort()).toEqual(expect.arrayContaining(["into", "outside"]));
    expect(existsSync(join(bench.scratch, "escaped"))).toBe(false);
  }

  test.each([["../escaped"], ["a/../../escaped"], ["./../escaped"], ["a/b/../../../escaped"], ["/../escaped"]])("the name %s is refused", (path) => {
    guard();
    expect(bench.run(tar([{ path, content: "1" }])).error).toMatchObject({ call: "", message: expect.stringContaining("out of the layer") });
    expectUntouched();
  });

  test("an absolute name is one inside", () => {
    guard();
    expect(bench.run(tar([{ path: join(outside, "new"), content: "1" }]))).toMatchObject({ ok: true });
    expect(readFileSync(bench.path(join(outside, "new")), "utf8")).toBe("1");
    expectUntouched();
  });

  const attacks: readonly (readonly [string, (link: string) => readonly TarEntry[]])[] = [
    ["a file", (link) => [{ path: "l", type: "symlink", link }, { path: "l/new", content: "1" }]],
    ["an existing file", (link) => [{ path: "l", type: "symlink", link }, { path: "l/file", content: "1" }]],
    ["a directory", (link) => [{ path: "l", type: "symlink", link }, { path: "l/dir", type: "directory", mode: 0o777 }]],
    ["the mode of the directory itself", (link) => [{ path: "l", type: "symlink", link }, { path: "l", type: "directory", mode: 0o777 }, { path: "l/", type: "directory", mode: 0o777 }]],
    ["the mode of a file", (link) => [{ path: "l", type: "symlink", link: `${link}/file` }, { path: "l", content: "1", mode: 0o4777 }]],
    ["a hard link's name", (link) => [{ path: "mine", content: "1" }, { path: "l", type: "symlink", link }, { path: "l/new", type: "hardlink", link: "mine" }]],
    ["a symbolic link", (link) => [{ path: "l", type: "symlink", link }, { path: "l/new", type: "symlink", link: "x" }]],
    ["a device", (link) => [{ path: "l", type: "symlink", link }, { path: "l/new", type: "char", device: [1, 3], mode: 0o666 }]],
    ["a fifo", (link) => [{ path: "l", type: "symlink", link }, { path: "l/new", type: "fifo" }]],
    ["a whiteout", (link) => [{ path: "l", type: "symlink", link }, { path: "l/.wh.file" }]],
    ["an opaque mark", (link) => [{ path: "l", type: "symlink", link }, { path: "l/.wh..wh..opq" }]],
    ["a link that is swapped between", (link) => [{ path: "l", type: "directory" }, { path: "l/a", content: "1" }, { path: "l", type: "symlink", link }, { path: "l/file", content: "2" }]],
    ["links to links", (link) => [{ path: "a", type: "symlink", link }, { path: "b", type: "symlink", link: "a" }, { path: "c/d", type: "symlink", link: "../b" }, { path: "c/d/file", content: "1", mode: 0o777 }]],
  ];
  test.each(attacks)("%s through a symbolic link stays inside", (_name, entries) => {
    for (const link of [outside, "../outside", "../../../../../../..".concat(outside), `/proc/self/root${outside}`]) {
      guard();
      bench.run(tar(entries(link)));
      expectUntouched();
    }
  });

  test("a hard link to something outside, by name or through a link, is refused", () => {
    for (const entries of [
      [{ path: "h", type: "hardlink", link: "../outside/file" }],
      [{ path: "h", type: "hardlink", link: join(outside, "file") }],
      [{ path: "l", type: "symlink", link: outside }, { path: "h", type: "hardlink", link: "l/file" }],
      [{ path: "h", type: "hardlink", link: "missing" }],
      [{ path: "h", type: "hardlink", link: "" }],
      [{ path: "d", type: "directory" }, { path: "h", type: "hardlink", link: "d" }],
      [{ path: ".wh.w" }, { path: "h", type: "hardlink", link: "w" }],
    ] as const satisfies readonly (readonly TarEntry[])[]) {
      guard();
      expect(bench.run(tar(entries)).error).toMatchObject({ call: "" });
      expect(lstatSync(join(outside, "file")).nlink).toBe(1);
      expectUntouched();
    }
  });

  test("a hard link to a symbolic link links the link, and a file then replaces it", () => {
    guard();
    const result = bench.run(
      tar([
        { path: "l", type: "symlink", link: join(outside, "file") },
        { path: "h", type: "hardlink", link: "l" },
        { path: "h", content: "mine", mode: 0o777 },
      ]),
    );
    expect(result).toMatchObject({ ok: true });
    expect(readFileSync(bench.path("h"), "utf8")).toBe("mine");
    expectUntouched();
  });

  test("links in a circle end", () => {
    expect(bench.run(tar([{ path: "a", type: "symlink", link: "b" }, { path: "b", type: "symlink", link: "a" }, { path: "a/x", content: "1" }])).ok).toBe(false);
  });

  test("a link to a directory of a lower layer is followed inside the root, not replaced", () => {
    expect(bench.run(tar([{ path: "lib", type: "symlink", link: "/usr/lib" }, { path: "lib/x.so", content: "1" }]))).toMatchObject({ ok: true, implicit: ["usr", "usr/lib"] });
    expect(readFileSync(bench.path("usr/lib/x.so"), "utf8")).toBe("1");
    expect(readlinkSync(bench.path("lib"))).toBe("/usr/lib");
  });

  test("an entry below a file is refused", () => {
    expect(bench.run(tar([{ path: "f", content: "1" }, { path: "f/x", content: "1" }])).error).toMatchObject({ call: "", path: "f" });
  });
});

describe("a malformed layer is refused, and says why", () => {
  const plain = tar([{ path: "a", content: "x".repeat(100_000) }]);

  test("cut off anywhere", () => {
    for (const size of [700, 50_000]) expect(bench.run(plain.subarray(0, size)).error).toMatchObject({ call: "", message: expect.stringContaining("ends in the middle") });
    const packed = gzipSync(plain);
    for (const size of [4, 12, packed.length - 1]) expect(bench.run(packed.subarray(0, size), "--compression", "gzip").error).toMatchObject({ stage: "decompress", message: expect.stringContaining("too early") });
    const zstd = execFileSync("zstd", ["-q", "-c"], { input: plain });
    expect(bench.run(zstd.subarray(0, zstd.length - 3)).error).toMatchObject({ stage: "decompress", message: expect.stringContaining("too early") });
  });

  test("damaged, with the digest of all that came, so that the caller can tell a bad copy from a bad layer", () => {
    const packed = gzipSync(tar([{ path: "a", content: Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251)) }]));
    const damaged = Buffer.from(packed);
    damaged.fill(0xff, 200, 260);
    const result = bench.run(damaged);
    expect(result).toMatchObject({ ok: false, digest: sha256(damaged), error: { call: "" } });
    const flipped = Buffer.from(plain);
    flipped[150] = 0x39;
    expect(bench.run(flipped)).toMatchObject({ ok: false, digest: sha256(flipped), error: { message: expect.stringContaining("checksum") } });
  });

  test("followed by something that is no compressed data", () => {
    expect(bench.run(Buffer.concat([gzipSync(plain), Buffer.from("garbage")])).error?.message).toContain("behind the end");
    expect(bench.run(Buffer.concat([gzipSync(plain), Buffer.alloc(10), gzipSync(plain)])).error?.message).toContain("behind the end");
  });

  test("compressed in a way that we cannot read", () => {
    expect(bench.run(execFileSync("xz", ["-c"], { input: plain })).error?.message).toContain("xz");
    expect(bench.run(Buffer.from("BZh91AY&SY....")).error?.message).toContain("bzip2");
  });

  test("no tar at all", () => {
    expect(bench.run(Buffer.from("<html>".repeat(500))).error?.message).toContain("not a tar archive");
    expect(bench.run(Buffer.from("short")).error?.message).toContain("ends in the middle");
  });

  const pax = (text: string): Buffer => {
    const parts = tar([{ path: "x", content: text }, { path: "y", content: "1" }]);
    parts[156] = 0x78; // the first entry becomes an extended header
    let sum = 8 * 32;
    for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 0 : (parts[i] ?? 0);
    parts.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    return parts;
  };
  test.each([["no length"], ["99 path=x\n"], ["9 path=xx"], ["5 \n"], ["8 path=\n8"], ["-1 a=b\n"], ["18446744073709551615 a=b\n"], ["6 =bb\n"]])("with the pax record %j", (text) => {
    expect(bench.run(pax(text)).error).toMatchObject({ call: "", message: expect.stringContaining("pax") });
  });

  test.each([
    [{ size: "-1" }],
    [{ size: "9223372036854775808" }],
    [{ uid: "4294967295" }],
    [{ gid: "-5" }],
    [{ mtime: "soon" }],
    [{ "GNU.sparse.major": "7", "GNU.sparse.minor": "0" }],
    [{ "GNU.sparse.map": "0,5,3", "GNU.sparse.size": "10" }],
    [{ "GNU.sparse.map": "5,3,0,3", "GNU.sparse.size": "10" }],
    [{ "GNU.sparse.map": "0,20", "GNU.sparse.size": "10" }],
    [{ "GNU.sparse.map": "18446744073709551615,2", "GNU.sparse.size": "10" }],
    [{ "GNU.sparse.map": "0,1" }],
  ])("with the records %j", (records) => {
    expect(bench.run(tar([{ path: "a", content: "12", pax: records }])).error).toMatchObject({ call: "" });
  });

  test("with a header extension without end, or a name longer than any path", () => {
    expect(bench.run(tar([{ path: "x", content: "1", pax: { comment: "c".repeat(2 << 20) } }])).error?.message).toContain("too long");
    expect(bench.run(tar([{ path: "x", content: "1", pax: { path: "p/".repeat(5000) } }])).error?.message).toContain("longer than 4095");
    expect(bench.run(tar([{ path: "x", content: "1", pax: { path: "p".repeat(300) } }])).error).toMatchObject({ errno: 36 });
    expect(bench.run(tar([{ path: "x", content: "1", pax: { path: "a\0b" } }])).error?.message).toContain("zero byte");
  });

  test("with an entry of an unknown type", () => {
    const odd = tar([{ path: "a" }]);
    odd[156] = 0x56;
    let sum = 8 * 32;
    for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 0 : (odd[i] ?? 0);
    odd.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    expect(bench.run(odd).error?.message).toContain("unknown type 'V'");
  });
});

describe("a bomb stops at the limit", () => {
  test("of decompressed bytes, in gzip and in zstd", () => {
    const zeros = tar([{ path: "zeros", content: Buffer.alloc(64 << 20) }]);
    for (const packed of [gzipSync(zeros), execFileSync("zstd", ["-q", "-c"], { input: zeros })]) {
      expect(bench.run(packed, "--max-bytes", String(1 << 20))).toMatchObject({ ok: false, digest: sha256(packed), error: { stage: "limit", errno: 27 } });
      expect(existsSync(bench.path("zeros")) ? lstatSync(bench.path("zeros")).size : 0).toBeLessThanOrEqual(1 << 20);
      expect(bench.run(packed, "--max-bytes", String(65 << 20))).toMatchObject({ ok: true });
    }
  });

  test("of the size that a sparse file claims", () => {
    const bomb = tar([{ path: "a", content: "", pax: { "GNU.sparse.map": "0,0", "GNU.sparse.size": String(2 ** 50) } }]);
    expect(bench.run(bomb, "--max-bytes", String(1 << 30)).error).toMatchObject({ stage: "limit" });
  });
});

test("the memory that a layer takes does not grow with it", () => {
  const big = join(bench.scratch, "big.tar");
  writeFileSync(big, tar([{ path: "a", content: Buffer.alloc(96 << 20, "abc") }]));
  bench.clear();
  const program = "import resource,subprocess,sys\nsubprocess.run(sys.argv[2:], stdin=open(sys.argv[1]), stdout=subprocess.DEVNULL, check=True)\nprint(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
  const peak = execFileSync("python3", ["-c", program, big, bench.runtime, "unpack", "--into", bench.into], { encoding: "utf8" });
  expect(Number(peak)).toBeLessThan(40_000);
});
