import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Plugin } from "esbuild";
import type { Breakage } from "./broken.ts";

/** What the linker leads through steps.cc. */
const wrapped = [
  ...["rename", "renameat", "renameat2", "mkdir", "mkdirat", "mkfifoat", "mknodat", "symlinkat", "rmdir", "unlink", "unlinkat", "ftruncate64", "flock", "unshare", "setns"],
  ...["bind", "listen", "kill", "send", "sendto", "sendmsg", "tee", "splice", "write", "open64", "openat64", "fork", "syscall"],
];
const compile = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-Wno-restrict", "-Os", "-g0", "-fno-pie", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-ffunction-sections", "-fdata-sections", "-D_LARGEFILE_SOURCE", "-D_FILE_OFFSET_BITS=64"];

/**
 * Makes a program for chaos tests in `directory`: the built one, with its bundles started through steps.cjs and its runtime
 * binary linked again with steps.cc. With a breakage, one place of the sources is made wrong before.
 */
export async function buildProgram(repository: string, directory: string, broken?: Breakage): Promise<void> {
  const here = join(repository, "test/chaos/program");
  mkdirSync(directory, { recursive: true });
  cpSync(join(repository, "dist"), directory, { recursive: true });
  for (const name of readdirSync(join(directory, "lib"))) if (name.endsWith(".used")) rmSync(join(directory, "lib", name));
  cpSync(join(here, "steps.cjs"), join(directory, "lib/steps.cjs"));
  for (const [entry, role] of [["agent.js", "agent"], ["stack.js", "cli"]] as const) {
    const text = readFileSync(join(directory, entry), "utf8");
    const strict = '"use strict";\n';
    const at = text.indexOf(strict) + strict.length;
    writeFileSync(join(directory, entry), `${text.slice(0, at)}require("./lib/steps.cjs").install("${role}");\n${text.slice(at)}`, { mode: 0o755 });
  }
  if (broken?.language === "TypeScript") await rebundle(repository, directory, broken);
  link(repository, directory, broken?.language === "C++" ? broken : undefined);
}

/** The one place of `file` that the breakage names, changed. */
function changed(repository: string, { file, from, to }: Breakage): string {
  const text = readFileSync(join(repository, file), "utf8");
  if (text.split(from).length !== 2) throw new Error(`${file} has not exactly one place that reads: ${from}`);
  return text.replace(from, () => to);
}

async function rebundle(repository: string, directory: string, broken: Breakage): Promise<void> {
  const { build } = await import("esbuild");
  const contents = changed(repository, broken);
  const used: string[] = [];
  const plugin: Plugin = {
    name: "broken",
    setup: (bundle) => {
      bundle.onLoad({ filter: new RegExp(`/${broken.file.replaceAll(".", "\\.")}$`) }, ({ path }) => {
        used.push(path);
        return { contents, loader: "ts", resolveDir: dirname(join(repository, broken.file)) };
      });
    },
  };
  await build({
    absWorkingDir: repository,
    entryPoints: { stack: "src/cli/main.ts", agent: "src/agent/main.ts", ahead: "src/cli/ahead.ts" },
    outdir: join(directory, "lib"),
    outExtension: { ".js": ".cjs" },
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node20.19",
    keepNames: true,
    define: { STACK_VERSION: '"chaos"', "import.meta.url": "__stackUrl" },
    // As load.js runs them.
    banner: { js: '(function(exports,require,module,__filename,__dirname){const __stackUrl=require("node:url").pathToFileURL(__filename).href;' },
    footer: { js: "})" },
    charset: "ascii",
    plugins: [plugin],
  });
  if (used.length === 0) throw new Error(`${broken.file} is in no bundle`);
  for (const name of readdirSync(join(directory, "lib"))) if (name.endsWith(".cache")) rmSync(join(directory, "lib", name));
}

function link(repository: string, directory: string, broken: Breakage | undefined): void {
  const objects = join(repository, "native/build/Release/obj.target/stack-runtime");
  if (!existsSync(objects)) throw new Error(`${objects} is not there: node build.mjs --native makes it`);
  const scratch = join(directory, "native/objects");
  mkdirSync(scratch);
  const compiler = (process.env["CXX"] ?? "g++").split(" ");
  const run = (args: readonly string[]): void => {
    execFileSync(compiler[0] ?? "g++", [...compiler.slice(1), ...args], { stdio: ["ignore", "inherit", "inherit"] });
  };
  run([...compile, "-c", join(repository, "test/chaos/program/steps.cc"), "-o", join(scratch, "steps.o")]);
  const replaced = broken === undefined ? undefined : basename(broken.file).replace(/\.cc$/, ".o");
  if (broken !== undefined && replaced !== undefined) {
    const source = join(scratch, basename(broken.file));
    writeFileSync(source, changed(repository, broken));
    const native = join(repository, "native");
    run([...compile, `-I${join(native, "lib")}`, `-I${join(native, "runtime")}`, "-c", source, "-o", join(scratch, replaced)]);
  }
  // By the sources: objects of files that are gone stay behind in a build directory.
  const objectsOf = (part: string, directory: string): string[] =>
    readdirSync(join(repository, "native", part)).filter((name) => name.endsWith(".cc")).map((name) => name.replace(/\.cc$/, ".o")).filter((name) => name !== replaced).map((name) => join(directory, part, name));
  const all = [...objectsOf("lib", objects), ...objectsOf("runtime", objects), ...objectsOf("libc", join(dirname(objects), "stack_libc"))];
  const own = readdirSync(scratch).filter((name) => name.endsWith(".o")).map((name) => join(scratch, name));
  const binary = join(directory, "native/stack-runtime");
  rmSync(binary);
  run(["-static", "-no-pie", "-flto=auto", "-fuse-ld=bfd", "-Wl,--gc-sections", "-Wl,--build-id=none", ...wrapped.map((name) => `-Wl,--wrap=${name}`), "-o", binary, ...own, ...all, "-l:libz.a", "-l:libzstd.a"]);
  rmSync(scratch, { recursive: true });
}
