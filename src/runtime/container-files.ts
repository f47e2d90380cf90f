import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { StackError } from "../core/index.ts";
import type { HostPath } from "../core/index.ts";
import { runtimeBinaryPath } from "../native/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { parseFailure, RuntimeFailure } from "./failure.ts";
import type { OciConfig } from "./oci.ts";

/** What is at a path; links on the way are followed, one at its end is not. */
export type FileStat = { readonly type: "missing" | "directory" | "file" | "other" } | { readonly type: "symlink"; readonly target: string };

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/** What to take: as `name` in the archive; "" is what is in the directory, without itself. */
export interface PackRequest {
  readonly path: string;
  readonly name: string;
  /** What is mounted inside is left empty. */
  readonly ownMount?: boolean;
}

/** Where to put it: an existing directory. `owner`: of everything, whatever the archive says. */
export interface UnpackRequest {
  readonly path: string;
  readonly owner?: FileOwner;
}

/**
 * The files of a container (whether it runs or not), or of the host itself: looked at, and copied as tar streams, by the
 * runtime binary, which resolves every path inside the container's root (native/PROTOCOL.md, "Files").
 */
export class FileAccess {
  readonly #native: Pick<NativeBinding, "pipe" | "close">;
  readonly #directory: HostPath | undefined;

  /** `directory`: a container's; absent: the host. */
  constructor(native: Pick<NativeBinding, "pipe" | "close">, directory?: HostPath) {
    this.#native = native;
    this.#directory = directory;
  }

  async stat(path: string): Promise<FileStat> {
    const output = await ended(this.#start("stat", ["--path", path], "ignore", "pipe"), `look at ${path}`);
    return JSON.parse(output) as FileStat;
  }

  /** To `to`, a place on another side; both ends are done when it resolves. */
  async copy(what: PackRequest, to: FileAccess, where: UnpackRequest, signal: AbortSignal): Promise<void> {
    const [read, write] = this.#native.pipe();
    const pack = this.#pack(what, write);
    const unpack = to.#unpack(where, read);
    this.#native.close(read);
    this.#native.close(write);
    const stop = (): void => [pack, unpack].forEach((child) => child.kill("SIGKILL"));
    signal.addEventListener("abort", stop, { once: true });
    try {
      // Who could not write says why; then whoever read from it only lost its reader.
      const [written, read] = await Promise.allSettled([ended(unpack, `write ${where.path}`), ended(pack, `read ${what.path}`)]);
      if (signal.aborted) throw new StackError("cancelled", "Cancelled");
      if (read.status === "rejected" && !lostReader(read.reason)) throw read.reason;
      if (written.status === "rejected") throw written.reason;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** A tar archive on this descriptor. */
  async packTo(what: PackRequest, descriptor: number, signal: AbortSignal): Promise<void> {
    await this.#alone(this.#pack(what, descriptor), `read ${what.path}`, signal);
  }

  /** A tar archive (plain, gzip, zstd) from this descriptor. */
  async unpackFrom(descriptor: number, where: UnpackRequest, signal: AbortSignal): Promise<void> {
    await this.#alone(this.#unpack(where, descriptor), `write ${where.path}`, signal);
  }

  /** Whom the container's main process runs as. */
  async owner(): Promise<FileOwner> {
    if (this.#directory === undefined) return { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
    const config = JSON.parse(await readFile(join(this.#directory, "config.json"), "utf8")) as OciConfig;
    return { uid: config.process.user.uid, gid: config.process.user.gid };
  }

  async #alone(child: ChildProcess, what: string, signal: AbortSignal): Promise<void> {
    const stop = (): void => void child.kill("SIGKILL");
    signal.addEventListener("abort", stop, { once: true });
    try {
      await ended(child, what);
    } catch (error) {
      throw signal.aborted ? new StackError("cancelled", "Cancelled") : error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  #pack({ path, name, ownMount }: PackRequest, output: number): ChildProcess {
    return this.#start("pack", ["--path", path, "--name", name, ...(ownMount === true ? ["--own-mount"] : [])], "ignore", output);
  }

  #unpack({ path, owner }: UnpackRequest, input: number): ChildProcess {
    return this.#start("unpack", ["--path", path, ...(owner === undefined ? [] : ["--owner", `${owner.uid}:${owner.gid}`])], input, "pipe");
  }

  #start(verb: string, args: readonly string[], input: "ignore" | number, output: "pipe" | number): ChildProcess {
    const place = this.#directory === undefined ? [] : ["--container", this.#directory];
    return spawn(runtimeBinaryPath(), ["files", verb, ...place, ...args], { stdio: [input, output, "pipe"], env: {}, cwd: "/" });
  }
}

const lostReader = (error: unknown): boolean => error instanceof RuntimeFailure && error.failure.call === "write";

/** Its standard output, when it ended well. */
async function ended(child: ChildProcess, what: string): Promise<string> {
  let output = "";
  let errors = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", (cause) => reject(new StackError("native-unavailable", `Cannot run ${runtimeBinaryPath()}: ${cause.message}`, { cause })));
    child.once("close", resolve);
  });
  if (code === 0) return output;
  throw new RuntimeFailure(`Cannot ${what}`, parseFailure(errorIn(errors)));
}

function errorIn(text: string): unknown {
  try {
    return (JSON.parse(text) as { readonly error?: unknown }).error;
  } catch {
    return { message: text.trim() === "" ? "it was killed" : text.trim() };
  }
}
