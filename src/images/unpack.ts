import { spawn } from "node:child_process";
import type { Writable } from "node:stream";
import type { Digest } from "../core/index.ts";
import { parseDigest, StackError } from "../core/index.ts";
import { isObject } from "./manifest.ts";

export interface UnpackOptions {
  /** The runtime binary. */
  readonly runtime: string;
  /** An empty directory. */
  readonly into: string;
  /** Most bytes that the layer may have unpacked. */
  readonly maxBytes: number;
  /** Kept open by the process: while it writes, the lock on the directory is held, whatever happens to us. */
  readonly lockFd: number;
  readonly signal: AbortSignal;
}

/** What `stack-runtime unpack` says when it is done: native/PROTOCOL.md. */
export interface Unpacked {
  /** Of what it read. */
  readonly digest: Digest;
  /** Of what came out of the decompressor. */
  readonly diffId: Digest;
  readonly bytes: number;
  readonly files: number;
  /** Directories without an entry of their own in the layer. */
  readonly implicit: readonly string[];
  /** Directories that hide the layers below; "" is the root. */
  readonly opaque: readonly string[];
}

/** Why it failed, in the native side's words; `digest` of all that was read if the content is to blame. */
export class UnpackFailure extends Error {
  readonly stage: string;
  /** The system call that failed; "" if the layer itself is to blame. */
  readonly call: string;
  readonly errno: number;
  readonly path: string;
  readonly digest: Digest | undefined;

  constructor(failure: { readonly stage: string; readonly call: string; readonly errno: number; readonly path: string; readonly message: string }, digest: Digest | undefined) {
    super(failure.message);
    this.name = "UnpackFailure";
    this.stage = failure.stage;
    this.call = failure.call;
    this.errno = failure.errno;
    this.path = failure.path;
    this.digest = digest;
  }
}

/** Starts the unpacker, lets `feed` write the layer to it, and returns what it found. */
export async function unpack(options: UnpackOptions, feed: (input: Writable) => Promise<void>): Promise<Unpacked> {
  const child = spawn(options.runtime, ["unpack", "--into", options.into, "--max-bytes", String(options.maxBytes)], {
    stdio: ["pipe", "pipe", "ignore", options.lockFd],
    env: {},
    cwd: "/",
    signal: options.signal,
    killSignal: "SIGKILL",
  });
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new StackError("internal", "the unpacker has no pipes");
  let output = "";
  stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  // Written to after it gave up: its last words on standard output say why.
  stdin.on("error", () => undefined);
  const ended = new Promise<string>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, killedBy) => resolve(code === null ? `was ended by ${String(killedBy)}` : `ended with status ${code}`));
  });
  ended.catch(() => undefined);
  try {
    await feed(stdin);
    stdin.end();
    const how = await ended;
    return parseResult(output.trim(), how);
  } catch (error) {
    child.kill("SIGKILL");
    const how = await ended.catch((cause: unknown) => spawnFailure(cause, options));
    if (how instanceof StackError) throw how;
    throw error;
  }
}

/** The child never ran, or was killed by the signal. */
function spawnFailure(cause: unknown, options: UnpackOptions): StackError | undefined {
  if (options.signal.aborted) return new StackError("cancelled", "Cancelled", { cause });
  return new StackError("native-unavailable", `Cannot run ${options.runtime}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
}

function parseResult(line: string, how: string): Unpacked {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    throw new StackError("native", `The unpacker ${how} without a result`);
  }
  const digestOf = (value: unknown): Digest | undefined => (typeof value === "string" ? parseDigest(value) : undefined);
  const strings = (value: unknown): string[] => (Array.isArray(value) ? value.filter((v) => typeof v === "string") : []);
  if (!isObject(json)) throw new StackError("native", `The unpacker ${how} with "${line.slice(0, 200)}"`);
  const digest = digestOf(json["digest"]);
  const diffId = digestOf(json["diffId"]);
  if (json["ok"] === true && digest !== undefined && diffId !== undefined) {
    return { digest, diffId, bytes: Number(json["bytes"]), files: Number(json["files"]), implicit: strings(json["implicit"]), opaque: strings(json["opaque"]) };
  }
  const error = isObject(json["error"]) ? json["error"] : {};
  const text = (member: string): string => (typeof error[member] === "string" ? error[member] : "");
  throw new UnpackFailure({ stage: text("stage"), call: text("call"), errno: Number(error["errno"] ?? 0), path: text("path"), message: text("message") }, digest);
}

/** Writes with backpressure. False when the other end wants no more: its result says why. */
export async function writeChunk(to: Writable, chunk: Uint8Array): Promise<boolean> {
  if (to.destroyed || to.errored !== null) return false;
  if (to.write(chunk)) return true;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      to.off("drain", done).off("close", done);
      resolve();
    };
    to.on("drain", done).on("close", done);
  });
  return !to.destroyed;
}
