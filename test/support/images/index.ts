/**
 * Images for tests, made on this machine from distribution packages: no registry, no other container tool.
 * The result is one OCI layout, cached below /var/tmp until the recipes change.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fixtures } from "./fixtures.ts";
import type { Fixture } from "./fixtures.ts";
import { Layout } from "./layout.ts";
import type { LayerBlob } from "./layout.ts";
import { PackageCache, mergedDirectories, unpackPackages } from "./packages.ts";

export { Layout, sha256 } from "./layout.ts";
export type { ImageConfig, LayerBlob } from "./layout.ts";
export { tar } from "./tar.ts";
export type { TarEntry } from "./tar.ts";

export const cacheRoot = process.env["STACK_TEST_CACHE"] ?? "/var/tmp/stack-test-cache";

/** Left out of layers: documentation, and the optional compiler of PostgreSQL, which is larger than all the rest. */
const excluded = ["usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/perl/*/pod", "usr/lib/*/libLLVM*", "usr/lib/postgresql/*/lib/bitcode", "usr/lib/llvm*", "usr/share/zoneinfo/right"];

function recipeHash(): string {
  const here = new URL(".", import.meta.url).pathname;
  const hash = createHash("sha256").update(process.version);
  for (const name of readdirSync(here).sort()) hash.update(name).update(readFileSync(join(here, name)));
  return hash.digest("hex").slice(0, 16);
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return `sha256:${hash.digest("hex")}`;
}

/** Packs a directory in a way that gives the same bytes each time. */
async function packLayer(tree: string, layout: Layout, compression: "gzip" | "zstd", skipLinks: boolean): Promise<LayerBlob> {
  const plain = `${tree}.tar`;
  const exclude = [...excluded, ...(skipLinks ? mergedDirectories : [])].map((e) => `--exclude=./${e}`);
  execFileSync("tar", ["--numeric-owner", "--sort=name", "--mtime=@1700000000", ...exclude, "-C", tree, "-cf", plain, "."]);
  const packed = `${plain}.packed`;
  execFileSync("sh", ["-c", `${compression === "gzip" ? "gzip -n -1" : "zstd -q -3"} < "$1" > "$2"`, "pack", plain, packed]);
  const layer = { digest: await digestOf(packed), size: statSync(packed).size, diffId: await digestOf(plain), compression };
  layout.adopt(packed, layer);
  rmSync(plain);
  return layer;
}

async function build(work: string, layout: Layout): Promise<void> {
  const packages = new PackageCache(join(cacheRoot, "packages"));
  const layers = new Map<string, readonly LayerBlob[]>();
  const base = fixtures.find((f) => f.packages.length > 0 && f.on === undefined);
  if (base === undefined) throw new Error("no base image");
  const baseTree = join(work, "base");
  const baseArchives = packages.closure(base.packages);
  const make = async (fixture: Fixture): Promise<void> => {
    const tree = fixture === base ? baseTree : join(work, fixture.tag.replaceAll(/[^a-z0-9.-]/g, "_"));
    mkdirSync(tree);
    if (fixture === base) unpackPackages(baseArchives, tree);
    else if (fixture.packages.length > 0) {
      const names = new Set(baseArchives.map((a) => basename(a)));
      unpackPackages(packages.closure([...base.packages, ...fixture.packages]).filter((a) => !names.has(basename(a))), tree);
    }
    fixture.finish(tree, baseTree);
    const top = await packLayer(tree, layout, fixture.compression, fixture.on !== undefined);
    if (fixture !== base) rmSync(tree, { recursive: true });
    const all = [...(fixture.on === undefined ? [] : (layers.get(fixture.on) ?? [])), top];
    layers.set(fixture.tag, all);
    layout.image(fixture.tag, all, fixture.config);
  };
  for (const fixture of fixtures) await make(fixture);
}

/** Directory of an OCI layout with every image of the examples, made if it is not there yet (about half a minute). */
export async function imageLayout(): Promise<string> {
  const done = join(cacheRoot, `images-${recipeHash()}`);
  if (existsSync(done)) return done;
  mkdirSync(cacheRoot, { recursive: true });
  for (const name of readdirSync(cacheRoot)) if (/^(images|making)-/.test(name)) rmSync(join(cacheRoot, name), { recursive: true });
  const making = join(cacheRoot, `making-${process.pid}`);
  mkdirSync(making, { mode: 0o755 });
  const layout = new Layout(join(making, "layout"));
  await build(making, layout);
  renameSync(join(making, "layout"), done);
  rmSync(making, { recursive: true });
  return done;
}
