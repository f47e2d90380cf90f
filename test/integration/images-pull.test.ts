import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ImageProgress } from "../../src/images/index.ts";
import { digestOf, FakeRegistry } from "../support/fake-registry.ts";
import { deferred, pullOptions, StoreBench } from "../support/image-store.ts";
import { tar } from "../support/images/tar.ts";

let server: FakeRegistry;
let bench: StoreBench;
beforeEach(async () => {
  server = await FakeRegistry.start();
  bench = new StoreBench();
});
afterEach(async () => {
  bench[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

const base = tar([
  { path: "etc", type: "directory" },
  { path: "etc/name", content: "base" },
  { path: "etc/gone", content: "1" },
  { path: "old", type: "directory" },
  { path: "old/file", content: "1" },
  { path: "tmp", type: "directory", mode: 0o1777, uid: 7 },
]);
const upper = tar([
  { path: "etc/name", content: "upper" },
  { path: "etc/.wh.gone" },
  { path: "old/.wh..wh..opq" },
  { path: "old/new", content: "1" },
  { path: "link", type: "symlink", link: "/etc/name" },
]);
/** Does not compress: as many bytes travel as the file has. */
const noise = (size: number): Buffer => tar([{ path: `noise-${size}`, content: randomBytes(size) }]);
const ref = (tag = "1", name = "app"): string => `${server.address}/${name}:${tag}`;
const hex = (plain: Buffer): string => createHash("sha256").update(plain).digest("hex");

/** Holds back the answers to requests for that blob until `release`. */
function gate(digest: string, part = 1000): { readonly reached: Promise<void>; release(): void } {
  const reached = deferred();
  const waiting: (() => void)[] = [];
  let open = false;
  server.hook = (request, response) => {
    if (!request.path.endsWith(digest) || open) return false;
    const data = server.blobs.get(digest) ?? Buffer.alloc(0);
    response.writeHead(200, { "content-length": data.length });
    response.write(data.subarray(0, part), () => reached.resolve());
    waiting.push(() => response.end(data.subarray(part)));
    return true;
  };
  return {
    reached: reached.promise,
    release: () => {
      open = true;
      for (const go of waiting.splice(0)) go();
    },
  };
}

describe("pulling", () => {
  test("brings the image here, uppermost layer first, and tells of it", async () => {
    const made = server.image("app", "1", [base, upper], { config: { Cmd: ["run"], Env: ["A=b"] } });
    const progress: ImageProgress[] = [];
    const image = await bench.open().pull(ref(), pullOptions({ onProgress: (p) => progress.push(p) }));
    expect(image).toMatchObject({ id: made.config, digest: made.manifest, references: [ref()], platform: { os: "linux", architecture: "amd64" }, config: { cmd: ["run"], env: ["A=b"] } });
    expect(image.layers).toEqual([upper, base].map((plain) => join(bench.root.root, "layers", hex(plain), "diff")));
    expect(image.size).toBe("base".length + "upper".length + 3);
    expect(await bench.open().find(ref())).toEqual(image);
    expect(progress[0]).toEqual({ kind: "resolving", reference: ref() });
    expect(progress.at(-1)).toEqual({ kind: "done", reference: ref(), image: made.config, changed: true });
    for (const layer of made.layers) {
      const of = progress.filter((p) => p.kind === "layer" && p.layer === layer.slice(7, 19));
      expect(of.map((p) => (p as { status: string }).status)).toEqual(["waiting", "pulling", "unpacking", "done"]);
    }
    expect(bench.remains().tmp).toEqual([]);
  });

  test("nobody but root can reach the layers (CVE-2024-25621)", async () => {
    server.image("app", "1", [tar([{ path: "su", content: "x", mode: 0o4755 }])]);
    const image = await bench.open().pull(ref(), pullOptions());
    for (let at = join(image.layers[0]!, ".."); at !== bench.root.root; at = join(at, "..")) expect(statSync(at).mode & 0o077).toBe(0);
  });

  test("again, when nothing changed, costs one HEAD request", async () => {
    server.image("app", "1", [base]);
    const images = bench.open();
    const first = await images.pull(ref(), pullOptions());
    server.seen.length = 0;
    const progress: ImageProgress[] = [];
    expect(await images.pull(ref(), pullOptions({ onProgress: (p) => progress.push(p) }))).toEqual(first);
    expect(server.seen.filter((s) => s.path.includes("/v2/")).map((s) => s.method)).toEqual(["HEAD"]);
    expect(progress.at(-1)).toMatchObject({ changed: false });
  });

  test("follows a tag that moved, and shares the layers", async () => {
    server.image("app", "1", [base]);
    const images = bench.open();
    const before = await images.pull(ref(), pullOptions());
    server.image("app", "1", [base, upper]);
    server.seen.length = 0;
    const after = await images.pull(ref(), pullOptions());
    expect(after.id).not.toBe(before.id);
    expect(after.layers[1]).toBe(before.layers[0]);
    expect(server.count("GET", digestOf(gzipSync(base)))).toBe(0);
    expect((await images.list()).map((i) => [i.id, i.references])).toEqual(expect.arrayContaining([[before.id, []], [after.id, [ref()]]]));
  });

  test("by digest asks nobody twice", async () => {
    const made = server.image("app", "1", [base]);
    const images = bench.open();
    const reference = `${server.address}/app@${made.manifest}`;
    await images.pull(reference, pullOptions());
    server.seen.length = 0;
    await images.pull(reference, pullOptions());
    expect(server.seen).toEqual([]);
    expect((await images.find(reference))?.references).toEqual([reference]);
  });

  test("understands gzip, zstd and no compression, in Docker's manifests too", async () => {
    const packs = [(plain: Buffer) => plain, (plain: Buffer) => gzipSync(plain), (plain: Buffer) => execFileSync("zstd", ["-q", "-c"], { input: plain })];
    for (const [i, pack] of packs.entries()) {
      server.image("app", String(i), [base, upper], { pack });
      rmSync(bench.root.root, { recursive: true, force: true });
      const image = await bench.open().pull(ref(String(i)), pullOptions());
      expect(readFileSync(join(image.layers[0]!, "etc/name"), "utf8")).toBe("upper");
    }
  });

  test("chooses from an index by platform, and names what there is if there is no match", async () => {
    const platforms = ["amd64", "arm64"].map((architecture) => ({ architecture, made: server.image("app", architecture, [base], { architecture, config: { Env: [architecture] } }) }));
    const manifests = platforms.map(({ architecture, made }) => ({ mediaType: "application/vnd.oci.image.manifest.v1+json", digest: made.manifest, size: 1, platform: { os: "linux", architecture } }));
    const attestation = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: `sha256:${"0".repeat(64)}`, size: 1, platform: { os: "unknown", architecture: "unknown" } };
    const top = server.put("app", "1", { schemaVersion: 2, manifests: [attestation, ...manifests] });
    const images = bench.open();
    for (const platform of ["linux/arm64", "linux/amd64", "linux/arm64/v8"]) {
      const image = await images.pull(ref(), pullOptions({ platform }));
      expect(image).toMatchObject({ digest: top, config: { env: [platform.split("/")[1]] } });
    }
    await expect(images.pull(ref(), pullOptions({ platform: "linux/s390x" }))).rejects.toMatchObject({
      code: "image-platform",
      message: expect.stringContaining("no image for linux/s390x"),
      hint: expect.stringContaining("linux/amd64, linux/arm64"),
    });
  });

  test("an image of no layers at all", async () => {
    server.image("app", "1", []);
    expect(await bench.open().pull(ref(), pullOptions())).toMatchObject({ layers: [], size: 0 });
  });

  test("an image that has the same layer twice lists it once, as overlayfs wants it", async () => {
    server.image("app", "1", [base, upper, base]);
    expect((await bench.open().pull(ref(), pullOptions())).layers.map((l) => l.split("/").at(-2))).toEqual([hex(base), hex(upper)]);
  });
});

describe("what is not as it should be is refused, and nothing of it kept", () => {
  async function refused(code: string, message: string | RegExp): Promise<void> {
    await expect(bench.open().pull(ref(), pullOptions())).rejects.toMatchObject({ code, message: typeof message === "string" ? expect.stringContaining(message) : expect.stringMatching(message) });
    expect(await bench.open().find(ref())).toBeUndefined();
    expect(bench.remains()).toMatchObject({ tmp: [], blobs: [] });
    const names = existsSync(join(bench.root.root, "layers")) ? readdirSync(join(bench.root.root, "layers")) : [];
    expect(names.filter((name) => !names.includes(name.split(".")[0] ?? "")), "locks of layers that are not here").toEqual([]);
  }

  test("a layer with another content: both digests named", async () => {
    const made = server.image("app", "1", [base]);
    const [digest = ""] = made.layers;
    const other = gzipSync(upper);
    server.blobs.set(digest, Buffer.concat([other, Buffer.alloc(Math.max((server.blobs.get(digest)?.length ?? 0) - other.length, 0))]));
    const size = server.blobs.get(digest)!.length;
    const manifest = JSON.parse(server.manifests.get("app:1")!.body.toString()) as { layers: { size: number }[] };
    manifest.layers[0]!.size = size;
    server.put("app", "1", manifest);
    await refused("digest-mismatch", new RegExp(`${digestOf(server.blobs.get(digest)!)}, expected ${digest}`));
    expect(bench.remains().layers).toEqual([]);
  });

  test("a damaged layer is called damaged, not malformed", async () => {
    const plain = noise(300_000);
    const [digest = ""] = server.image("app", "1", [plain]).layers;
    server.blobs.get(digest)!.fill(0, 1000, 2000);
    await refused("digest-mismatch", digest);
  });

  test("a layer whose content is not what the configuration says", async () => {
    const made = server.image("app", "1", [base]);
    const config = server.blob(server.blobs.get(made.config)!.toString().replace(digestOf(base), digestOf(upper)));
    const manifest = JSON.parse(server.manifests.get("app:1")!.body.toString()) as { config: { digest: string } };
    manifest.config.digest = config;
    server.put("app", "1", manifest);
    await refused("digest-mismatch", `${digestOf(base)}, expected ${digestOf(upper)}`);
  });

  test("a configuration with another digest", async () => {
    const made = server.image("app", "1", [base]);
    server.blobs.set(made.config, Buffer.from("{}"));
    await refused("digest-mismatch", "configuration");
  });

  test("a hostile layer, by name", async () => {
    const made = server.image("app", "1", [base, tar([{ path: "../../escaped", content: "1" }])]);
    await refused("image-invalid", `Layer ${made.layers[1]!.slice(7, 19)} of ${ref()} cannot be unpacked: a name leads out of the layer (../../escaped)`);
    expect(existsSync(join(bench.scratch, "escaped"))).toBe(false);
  });

  test("a layer that grows beyond the limit", async () => {
    server.image("app", "1", [tar([{ path: "zeros", content: Buffer.alloc(4 << 20) }])]);
    await expect(bench.open({ HOME: bench.scratch, STACK_MAX_LAYER_BYTES: "1000000" }).pull(ref(), pullOptions())).rejects.toMatchObject({ code: "image-invalid", hint: expect.stringContaining("STACK_MAX_LAYER_BYTES") });
    expect(bench.remains()).toEqual({ tmp: [], blobs: [], layers: [] });
  });

  test("more or fewer layers than the configuration names", async () => {
    server.image("app", "1", [base]);
    const manifest = JSON.parse(server.manifests.get("app:1")!.body.toString()) as { layers: unknown[] };
    server.put("app", "1", { ...manifest, layers: [...manifest.layers, ...manifest.layers] });
    await refused("image-invalid", "2 layers, its configuration 1");
  });

  test("an unknown tag, with the tags that are here", async () => {
    server.image("app", "1", [base]);
    await bench.open().pull(ref(), pullOptions());
    await expect(bench.open().pull(ref("2"), pullOptions())).rejects.toMatchObject({ code: "image-not-found", hint: expect.stringContaining(ref("1")) });
  });

  test("no space on the device: said so, and none taken", async () => {
    server.image("app", "1", [noise(90 << 20)], { pack: (plain) => plain });
    const mount = join(bench.scratch, "small");
    mkdirSync(mount);
    const result = await bench.pulling(ref(), { root: join(mount, "root"), prefix: ["unshare", "--mount", "sh", "-ec", `mount -t tmpfs -o size=100m stack-test ${mount}; "$@"; test -z "$(ls ${mount}/root/tmp)" && rm -r ${mount}/root/layers/* && test "$(ls -R ${mount}/root | grep -c noise)" = 0`, "sh"] }).result;
    expect(result?.error).toMatchObject({ code: "no-space", hint: expect.stringContaining("STACK_ROOT") });
  });
});

describe("cancelled, killed, at once", () => {
  test("a cancelled pull leaves nothing, and the next one works", async () => {
    const [, big = ""] = server.image("app", "1", [base, noise(400_000)]).layers;
    const held = gate(big);
    const stop = new AbortController();
    const pulling = bench.open().pull(ref(), { signal: stop.signal });
    await held.reached;
    stop.abort();
    await expect(pulling).rejects.toMatchObject({ code: "cancelled" });
    expect(bench.remains().tmp).toEqual([]);
    held.release();
    expect(await bench.open().pull(ref(), pullOptions())).toMatchObject({ references: [ref()] });
  });

  test("cancelled before it began, it asks nobody", async () => {
    server.image("app", "1", [base]);
    await expect(bench.open().pull(ref(), { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "cancelled" });
    expect(server.seen).toEqual([]);
  });

  test("a killed pull leaves only what the next one sweeps, and complete layers are used again", async () => {
    const made = server.image("app", "1", [base, noise(400_000)]);
    const held = gate(made.layers[1]!, 200_000);
    const puller = bench.pulling(ref());
    await held.reached;
    await puller.kill();
    held.release();
    server.seen.length = 0;
    // The unpacker ends by itself when its input does; its lock goes with it.
    await bench.open().pull(ref(), pullOptions());
    expect(bench.remains().tmp).toEqual([]);
    expect(server.count("GET", made.layers[1]!)).toBe(1);
  });

  test("two processes that want the same layer fetch it once", async () => {
    const made = server.image("app", "1", [noise(400_000)]);
    server.image("app", "2", [noise(1000)]);
    const held = gate(made.layers[0]!);
    const first = bench.pulling(ref());
    await held.reached;
    const waiting = deferred();
    let waits = 0;
    const second = bench.open().pull(ref(), pullOptions({ onProgress: (p) => p.kind === "layer" && p.status === "waiting" && ++waits === 2 && waiting.resolve() }));
    await waiting.promise; // it found the lock taken
    held.release();
    const [a, b] = await Promise.all([first.result, second]);
    expect(a?.image?.id).toBe(b.id);
    expect(server.count("GET", made.layers[0]!)).toBe(1);
  });

  test("when the process that unpacks is killed, the one that waits does the work", async () => {
    const made = server.image("app", "1", [noise(400_000)]);
    const held = gate(made.layers[0]!);
    const first = bench.pulling(ref());
    await held.reached;
    let waits = 0;
    const waiting = deferred();
    const second = bench.open().pull(ref(), pullOptions({ onProgress: (p) => p.kind === "layer" && p.status === "waiting" && ++waits === 2 && waiting.resolve() }));
    await waiting.promise;
    held.release();
    await first.kill();
    expect((await second).id).toBe(made.config);
  });

  test("many pulls of images that share layers, in one process", async () => {
    const shared = [noise(100_000), noise(100_001), noise(100_002), noise(100_003)];
    for (let i = 0; i < 8; i++) server.image("app", String(i), [...(i % 2 === 0 ? shared : [...shared].reverse()), tar([{ path: `own${i}`, content: "1" }])]);
    const images = bench.open();
    await Promise.all(Array.from({ length: 8 }, (_, i) => images.pull(ref(String(i)), pullOptions())));
    for (const layer of shared) expect(server.count("GET", digestOf(gzipSync(layer)))).toBe(1);
    expect(await images.list()).toHaveLength(8);
  });

  test("the first failure ends the other downloads", async () => {
    const made = server.image("app", "1", [noise(400_000), base]);
    let stalled: ServerResponse | undefined;
    const reached = deferred();
    const ended = deferred();
    server.hook = (request, response) => {
      if (request.path.endsWith(made.layers[0]!)) {
        stalled = response.writeHead(200, { "content-length": 400_000 });
        stalled.write("x", () => reached.resolve());
        stalled.on("close", () => ended.resolve());
        return true;
      }
      if (!request.path.endsWith(made.layers[1]!)) return false;
      void reached.promise.then(() => response.writeHead(404).end());
      return true;
    };
    await expect(bench.open().pull(ref(), pullOptions())).rejects.toMatchObject({ code: "image-not-found" });
    await ended.promise;
    expect(bench.remains().tmp).toEqual([]);
  });

  test("a layer that was not on the disk when the power failed is fetched again", async () => {
    const made = server.image("app", "1", [base]);
    const image = await bench.open().pull(ref(), pullOptions());
    const record = join(image.layers[0]!, "..", "layer.json");
    expect(JSON.parse(readFileSync(record, "utf8"))).not.toHaveProperty("bootId");
    writeFileSync(record, JSON.stringify({ ...(JSON.parse(readFileSync(record, "utf8")) as object), bootId: "another" }));
    writeFileSync(join(image.layers[0]!, "etc/name"), "");
    expect(await bench.open().find(ref())).toBeUndefined();
    await bench.open().pull(ref(), pullOptions());
    expect(readFileSync(join(image.layers[0]!, "etc/name"), "utf8")).toBe("base");
    expect(server.count("GET", made.layers[0]!)).toBe(2);
  });
});

describe("keeping", () => {
  test("an image is found by reference, digest, id and the beginning of its id", async () => {
    const made = server.image("app", "1", [base]);
    const images = bench.open();
    await images.pull(ref(), pullOptions());
    for (const text of [ref(), made.config, made.config.slice(7), made.config.slice(7, 19), `${server.address}/app@${made.manifest}`]) expect((await images.find(text))?.id, text).toBe(made.config);
    for (const text of [ref("2"), "0000", `${server.address}/other@${made.manifest}`, `${server.address}/ap@${made.manifest}`]) expect(await images.find(text), text).toBeUndefined();
  });

  test("collecting frees what no reference and no container uses", async () => {
    const one = server.image("app", "1", [base, noise(100_000)]);
    const two = server.image("app", "2", [base, noise(200_000)]);
    const images = bench.open();
    for (const tag of ["1", "2"]) await images.pull(ref(tag), pullOptions());
    expect(await images.collect([])).toBe(0);
    for (const tag of ["1", "2"]) await images.remove(ref(tag));
    expect(await images.collect([two.config])).toBe(100_000);
    expect(bench.remains()).toMatchObject({ tmp: [], layers: expect.objectContaining({ length: 2 }), blobs: expect.objectContaining({ length: 2 }) });
    expect(await images.find(one.config)).toBeUndefined();
    expect(await images.find(two.config)).toBeDefined();
    expect(await images.collect([])).toBeGreaterThan(200_000);
    expect(bench.remains()).toEqual({ tmp: [], layers: [], blobs: [] });
    await images.pull(ref("2"), pullOptions());
  });

  test("collecting does not touch the layers of a pull in progress", async () => {
    const made = server.image("app", "1", [base, noise(400_000)]);
    const done = deferred();
    const held = gate(made.layers[1]!);
    const puller = bench.open().pull(ref(), pullOptions({ onProgress: (p) => p.kind === "layer" && p.status === "done" && done.resolve() }));
    await Promise.all([held.reached, done.promise]);
    expect(await bench.open().collect([])).toBe(0);
    held.release();
    expect((await puller).layers.every((layer) => lstatSync(layer).isDirectory())).toBe(true);
  });

  test("removing what is not here says what is", async () => {
    server.image("app", "1", [base]);
    await bench.open().pull(ref(), pullOptions());
    await expect(bench.open().remove(ref("2"))).rejects.toMatchObject({ code: "no-such-image", hint: expect.stringContaining(ref("1")) });
  });

  test("a record of a newer version is not touched", async () => {
    mkdirSync(join(bench.root.root, "images"), { recursive: true });
    writeFileSync(join(bench.root.root, "images", "index.json"), '{"version":99,"images":{},"references":{}}');
    await expect(bench.open().list()).rejects.toMatchObject({ code: "state-version" });
  });
});

describe("the merged tree", () => {
  test("is read as the kernel's overlay shows it", async () => {
    const rest = tar([
      { path: "a/b/c", content: "deep" },
      { path: "a/loop", type: "symlink", link: "loop" },
      { path: "a/up", type: "symlink", link: "../../../etc/name" },
      { path: "a/dangling", type: "symlink", link: "/nowhere" },
      { path: "dir", type: "symlink", link: "a/b" },
      { path: "dev/null", type: "char", device: [1, 3] },
    ]);
    const over = tar([{ path: ".wh.a", content: "" }, { path: "a/b/new", content: "1" }]);
    server.image("app", "1", [base, upper, rest]);
    server.image("app", "2", [base, upper, rest, over]);
    const paths = ["etc/name", "/etc/name", "etc/gone", "old/file", "old/new", "link", "link/x", "a/b/c", "a/up", "a/loop", "a/dangling", "dir", "dir/c", "dir/new", "dir/../b/c", "dev/null", "tmp", "", "/", "..", "etc/../../etc/name", "nothing", "etc/name/x", "a"];
    const images = bench.open();
    for (const tag of ["1", "2"]) {
      const image = await images.pull(ref(tag), pullOptions());
      // The kernel looks from a root of its own, so that absolute links mean the same as for us.
      const merged = join(bench.scratch, `merged${tag}`);
      mkdirSync(merged);
      const program = [
        "import os,sys,stat,json",
        "os.chroot(sys.argv[1]); os.chdir('/')",
        "def look(p):",
        "  p = '/' + p",
        "  try: s = os.stat(p)",
        "  except OSError:",
        "    return ['symlink', None] if os.path.islink(p) and not p.endswith('loop') else [None, None]",
        "  k = 'directory' if stat.S_ISDIR(s.st_mode) else 'file' if stat.S_ISREG(s.st_mode) else 'other'",
        "  return [k, open(p).read() if k == 'file' else None]",
        "print(json.dumps([look(p) for p in sys.argv[2:]]))",
      ].join("\n");
      const out = execFileSync("unshare", ["--mount", "sh", "-ec", `mount -t overlay -o lowerdir=${image.layers.join(":")} stack-test "${merged}"; exec python3 -c "$0" "$@"`, program, merged, ...paths], { encoding: "utf8" });
      const kernel = JSON.parse(out) as [string | null, string | null][];
      for (const [i, path] of paths.entries()) {
        const ours = [(await images.stat(image.layers, path))?.kind ?? null, (await images.readFile(image.layers, path, 100).then((b) => (b === undefined ? null : Buffer.from(b).toString())))];
        expect(ours, `${path} in ${tag}`).toEqual(kernel[i]);
      }
    }
  });

  test("gives at most so many bytes", async () => {
    server.image("app", "1", [base]);
    const images = bench.open();
    const { layers } = await images.pull(ref(), pullOptions());
    expect(Buffer.from((await images.readFile(layers, "etc/name", 2))!).toString()).toBe("ba");
  });

  test("a directory without an entry of its own looks as in the layers below", async () => {
    server.image("app", "1", [base, tar([{ path: "tmp/x", content: "1" }, { path: "srv/deep/x", content: "1" }])]);
    const { layers } = await bench.open().pull(ref(), pullOptions());
    const merged = join(bench.scratch, "merged");
    mkdirSync(merged);
    const out = execFileSync("unshare", ["--mount", "sh", "-ec", `mount -t overlay -o lowerdir=${layers.join(":")} stack-test "$1"; stat -c '%a %u' "$1/tmp" "$1/srv"; ls "$1/tmp"`, "sh", merged], { encoding: "utf8" });
    expect(out).toBe("1777 7\n755 0\nx\n");
  });

  test("a layer that empties the root hides all below", async () => {
    server.image("app", "1", [base, tar([{ path: ".wh..wh..opq" }, { path: "only", content: "1" }])]);
    const { layers } = await bench.open().pull(ref(), pullOptions());
    expect(layers).toHaveLength(1);
  });
});
