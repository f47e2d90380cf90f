import { closeSync, openSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import type { DataRoot, HostPath } from "../core/index.ts";
import { installProgram } from "../native/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { parseFailure, RuntimeFailure } from "./failure.ts";
import type { BoundPort, MonitorSpec } from "./formats.ts";
import { monitorEnvironment } from "./fork-server.ts";
import type { ForkServer } from "./fork-server.ts";
import { mountHostMounts } from "./host-mounts.ts";
import { makeLayerDirectories } from "./rootfs.ts";

export interface Started {
  /** Of the container's first process, on the host. */
  readonly pid: number;
  readonly ports: readonly BoundPort[];
  /** What could not be done as asked, one sentence each. */
  readonly warnings: readonly string[];
}

type StartNative = Pick<NativeBinding, "spawn" | "waitPidfd" | "pipe" | "close" | "mount">;

interface StartOptions {
  readonly root: DataRoot;
  readonly directory: HostPath;
  /** For messages. */
  readonly name: string;
  readonly adopt: boolean;
  readonly forks: ForkServer | undefined;
}

/** Starts the monitor of a created or ended container and waits for its one line (native/PROTOCOL.md). */
export async function startMonitor(native: StartNative, { root, directory, name, adopt, forks }: StartOptions): Promise<Started> {
  const spec = JSON.parse(readFileSync(join(directory, "monitor.json"), "utf8")) as MonitorSpec;
  await mountHostMounts(native, spec);
  if (!adopt) makeLayerDirectories(spec.rootfs);
  const forked = forks === undefined ? undefined : await forkMonitor(native, forks, directory, adopt);
  const { line, complaints } = forked ?? (await runMonitor(native, installProgram(root).binary, directory, adopt));
  const what = `${adopt ? "adopt" : "start"} container ${name}`;
  if (line === "")
    throw new RuntimeFailure(what, {
      stage: "start the monitor",
      call: "",
      errno: 0,
      path: "",
      message: complaints === "" ? "it ended without an answer" : complaints,
    });
  const reply = JSON.parse(line) as Readonly<Record<string, unknown>>;
  if (reply["ok"] !== true) throw new RuntimeFailure(what, parseFailure(reply["error"]));
  const warnings = Array.isArray(reply["warnings"]) ? (reply["warnings"] as unknown[]).filter((warning) => typeof warning === "string") : [];
  return {
    pid: typeof reply["pid"] === "number" ? reply["pid"] : 0,
    ports: Array.isArray(reply["ports"]) ? (reply["ports"] as BoundPort[]) : [],
    warnings,
  };
}

interface FirstWords {
  readonly line: string;
  /** What it said on standard error before it left ours. */
  readonly complaints: string;
}

/** Undefined: there is no server. */
async function forkMonitor(native: StartNative, forks: ForkServer, directory: HostPath, adopt: boolean): Promise<FirstWords | undefined> {
  const [readEnd, writeEnd] = native.pipe();
  const forked = forks.fork(directory, adopt, writeEnd);
  native.close(writeEnd);
  if (forked) return { line: await readLine(readEnd), complaints: "" };
  native.close(readEnd);
  return undefined;
}

/** The monitor's first standard error is kept in `monitor.err`: what a crash says is nowhere else. */
async function runMonitor(native: StartNative, file: string, directory: HostPath, adopt: boolean): Promise<FirstWords> {
  const errors = join(directory, "monitor.err");
  const stderr = openSync(errors, "w", 0o600);
  const [readEnd, writeEnd] = native.pipe();
  let child: { readonly pid: number; readonly pidfd: number };
  try {
    const argv = ["stack-runtime", "monitor", "--dir", directory, "--status-fd", "3", ...(adopt ? ["--adopt"] : [])];
    child = native.spawn({ file, argv, env: monitorEnvironment(), fds: [-1, -1, stderr, writeEnd] });
  } catch (error) {
    native.close(readEnd);
    throw error;
  } finally {
    native.close(writeEnd);
    closeSync(stderr);
  }
  // The process that we start only makes the monitor and ends; nobody else would reap it.
  const reaped = native.waitPidfd(child.pidfd);
  native.close(child.pidfd);
  const [line] = await Promise.all([readLine(readEnd), reaped]);
  return { line, complaints: line === "" ? (await readFile(errors, "utf8").catch(() => "")).trim().slice(-2000) : "" };
}

/** Until end of file, without holding a thread of the pool meanwhile. */
function readLine(fd: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = new Socket({ fd, readable: true, writable: false });
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      resolve(Buffer.concat(chunks).toString("utf8").trim());
    });
  });
}
