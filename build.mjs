// Builds everything: the native addon and runtime binary (node-gyp), the schema validators, the bundles.
//   node build.mjs            all of it, each part only if its sources changed
//   node build.mjs --native   the native part alone
//   node build.mjs --ts       the bundles alone
//   node build.mjs --install  from npm install: says clearly what is missing
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync, chmodSync, copyFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const args = new Set(process.argv.slice(2));
const all = !args.has("--native") && !args.has("--ts");

function filesBelow(dir) {
  return readdirSync(join(here, dir), { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile())
    .map((e) => join(e.parentPath, e.name))
    .filter((f) => !f.includes("/native/build/"))
    .sort();
}

function hashOf(files, extra = "") {
  const hash = createHash("sha256").update(extra);
  for (const file of files) hash.update(file).update(readFileSync(file));
  return hash.digest("hex");
}

/** Runs `make` unless `stamp` says that nothing changed since. */
function unlessUnchanged(stamp, hash, outputs, make) {
  const path = join(here, stamp);
  if (existsSync(path) && readFileSync(path, "utf8") === hash && outputs.every((o) => existsSync(join(here, o)))) return;
  make();
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, hash);
}

function run(file, argv, options = {}) {
  // node-gyp reads npm's configuration from the environment, and a user's `nodedir` there would win over ours.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(package_)?config_/i.test(name)));
  const result = spawnSync(file, argv, { cwd: here, stdio: ["ignore", "inherit", "inherit"], env, ...options });
  if (result.error !== undefined || result.status !== 0) {
    throw new Error(`${file} ${argv.join(" ")} failed${result.error === undefined ? ` with status ${result.status}` : `: ${result.error.message}`}`);
  }
}

function missingTools() {
  const has = (tool) => spawnSync("sh", ["-c", `command -v ${tool}`], { stdio: "ignore" }).status === 0;
  const missing = [];
  if (!has("g++")) missing.push("g++");
  if (!has("make")) missing.push("make");
  if (!has("python3")) missing.push("python3");
  for (const [header, pack] of [["seccomp.h", "libseccomp-dev"], ["zlib.h", "zlib1g-dev"], ["zstd.h", "libzstd-dev"]]) {
    if (!existsSync(`/usr/include/${header}`)) missing.push(pack);
  }
  return missing;
}

/** node-gyp wants a tree of Node's headers; node-api-headers has what an addon needs, for any Node and offline. */
function headersTree() {
  const tree = join(here, "native/build/node-headers");
  const include = join(tree, "include/node");
  mkdirSync(join(tree, "include"), { recursive: true });
  rmSync(include, { recursive: true, force: true });
  mkdirSync(include);
  const from = require("node-api-headers").include_dir;
  for (const name of readdirSync(from)) symlinkSync(join(from, name), join(include, name));
  // node-gyp builds the configuration `Release`, which Node's own common.gypi would define.
  writeFileSync(join(include, "common.gypi"), '{"target_defaults": {"default_configuration": "Release", "configurations": {"Release": {}}}}\n');
  writeFileSync(join(include, "config.gypi"), "{}\n");
  writeFileSync(join(include, "node_version.h"), "#define NODE_MAJOR_VERSION 20\n#define NODE_MINOR_VERSION 19\n#define NODE_PATCH_VERSION 0\n");
  return tree;
}

function buildNative() {
  const sources = [...filesBelow("native"), join(here, "build.mjs")];
  const outputs = ["dist/native/stack_native.node", "dist/native/stack-runtime"];
  unlessUnchanged("dist/native/.hash", hashOf(sources, `${process.arch}${process.env.STACK_ASAN ?? ""}`), outputs, () => {
    const missing = missingTools();
    if (missing.length > 0) {
      const packs = [...new Set(missing.map((m) => (m === "g++" || m === "make" ? "build-essential" : m)))];
      throw new Error(`cannot build the native part: missing ${missing.join(", ")}\n  on Debian and Ubuntu: apt-get install ${packs.join(" ")}`);
    }
    const gyp = require.resolve("node-gyp/bin/node-gyp.js");
    const nodedir = headersTree();
    const flags = ["--directory", "native", "--nodedir", nodedir, "--loglevel", "error"];
    run(process.execPath, [gyp, "configure", ...flags, ...(process.env.STACK_ASAN ? ["--", "-Dasan=1"] : [])]);
    run(process.execPath, [gyp, "build", ...flags, "--jobs", "2"], { stdio: ["ignore", "ignore", "inherit"] });
    mkdirSync(join(here, "dist/native"), { recursive: true });
    for (const output of outputs) {
      const built = join(here, "native/build/Release", output.split("/").at(-1));
      rmSync(join(here, output), { force: true });
      copyFileSync(built, join(here, output));
    }
    chmodSync(join(here, "dist/native/stack-runtime"), 0o755);
  });
}

async function buildTypeScript() {
  const sources = [...filesBelow("src").filter((f) => f.endsWith(".ts") && !f.endsWith(".test.ts")), ...filesBelow("schemas"), join(here, "build.mjs"), join(here, "package.json")];
  const outputs = ["dist/stack.js", "src/model/generated/validate.js"];
  const stamp = join(here, "dist/.hash");
  const hash = hashOf(sources);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash && outputs.every((o) => existsSync(join(here, o)))) return;
  for (const generator of filesBelow("src").filter((f) => f.endsWith(".generate.mjs"))) await import(generator).then((m) => m.generate());
  const { build } = await import("esbuild");
  const { version } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
  rmSync(join(here, "dist/chunks"), { recursive: true, force: true });
  await build({
    absWorkingDir: here,
    entryPoints: { stack: "src/cli/main.ts", agent: "src/agent/main.ts" },
    outdir: "dist",
    bundle: true,
    splitting: true,
    chunkNames: "chunks/[name]-[hash]",
    platform: "node",
    format: "esm",
    target: "node20.19",
    minify: true,
    keepNames: true,
    legalComments: "none",
    define: { STACK_VERSION: JSON.stringify(version) },
    banner: { js: 'import{createRequire as __stackRequire}from"node:module";const require=__stackRequire(import.meta.url);' },
  });
  const main = join(here, "dist/stack.js");
  const text = readFileSync(main, "utf8");
  if (!text.startsWith("#!")) writeFileSync(main, `#!/usr/bin/env node\n${text}`);
  chmodSync(main, 0o755);
  writeFileSync(stamp, hash);
}

// A published package brings dist/ along: nothing to build, and no compiler needed.
const published = args.has("--install") && !existsSync(join(here, "src")) && existsSync(join(here, "dist/stack.js"));
if (!published) {
  try {
    if (all || args.has("--native")) buildNative();
    if (all || args.has("--ts")) await buildTypeScript();
  } catch (error) {
    process.stderr.write(`stack: ${error.message}\n`);
    process.exitCode = 1;
  }
}
