// Builds everything: the native addon and runtime binary (node-gyp), the schema validators, the bundles.
//   node build.mjs            all of it, each part only if its sources changed
//   node build.mjs --native   the native part alone
//   node build.mjs --ts       the bundles alone
//   node build.mjs --install  from npm install: says clearly what is missing
import { execFileSync, spawnSync } from "node:child_process";
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
  for (const [header, pack] of [["zlib.h", "zlib1g-dev"], ["zstd.h", "libzstd-dev"]]) {
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
  const sources = filesBelow("native");
  const outputs = ["dist/native/stack_native.node", "dist/native/stack-runtime", "dist/stack"];
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
    for (const program of ["dist/native/stack-runtime", "dist/stack"]) chmodSync(join(here, program), 0o755);
  });
}

/** Nothing of it happens on import: who only needs our types and hashes does not carry the parser. */
const pureYaml = {
  name: "pure-yaml",
  setup(build) {
    build.onResolve({ filter: /^yaml$/ }, async (args) => {
      if (args.pluginData === pureYaml) return undefined;
      const found = await build.resolve(args.path, { resolveDir: args.resolveDir, kind: args.kind, pluginData: pureYaml });
      return { ...found, sideEffects: false };
    });
  },
};

/**
 * Modules of Node's own that most commands never use (TLS alone costs ten milliseconds) are loaded when the first member
 * is asked for. Only plain `x=require("…")` is touched: esbuild reaches every named import through its namespace.
 */
function loadLater(file) {
  const modules = ["crypto", "net", "http", "https", "tls", "dgram", "child_process", "dns/promises", "fs/promises", "readline/promises", "timers/promises"];
  const pattern = new RegExp(`=require\\("(node:(?:${modules.join("|")}))"\\)`, "g");
  const text = readFileSync(file, "utf8")
    .replace(pattern, '=__later("$1")')
    // Left by esbuild in regular expressions. A file of ASCII alone is read and kept in half the time.
    .replace(/[^\x00-\x7f]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const later = "const __later=(name)=>{let loaded;return new Proxy({},{get:(_,key)=>(loaded??=require(name))[key]})};";
  const bundle = 'const __bundle={get url(){return require("node:url").pathToFileURL(__filename).href}};';
  // The function that dist/load.js calls: a source that is used as it was read need not be copied.
  writeFileSync(file, `(function(exports,require,module,__filename,__dirname){"use strict";${later}${bundle}${text.replace(/^"use strict";/, "")}\n})`);
}

/** As in src/native/program.ts: a code cache holds only for the flags that it was made with. */
const agentFlags = ["--max-semi-space-size=1", "--no-flush-bytecode"];

/** `dist/` is CommonJS: its entries load `lib/NAME.cjs` with V8's code cache, which saves most of the compiling at start. */
function writeLaunchers() {
  writeFileSync(join(here, "dist/package.json"), '{"type":"commonjs"}\n');
  writeFileSync(join(here, "dist/load.js"), `"use strict";
const { readFileSync, renameSync, rmSync, writeFileSync } = require("node:fs");
const { dirname, join } = require("node:path");
const { createRequire } = require("node:module");
const { Script } = require("node:vm");
// Code that V8 has compiled: what the build knew, or (".used") all that a first real run has come to use.
const caches = (name, kind) => [".used", kind + ".cache"].map((end) => join(__dirname, "lib", name + ".cjs." + process.versions.v8 + end));
const cached = (name, kind) => {
  for (const path of caches(name, kind)) {
    try {
      return { path, data: readFileSync(path) };
    } catch {}
  }
};
// Under its own name Node would have read it at its start, which takes longer than all else that it does there.
const { STACK_EXTRA_CA_CERTS } = process.env;
if (STACK_EXTRA_CA_CERTS !== undefined) {
  process.env.NODE_EXTRA_CA_CERTS = STACK_EXTRA_CA_CERTS;
  delete process.env.STACK_EXTRA_CA_CERTS;
}
exports.load = (name, kind = "") => {
  const file = join(__dirname, "lib", name + ".cjs");
  // The build sees to it that the bundles are ASCII.
  const script = new Script(readFileSync(file, "latin1"), { filename: file, cachedData: cached(name, kind)?.data });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(file), module, file, dirname(file));
  return { script, exports: module.exports };
};
// After a first real run: the next one finds everything compiled that this one needed.
exports.keep = (name, script) => {
  const [used] = caches(name, "");
  if (cached(name, "")?.path === used && script.cachedDataRejected !== true) return;
  const staging = used + "." + process.pid;
  try {
    writeFileSync(staging, script.createCachedData(), { mode: 0o600 });
    renameSync(staging, used);
  } catch {
    rmSync(staging, { force: true });
  }
};
`);
  // The agent runs from a copy of its own in the data root (src/native/program.ts), and may write there.
  writeFileSync(join(here, "dist/agent.js"), `"use strict";
const { load, keep } = require("./load.js");
const { script } = load("agent");
process.once("exit", () => globalThis[Symbol.for("stack.agent-worked")] === true && keep("agent", script));
`);
  writeFileSync(join(here, "dist/stack.js"), '#!/usr/bin/env node\n"use strict";\nconst { load } = require("./load.js");\nload("stack", load("ahead").exports.cacheKind);\n');
  chmodSync(join(here, "dist/stack.js"), 0o755);
}

/**
 * Runs a bundle in processes of its own, one after the other, and keeps the code that V8 compiled in them. Without a
 * cache all works, slower. What the build itself gives cannot fail; a run that needs more of this machine may (`may`).
 */
function warm(name, { kind = "", flags = [], runs }) {
  const root = join(here, "dist/.warm");
  for (const { argv, may } of runs) {
    const program = `const { load } = require(${JSON.stringify(join(here, "dist/load.js"))});
    process.argv = [process.argv[0], ${JSON.stringify(join(here, "dist", `${name}.js`))}, ...${JSON.stringify(argv)}];
    const { script } = load(${JSON.stringify(name)}, ${JSON.stringify(kind)});
    process.on("exit", () => require("node:fs").writeFileSync(${JSON.stringify(join(here, `dist/lib/${name}.cjs.${process.versions.v8}${kind}.cache`))}, script.createCachedData()));`;
    const { status, stderr } = spawnSync(process.execPath, [...flags, "-e", program], { cwd: here, input: "", stdio: "pipe", encoding: "utf8", env: { ...process.env, STACK_ROOT: root }, timeout: 60_000 });
    rmSync(root, { recursive: true, force: true });
    if (status !== 0 && may !== "fail") throw new Error(`${name} ${argv.join(" ")} ended with ${status}: ${stderr}`);
  }
}

async function buildTypeScript() {
  const sources = [...filesBelow("src").filter((f) => (f.endsWith(".ts") && !f.endsWith(".test.ts")) || f.endsWith(".generate.mjs")), ...filesBelow("schemas"), join(here, "build.mjs"), join(here, "package.json")];
  const outputs = ["dist/stack.js", "src/model/generated/validate.js", "src/model/generated/unsupported.js"];
  const stamp = join(here, "dist/.hash");
  const hash = hashOf(sources);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash && outputs.every((o) => existsSync(join(here, o)))) return;
  for (const generator of filesBelow("src").filter((f) => f.endsWith(".generate.mjs"))) await import(generator).then((m) => m.generate());
  const { build } = await import("esbuild");
  const { version } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
  rmSync(join(here, "dist/lib"), { recursive: true, force: true });
  await build({
    absWorkingDir: here,
    entryPoints: { stack: "src/cli/main.ts", agent: "src/agent/main.ts", ahead: "src/cli/ahead.ts" },
    outdir: "dist/lib",
    outExtension: { ".js": ".cjs" },
    bundle: true,
    platform: "node",
    // One file each: what is imported lazily stays lazy in it, and V8's code cache covers all of it.
    format: "cjs",
    target: "node20.19",
    // Names stay: stack traces are for people, and esbuild's `keepNames` would cost a call for each function at start.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "none",
    define: { STACK_VERSION: JSON.stringify(version), "import.meta.url": "__bundle.url" },
    plugins: [pureYaml],
  });
  for (const name of ["stack", "agent", "ahead"]) loadLater(join(here, "dist/lib", `${name}.cjs`));
  writeLaunchers();
  writeFileSync(join(here, "dist/lib/launch.txt"), execFileSync(process.execPath, ["-p", 'require("./dist/load.js").load("ahead").exports.launchTable()'], { cwd: here, encoding: "utf8" }).trimEnd() + "\n");
  // Each is run, so that the cache holds what it compiles lazily as well.
  const of = (example, ...argv) => ["-f", `examples/${example}`, ...argv];
  const files = [of("shop/compose.yaml", "config"), of("hardened/compose.yaml", "config", "--format", "json"), of("processes/stack.yaml", "config")].map((argv) => ({ argv }));
  warm("stack", { kind: ".files", runs: files });
  warm("stack", { runs: [...files, { argv: of("shop/compose.yaml", "ps", "--all"), may: "fail" }, { argv: of("shop/compose.yaml", "plan"), may: "fail" }] });
  warm("agent", { flags: agentFlags, runs: [{ argv: [], may: "fail" }] });
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
