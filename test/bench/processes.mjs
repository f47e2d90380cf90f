// Running and timing programs, memory of processes, and the registries that both contestants pull from.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";

const read = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};

/** Runs to the end, fails loudly, returns milliseconds and output. */
export function timed(argv, options = {}) {
  const start = performance.now();
  const result = spawnSync(argv[0], argv.slice(1), { encoding: "utf8", maxBuffer: 1 << 26, ...options });
  const ms = performance.now() - start;
  if (result.error !== undefined || result.status !== 0) {
    throw new Error(`${argv.join(" ")} ended with ${result.status ?? result.error?.message}\n${result.stdout}\n${result.stderr}`);
  }
  return { ms, stdout: result.stdout };
}

/** Every process. */
export function processes() {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), command: read(`/proc/${name}/cmdline`).replaceAll("\0", " "), comm: read(`/proc/${name}/comm`).trim(), environment: read(`/proc/${name}/environ`) }));
}

/** Proportional set size in MB: shared pages count once, divided among those who share them. */
export function pss(pids) {
  return pids.reduce((sum, pid) => sum + Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0), 0) / 1024;
}

export function networkNamespaceOf(prefix) {
  const name = spawnSync(prefix[0] ?? "readlink", [...prefix.slice(1), ...(prefix.length > 0 ? ["readlink"] : []), "/proc/self/ns/net"], { encoding: "utf8" }).stdout.trim();
  for (const { pid } of processes()) {
    try {
      if (readlinkSync(`/proc/${pid}/ns/net`) === name) return `/proc/${pid}/ns/net`;
    } catch {
      continue;
    }
  }
  throw new Error(`no process in the network namespace ${name} of ${prefix.join(" ")}`);
}

const cache = process.env.STACK_TEST_CACHE ?? "/var/tmp/stack-test-cache";

/** The images that the tests made; the benchmark does not make them itself. */
function imageLayout() {
  const name = existsSync(cache) ? readdirSync(cache).find((n) => n.startsWith("images-")) : undefined;
  if (name === undefined) throw new Error("no test images: run the end-to-end tests once (npm run test:e2e)");
  return join(cache, name);
}

/** A docker-registry with the images on 127.0.0.1:PORT inside a network namespace; resolves when it listens. */
export async function startRegistry(namespace, storage, port) {
  const server = await listening(namespace, storage, port);
  try {
    for (const tag of ["busybox:1", "postgres:15"]) {
      timed(["nsenter", `--net=${namespace}`, "--", "skopeo", "copy", "--quiet", "--dest-tls-verify=false", `oci:${imageLayout()}:${tag}`, `docker://127.0.0.1:${port}/${tag}`]);
    }
    return server;
  } catch (error) {
    server.removeAllListeners("exit");
    server.kill();
    throw error;
  }
}

function listening(namespace, storage, port) {
  mkdirSync(storage, { recursive: true });
  const config = join(storage, `config-${port}.json`);
  writeFileSync(config, JSON.stringify({ version: "0.1", log: { level: "info" }, storage: { filesystem: { rootdirectory: storage } }, http: { addr: `127.0.0.1:${port}` } }));
  const server = spawn("nsenter", [`--net=${namespace}`, "--", "docker-registry", "serve", config], { stdio: ["ignore", "pipe", "pipe"] });
  return new Promise((resolve, reject) => {
    let text = "";
    const look = (part) => ((text += part), text.includes("listening on") && resolve(server));
    server.stdout.setEncoding("utf8").on("data", look);
    server.stderr.setEncoding("utf8").on("data", look);
    server.on("exit", (code) => reject(new Error(`docker-registry ended with ${code}:\n${text}`)));
  });
}
