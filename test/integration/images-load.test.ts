import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { HostPath } from "../../src/core/index.ts";
import { digestOf } from "../support/fake-registry.ts";
import { pullOptions, StoreBench } from "../support/image-store.ts";
import { tar } from "../support/images/tar.ts";
import type { TarEntry } from "../support/images/tar.ts";

let bench: StoreBench;
beforeEach(() => {
  bench = new StoreBench();
});
afterEach(() => bench[Symbol.dispose]());

const base = tar([{ path: "etc/name", content: "base" }]);
const upper = tar([{ path: "etc/name", content: "upper" }]);
const config = (layers: readonly Buffer[], extra: object = {}): string => JSON.stringify({ os: "linux", architecture: "amd64", config: { Cmd: ["run"] }, rootfs: { type: "layers", diff_ids: layers.map(digestOf) }, ...extra });

/** What `docker save` writes (before version 25). */
function dockerArchive(tags: readonly string[] | null = ["app:1"], layers: readonly Buffer[] = [base, upper]): TarEntry[] {
  const document = config(layers);
  const name = `${digestOf(document).slice(7)}.json`;
  return [
    { path: "manifest.json", content: JSON.stringify([{ Config: name, RepoTags: tags, Layers: layers.map((_, i) => `layer${i}/layer.tar`) }]) },
    { path: name, content: document },
    ...layers.flatMap((layer, i): TarEntry[] => [
      { path: `layer${i}`, type: "directory" },
      { path: `layer${i}/layer.tar`, content: layer },
    ]),
  ];
}

interface LayoutImage {
  readonly name?: string;
  readonly architecture?: string;
  readonly layers: readonly Buffer[];
}

function ociLayout(images: readonly LayoutImage[]): TarEntry[] {
  const blobs = new Map<string, Buffer>();
  const put = (data: Buffer | string): { digest: string; size: number } => {
    blobs.set(digestOf(data), Buffer.from(data));
    return { digest: digestOf(data), size: data.length };
  };
  const manifests = images.map(({ name, architecture = "amd64", layers }) => {
    const document = { mediaType: "application/vnd.oci.image.config.v1+json", ...put(config(layers, { architecture })) };
    const packed = layers.map((layer) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...put(gzipSync(layer)) }));
    const manifest = put(JSON.stringify({ schemaVersion: 2, config: document, layers: packed }));
    return {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      ...manifest,
      platform: { os: "linux", architecture },
      ...(name === undefined ? {} : { annotations: { "org.opencontainers.image.ref.name": name } }),
    };
  });
  return [
    { path: "oci-layout", content: '{"imageLayoutVersion":"1.0.0"}' },
    { path: "index.json", content: JSON.stringify({ schemaVersion: 2, manifests }) },
    ...[...blobs].map(([digest, content]): TarEntry => ({ path: `blobs/sha256/${digest.slice(7)}`, content })),
  ];
}

/** The archive as a directory. */
function extract(entries: readonly TarEntry[]): HostPath {
  const directory = join(bench.scratch, "extracted");
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  execFileSync("tar", ["-x", "-C", directory], { input: tar(entries) });
  return directory as HostPath;
}

function file(name: string, data: Buffer): HostPath {
  const path = join(bench.scratch, name);
  writeFileSync(path, data);
  return path as HostPath;
}

const zstd = (data: Buffer): Buffer => execFileSync("zstd", ["-q", "-c"], { input: data });
const name = (layer: string): string => readFileSync(join(layer, "etc/name"), "utf8");

describe("a docker-archive", () => {
  test("is loaded from a tar, packed or not, a stream, or a directory", async () => {
    const plain = tar(dockerArchive());
    const sources = [
      () => file("a.tar", plain),
      () => file("a.tar.gz", gzipSync(plain)),
      () => file("a.tar.zst", zstd(plain)),
      () => createReadStream(file("b.tar", gzipSync(plain))),
      () => Readable.from([plain.subarray(0, 700), plain.subarray(700)]),
      () => extract(dockerArchive()),
    ];
    for (const source of sources) {
      rmSync(bench.root.root, { recursive: true, force: true });
      const images = bench.open();
      const loaded = await images.load(source(), pullOptions());
      expect(loaded.map((l) => l.reference)).toEqual(["docker.io/library/app:1"]);
      const image = await images.find("app:1");
      expect(image).toMatchObject({ id: digestOf(config([base, upper])), config: { cmd: ["run"] }, references: ["docker.io/library/app:1"] });
      expect(image).not.toHaveProperty("digest");
      expect(image?.layers.map(name)).toEqual(["upper", "base"]);
      expect(bench.remains().tmp).toEqual([]);
    }
  });

  test("may have several images with several names, or none", async () => {
    const one = dockerArchive(["app:1", "ghcr.io/x/app:2"], [base]);
    const loaded = await bench.open().load(file("a.tar", tar(one)), pullOptions());
    expect(loaded.map((l) => l.reference)).toEqual(["docker.io/library/app:1", "ghcr.io/x/app:2"]);
    const nameless = await bench.open().load(file("b.tar", tar(dockerArchive(null, [upper]))), pullOptions());
    expect(nameless.map((l) => l.reference)).toEqual([null]);
    expect((await bench.open().find(nameless[0]!.image.id))?.references).toEqual([]);
  });

  test("of old versions, whose layers are links to each other", async () => {
    const entries = dockerArchive(["app:1"], [base, base]).filter((e) => e.path !== "layer1/layer.tar");
    const image = (await bench.open().load(file("a.tar", tar([...entries, { path: "layer1/layer.tar", type: "symlink", link: "../layer0/layer.tar" }])), pullOptions()))[0]?.image;
    expect(image?.layers.map(name)).toEqual(["base"]);
  });
});

describe("an OCI layout", () => {
  test("is loaded from a directory or a tar, with the names it has", async () => {
    const entries = ociLayout([{ name: "app:1", layers: [base] }, { name: "ghcr.io/x/y:2", layers: [base, upper] }, { name: "latest", layers: [upper] }]);
    for (const source of [extract(entries), file("a.tar", tar(entries)), file("a.tar.zst", zstd(tar(entries)))]) {
      rmSync(bench.root.root, { recursive: true, force: true });
      const loaded = await bench.open().load(source, pullOptions());
      // A bare tag names no image.
      expect(loaded.map((l) => l.reference)).toEqual(["docker.io/library/app:1", "ghcr.io/x/y:2", null]);
      expect(loaded[1]?.image.digest).toMatch(/^sha256:/);
      expect(loaded[1]?.image.layers.map(name)).toEqual(["upper", "base"]);
    }
  });

  test("gives the image of the platform that was asked for", async () => {
    const entries = ociLayout([{ name: "app:1", architecture: "arm64", layers: [base] }, { name: "app:1", architecture: "amd64", layers: [upper] }]);
    const loaded = await bench.open().load(extract(entries), pullOptions({ platform: "linux/arm64" }));
    expect(loaded.map((l) => l.image.layers.map(name))).toEqual([["base"]]);
    await expect(bench.open().load(extract(entries), pullOptions({ platform: "linux/s390x" }))).rejects.toMatchObject({ code: "image-platform", hint: expect.stringContaining("linux/arm64, linux/amd64") });
  });
});

describe("a bad archive is refused, and nothing of it kept", () => {
  async function refused(source: HostPath | NodeJS.ReadableStream, code: string, message: string): Promise<void> {
    await expect(bench.open().load(source, pullOptions())).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    expect(bench.remains()).toMatchObject({ blobs: [], tmp: [] });
    expect(await bench.open().list()).toEqual([]);
    // Layers that were whole and verified wait for the next try, or to be collected.
    await bench.open().collect([]);
    expect(bench.remains().layers).toEqual([]);
  }
  const changed = (path: string, change: Partial<TarEntry>, entries = dockerArchive()): Buffer => tar(entries.map((e) => (e.path === path ? { ...e, ...change } : e)));
  const configName = `${createHash("sha256").update(config([base, upper])).digest("hex")}.json`;

  test("no archive at all", async () => {
    await refused(file("x", Buffer.from("<html>".repeat(200))), "image-invalid", "is not an archive of images");
    await refused(file("x", tar([{ path: "etc/passwd", content: "1" }])), "image-invalid", "neither a docker-archive nor an OCI layout");
    await refused(file("x", tar([])), "image-invalid", "neither");
    await refused(join(bench.scratch, "missing") as HostPath, "usage", "There is no file");
    await refused(file("x", tar([{ path: "manifest.json", content: "[]" }])), "image-invalid", "contains no image");
  });

  test("cut off", async () => {
    await refused(file("x", tar(dockerArchive()).subarray(0, 3000)), "image-invalid", "ends in the middle");
    await refused(file("x", gzipSync(tar(dockerArchive())).subarray(0, 200)), "image-invalid", "too early");
  });

  test("a part missing, or not what it is called", async () => {
    await refused(file("x", tar(dockerArchive().filter((e) => e.path !== "layer1/layer.tar"))), "image-invalid", "no file layer1/layer.tar");
    await refused(file("x", changed("layer1/layer.tar", { content: base })), "digest-mismatch", digestOf(upper));
    await refused(file("x", changed(configName, { content: config([base, upper], { os: "linux", x: 1 }) })), "digest-mismatch", configName);
    await refused(file("x", changed("manifest.json", { content: "{" })), "image-invalid", "not valid JSON");
    await refused(file("x", changed("manifest.json", { content: '[{"Config": 5}]' })), "image-invalid", "malformed");
    const layout = ociLayout([{ name: "app:1", layers: [base] }]);
    const blob = layout.findIndex((e) => e.content instanceof Buffer && e.content[0] === 0x1f);
    await refused(file("x", tar(layout.map((e, i) => (i === blob ? { ...e, content: gzipSync(upper) } : e)))), "digest-mismatch", digestOf(gzipSync(base)));
  });

  test.each([
    ["a link to a file of the host", { type: "symlink", link: "/etc/passwd", content: "" }],
    ["a link upwards", { type: "symlink", link: "../../../../../../../etc/passwd", content: "" }],
    ["a fifo, which would be waited for", { type: "fifo", content: "" }],
    ["a device", { type: "char", device: [1, 5], content: "" }],
    ["a directory", { type: "directory", content: "" }],
  ] as const)("%s in place of a document or a layer", async (_name, change) => {
    for (const path of ["manifest.json", configName, "layer0/layer.tar"]) {
      const error: unknown = await bench.open().load(file("x", changed(path, change)), pullOptions()).then(() => undefined, (e: unknown) => e);
      expect(error).toMatchObject({ code: "image-invalid" });
      expect(bench.remains()).toMatchObject({ layers: [], blobs: [], tmp: [] });
    }
  });

  test("names that lead out", async () => {
    await refused(file("x", tar([...dockerArchive(), { path: "../../../escaped", content: "1" }])), "image-invalid", "out of the layer");
    expect(existsSync(join(bench.scratch, "escaped"))).toBe(false);
    const leading = JSON.stringify([{ Config: "../../../../etc/passwd", RepoTags: ["app:1"], Layers: [] }]);
    await refused(file("x", changed("manifest.json", { content: leading })), "image-invalid", "no file ../../../../etc/passwd");
  });

  test("in a directory of the user's own, links are followed but nothing unverified is kept", async () => {
    const directory = extract(dockerArchive());
    const layer = join(directory, "layer0/layer.tar");
    rmSync(layer);
    symlinkSync(file("elsewhere", base), layer);
    await bench.open().load(directory, pullOptions());
    rmSync(layer);
    symlinkSync("/dev/zero", layer);
    await expect(bench.open({}, { root: join(bench.scratch, "other") as HostPath }).load(directory, pullOptions())).rejects.toMatchObject({ code: "image-invalid" });
  });

  test("a bomb", async () => {
    const images = bench.open({ STACK_MAX_LAYER_BYTES: "2000000" });
    const bomb = gzipSync(tar([...dockerArchive(), { path: "zeros", content: Buffer.alloc(8 << 20) }]));
    await expect(images.load(Readable.from([bomb]), pullOptions())).rejects.toMatchObject({ code: "image-invalid" });
    expect(bench.remains().tmp).toEqual([]);
  });

  test("a stream that is cancelled, or breaks", async () => {
    const plain = tar(dockerArchive());
    const stop = new AbortController();
    const endless = new Readable({ read: () => undefined });
    endless.push(plain.subarray(0, 2000), undefined);
    const loading = bench.open().load(endless, { signal: stop.signal });
    endless.once("pause", () => undefined);
    stop.abort();
    await expect(loading).rejects.toMatchObject({ code: "cancelled" });
    const broken = Readable.from(
      (function* () {
        yield plain.subarray(0, 700);
        throw new Error("the cable is out");
      })(),
    );
    await expect(bench.open().load(broken, pullOptions())).rejects.toThrow("the cable is out");
    expect(bench.remains()).toEqual({ layers: [], blobs: [], tmp: [] });
  });
});
