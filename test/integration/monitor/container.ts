import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, rmdirSync, symlinkSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BoundPort, ContainerState, MonitorSpec, NativeFailure, NetworkSpec } from "../../../src/runtime/formats.ts";
import { Connection } from "./connection.ts";

/** The built binary. */
export const binary = process.env["STACK_TEST_RUNTIME"] ?? fileURLToPath(new URL("../../../dist/native/stack-runtime", import.meta.url));

const applets = ["sh", "sleep", "cat", "ls", "echo", "ps", "id", "true", "false", "kill", "seq", "stty", "nc", "printf", "env", "head", "tail", "dd", "httpd", "mkdir", "touch", "pwd", "wc", "readlink", "yes", "usleep", "sync", "udpsvd", "tcpsvd"];

export interface Event {
  readonly v: number;
  readonly t: string;
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface LogLine {
  readonly log: string;
  readonly stream: "stdout" | "stderr";
  readonly time: string;
  readonly attrs?: Readonly<Record<string, string>>;
}

export type Started = { readonly ok: true; readonly pid: number; readonly ports: readonly BoundPort[] } | { readonly ok: false; readonly error: NativeFailure };

/** A deep Partial, for what a test wants otherwise than the defaults. */
type Changes = { readonly [K in keyof MonitorSpec]?: MonitorSpec[K] extends readonly unknown[] ? MonitorSpec[K] : MonitorSpec[K] extends object ? Partial<MonitorSpec[K]> : MonitorSpec[K] };

export interface ContainerOptions {
  readonly args: readonly string[];
  readonly spec?: Changes;
  readonly env?: readonly string[];
  readonly namespaces?: readonly string[];
  readonly resources?: Readonly<Record<string, unknown>>;
  /** Prefix that enters a network namespace; see NetworkNamespace.enter. */
  readonly enter?: readonly string[];
}

/** A data root of a test's own with a root file system of static busybox in it. */
export class MonitorWorld {
  readonly root = mkdtempSync("/var/tmp/stack-monitor-");
  readonly rootfs = join(this.root, "layer");
  readonly cgroup = `/stack-test-${process.pid}-${randomBytes(3).toString("hex")}`;
  readonly #containers: TestContainer[] = [];

  constructor() {
    for (const name of ["bin", "proc", "sys", "dev", "tmp", "etc", "root"]) mkdirSync(join(this.rootfs, name), { recursive: true });
    cpSync("/bin/busybox", join(this.rootfs, "bin/busybox"));
    for (const applet of applets) symlinkSync("busybox", join(this.rootfs, "bin", applet));
    writeFileSync(join(this.rootfs, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n");
    writeFileSync(join(this.rootfs, "etc/group"), "root:x:0:\nweb:x:1000:\nlog:x:50:web\n");
  }

  container(options: ContainerOptions): TestContainer {
    const container = new TestContainer(this, options);
    this.#containers.push(container);
    return container;
  }

  async dispose(): Promise<void> {
    for (const container of this.#containers) await container.dispose();
    for (const hierarchy of readdirSync("/sys/fs/cgroup")) {
      for (const directory of [join("/sys/fs/cgroup", hierarchy, this.cgroup), join("/sys/fs/cgroup", this.cgroup)])
        if (existsSync(directory)) rmdirSync(directory);
    }
    rmSync(this.root, { recursive: true, force: true });
  }
}

export class TestContainer {
  readonly id = randomBytes(32).toString("hex");
  readonly directory: string;
  readonly #world: MonitorWorld;
  readonly #options: ContainerOptions;
  readonly #connections: Connection[] = [];
  /** The process that `start` has started has ended: its exit status, or the signal. */
  ended: Promise<number | string> = Promise.resolve(0);
  /** What the monitor runs under. */
  under: readonly string[] = [];

  constructor(world: MonitorWorld, options: ContainerOptions) {
    this.#world = world;
    this.#options = options;
    this.directory = join(world.root, "containers", this.id);
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    this.write("config.json", this.#config());
    this.write("monitor.json", this.#spec());
  }

  write(name: string, value: unknown): void {
    writeFileSync(join(this.directory, name), JSON.stringify(value));
  }

  #config(): unknown {
    const capabilities = ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE", "CAP_NET_BIND_SERVICE"];
    return {
      ociVersion: "1.2.0",
      process: {
        user: { uid: 0, gid: 0 },
        args: this.#options.args,
        env: ["PATH=/bin", ...(this.#options.env ?? [])],
        cwd: "/",
        capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      },
      root: { path: "rootfs" },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
        { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666", "mode=0620"] },
        { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["size=64m"] },
      ],
      linux: {
        namespaces: (this.#options.namespaces ?? ["pid", "mount", "ipc", "uts", "network"]).map((type) => ({ type })),
        cgroupsPath: `${this.#world.cgroup}/${this.id}`,
        resources: this.#options.resources ?? {},
      },
    };
  }

  #spec(): MonitorSpec {
    const { directory } = this;
    const change = this.#options.spec ?? {};
    const network: NetworkSpec = { mode: "none", interfaces: [], dns: false, ports: [] };
    return {
      version: 1,
      id: this.id as MonitorSpec["id"],
      name: "test",
      runtime: "",
      init: true,
      tty: false,
      stdin: false,
      populate: [],
      ...change,
      rootfs: { kind: "overlay", layers: [this.#world.rootfs], upper: join(directory, "upper"), work: join(directory, "work"), overlays: [], ...change.rootfs } as MonitorSpec["rootfs"],
      network: { ...network, ...change.network },
      log: { driver: "json-file", path: join(directory, "log/container.log"), maxSize: 0, maxFiles: 1, mode: "blocking", bufferSize: 1 << 20, attributes: {}, ...change.log },
      restart: { policy: "no", maxAttempts: 0, firstDelayMs: 0, delayMs: 100, factor: 2, maxDelayMs: 60_000, jitter: 0, resetAfterMs: 10_000, ...change.restart },
      stop: { signal: 15, graceMs: 10_000, ...change.stop },
    } as MonitorSpec;
  }

  /** Starts the monitor; resolves with the line on its status descriptor. */
  start(...more: readonly string[]): Promise<Started> {
    const [file = binary, ...args] = [...(this.#options.enter ?? []), ...this.under, binary, "monitor", "--dir", this.directory, "--status-fd", "3", ...more];
    const child = spawn(file, args, { stdio: ["ignore", "inherit", "inherit", "pipe"] });
    this.ended = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        resolve(code ?? signal ?? "");
      });
    });
    return new Promise((resolve, reject) => {
      let text = "";
      child.stdio[3]?.on("data", (part: Buffer) => (text += part.toString()));
      child.stdio[3]?.on("end", () => {
        try {
          resolve(JSON.parse(text) as Started);
        } catch {
          reject(new Error(`the monitor ended without a status line: ${JSON.stringify(text)}`));
        }
      });
      child.on("error", reject);
    });
  }

  /** Starts it, and fails if it does not start. */
  async started(): Promise<{ readonly pid: number; readonly ports: readonly BoundPort[] }> {
    const status = await this.start();
    if (!status.ok) throw new Error(`${status.error.stage}: ${status.error.message}`);
    return status;
  }

  get state(): ContainerState {
    return JSON.parse(readFileSync(join(this.directory, "state.json"), "utf8")) as ContainerState;
  }

  get events(): readonly Event[] {
    return lines(join(this.directory, "events.log")) as readonly Event[];
  }

  eventTypes(): readonly string[] {
    return this.events.map((event) => event.type);
  }

  log(suffix = ""): readonly LogLine[] {
    return lines(join(this.directory, `log/container.log${suffix}`)) as readonly LogLine[];
  }

  text(): string {
    return this.log().map((line) => line.log).join("");
  }

  /** Resolves when `condition` holds; looked at on each change of a file in the directory or its log. */
  until(condition: () => boolean, what: string): Promise<void> {
    return until([this.directory, join(this.directory, "log")], condition, what);
  }

  untilLog(text: string): Promise<void> {
    return this.until(() => this.text().includes(text), `the log says ${JSON.stringify(text)}`);
  }

  async untilExited(): Promise<ContainerState> {
    await this.until(() => existsSync(join(this.directory, "state.json")) && this.state.status === "exited", "it has exited");
    return this.state;
  }

  async connect(): Promise<Connection> {
    const connection = await Connection.open(this.directory);
    this.#connections.push(connection);
    return connection;
  }

  /** One request on a connection of its own. */
  async request<T = Record<string, unknown>>(op: string, fields: object = {}): Promise<T> {
    const connection = await this.connect();
    const reply = await connection.request<T>(op, fields);
    connection.close();
    return reply;
  }

  async dispose(): Promise<void> {
    for (const connection of this.#connections) connection.close();
    if (!existsSync(join(this.directory, "state.json"))) return;
    const { status, monitorPid, pid } = this.state;
    if (status === "exited" || status === "created") return;
    if (alive(monitorPid)) {
      // It may be ending by itself in this very moment: then nobody answers, and the record says so.
      await this.request("stop", { graceMs: 0 }).catch((error: unknown) => {
        if (this.state.status !== "exited") throw error;
      });
      return;
    }
    if (pid > 0 && alive(pid)) process.kill(pid, "SIGKILL");
    const adopted = await this.start("--adopt").catch(() => undefined);
    if (adopted?.ok === true && this.state.status !== "exited") await this.request("stop", { graceMs: 0 });
  }
}

export function alive(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

function lines(path: string): readonly unknown[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as unknown);
}

/** Waits for a condition on files, woken by the kernel's notices about their directories. */
export function until(directories: readonly string[], condition: () => boolean, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const watchers = directories.filter((directory) => existsSync(directory)).map((directory) => watch(directory));
    const timer = setTimeout(() => finish(new Error(`waited 20 s in vain until ${what}`)), 20_000);
    const finish = (error?: Error): void => {
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
      if (error === undefined) resolve();
      else reject(error);
    };
    const look = (): void => {
      try {
        if (condition()) finish();
      } catch (error) {
        if (!(error instanceof SyntaxError)) finish(error as Error); // a line that is being written
      }
    };
    for (const watcher of watchers) watcher.on("change", look);
    look();
  });
}
