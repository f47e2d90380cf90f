import { execFileSync, spawn, spawnSync } from "node:child_process";
import type { ChildProcess, StdioOptions } from "node:child_process";
import { chmodSync, closeSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export interface IdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

export interface Mount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options?: string[];
  readonly uidMappings?: readonly IdMapping[];
  readonly gidMappings?: readonly IdMapping[];
}

export interface Hook {
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  readonly timeout?: number;
}

/** What tests change in config.json. */
export interface Config {
  hostname?: string;
  domainname?: string;
  annotations?: Readonly<Record<string, string>>;
  hooks?: Readonly<Record<string, readonly Hook[]>>;
  root: { path: string; readonly: boolean };
  mounts: Mount[];
  process: {
    terminal: boolean;
    consoleSize?: { height: number; width: number };
    args: string[];
    cwd: string;
    env: string[];
    user: { uid: number; gid: number; additionalGids?: number[]; umask?: number };
    capabilities?: Record<string, string[]>;
    noNewPrivileges: boolean;
    rlimits?: { type: string; soft: number; hard: number }[];
    oomScoreAdj?: number;
    scheduler?: object;
    ioPriority?: object;
    execCPUAffinity?: { initial?: string; final?: string };
    selinuxLabel?: string;
    apparmorProfile?: string;
  };
  linux: {
    cgroupsPath: string;
    namespaces: { type: string; path?: string }[];
    uidMappings?: IdMapping[];
    gidMappings?: IdMapping[];
    devices?: object[];
    resources: object;
    seccomp?: object;
    sysctl?: Record<string, string>;
    personality?: object;
    timeOffsets?: object;
    maskedPaths: string[];
    readonlyPaths: string[];
  };
}

export type Change = (config: Config) => void;

/** Sets a member by its dotted name to anything, also what is not allowed there. */
export function set(name: string, value: unknown): Change {
  return (config) => {
    const path = name.split(".");
    const last = path.pop() ?? "";
    let at = config as unknown as Record<string, unknown>;
    for (const part of path) at = at[part] as Record<string, unknown>;
    at[last] = value;
  };
}

/** Adds capabilities to what the process has. */
export function grant(config: Config, ...names: string[]): void {
  for (const kind of ["bounding", "effective", "permitted"]) config.process.capabilities?.[kind]?.push(...names);
}

export function bind(source: string, destination: string, ...options: string[]): Mount & { readonly options: string[] } {
  return { destination, type: "bind", source, options: ["bind", ...options] };
}

/** What `probe report` prints. */
export interface Report {
  readonly pid: number;
  readonly sid: number;
  readonly uid: readonly number[];
  readonly groups: readonly number[];
  readonly caps: Readonly<Record<"inheritable" | "permitted" | "effective" | "bounding" | "ambient", string>>;
  readonly nnp: number;
  readonly nofile: readonly number[];
  readonly fds: readonly (readonly [number, string])[];
  readonly ns: Readonly<Record<string, string>>;
  readonly monotonic: number;
  readonly priority: number;
}

/** What `state` prints. */
export interface State {
  readonly id: string;
  readonly status: string;
  readonly pid: number;
  readonly bundle: string;
}

const repository = resolve(import.meta.dirname, "../../..");
export const runtimeBinary = process.env["STACK_RUNTIME"] ?? join(repository, "dist/native/stack-runtime");

const applets = ["sh", "cat", "ls", "id", "env", "mount", "ps", "sleep", "true", "false", "pwd", "echo", "stat", "mkdir", "touch", "rm", "kill", "readlink", "grep", "head", "ln", "mknod", "stty", "hostname", "chmod", "test", "wc", "dd", "find"];

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Bundles, containers and a state root of their own; `close` removes all of it, living containers too. */
export class OciWorld {
  readonly directory = mkdtempSync(join(tmpdir(), "stack-oci-"));
  readonly root = join(this.directory, "state");
  readonly probe = join(this.directory, "probe");
  readonly #children = new Set<ChildProcess>();
  #count = 0;

  constructor() {
    const source = join(repository, "native/test/oci_probe.cc");
    execFileSync("g++", ["-std=c++20", "-O1", "-static", "-o", this.probe, source]);
  }

  /** A bundle: static busybox, the probe, and the configuration that `spec` writes, changed by `change`. */
  bundle(change: Change = () => undefined): string {
    const bundle = join(this.directory, `bundle-${++this.#count}`);
    const bin = join(bundle, "rootfs/bin");
    mkdirSync(bin, { recursive: true });
    mkdirSync(join(bundle, "rootfs/etc"));
    copyFileSync("/bin/busybox", join(bin, "busybox"));
    copyFileSync(this.probe, join(bin, "probe"));
    for (const name of applets) symlinkSync("busybox", join(bin, name));
    const made = this.call(["spec", "--bundle", bundle]);
    if (made.code !== 0) throw new Error(made.stderr);
    this.configure(bundle, (config) => {
      config.process.terminal = false;
      config.root.readonly = false;
      if (!config.linux.namespaces.some((n) => n.type === "cgroup")) config.linux.namespaces.push({ type: "cgroup" });
      config.linux.cgroupsPath = `/stack-oci-test-${process.pid}/${bundle.split("/").at(-1)}`;
      change(config);
    });
    return bundle;
  }

  configure(bundle: string, change: Change): void {
    const path = join(bundle, "config.json");
    const config = JSON.parse(readFileSync(path, "utf8")) as Config;
    change(config);
    writeFileSync(path, JSON.stringify(config));
  }

  /** `through`: the beginning of another command line than the runtime's own file. */
  call(args: readonly string[], options: { stdio?: StdioOptions; input?: string; timeout?: number; through?: readonly string[] } = {}): Outcome {
    const [file = runtimeBinary, ...before] = options.through ?? [];
    const done = spawnSync(file, [...before, "--root", this.root, ...args], {
      encoding: "utf8",
      timeout: options.timeout ?? 30_000,
      ...(options.stdio === undefined ? {} : { stdio: options.stdio }),
      ...(options.input === undefined ? {} : { input: options.input }),
    });
    // Null, whatever its type says, where a stream is no pipe.
    const text = (stream: string | null): string => stream ?? "";
    return { code: done.status, stdout: text(done.stdout), stderr: text(done.stderr) };
  }

  /** For what leaves a process behind: that would hold a pipe of ours open, so standard error is a file. */
  leave(args: readonly string[]): Outcome {
    const path = join(this.directory, "stderr");
    const file = openSync(path, "w");
    const out = this.call(args, { stdio: ["ignore", "ignore", file] });
    closeSync(file);
    return { ...out, stderr: readFileSync(path, "utf8") };
  }

  /** In the background; ended by `close` if it still lives. */
  start(args: readonly string[], stdio: StdioOptions = "pipe"): ChildProcess {
    const child = spawn(runtimeBinary, ["--root", this.root, ...args], { stdio });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  /** `run` of one command in a container of its own. */
  run(command: readonly string[], change: Change = () => undefined): Outcome {
    const bundle = this.bundle((config) => {
      config.process.args = [...command];
      change(config);
    });
    return this.call(["run", "--bundle", bundle, `run-${this.#count}`]);
  }

  /** A container that sleeps, started. Its stdio is /dev/null. */
  sleeping(change: Change = () => undefined): string {
    const bundle = this.bundle((config) => {
      config.process.args = ["sleep", "1000"];
      change(config);
    });
    const id = `sleeping-${this.#count}`;
    const made = this.leave(["run", "--detach", "--bundle", bundle, id]);
    if (made.code !== 0) throw new Error(made.stderr);
    return id;
  }

  /** `call` after `script` (which ends with `"$@"`) in a mount namespace of its own, so that its mounts go with it. */
  inNamespace(script: string, args: readonly string[]): Outcome {
    const command = ["unshare", "-m", "sh", "-c", script, "sh", runtimeBinary, "--root", this.root, ...args];
    const done = spawnSync(command[0] ?? "", command.slice(1), { encoding: "utf8", timeout: 30_000 });
    return { code: done.status, stdout: done.stdout, stderr: done.stderr };
  }

  /** For user namespaces: the tree belongs to the mapped root, and everybody may pass to it. */
  ownRootfs(bundle: string, id: number): void {
    execFileSync("chown", ["-R", `${id}:${id}`, join(bundle, "rootfs")]);
    for (const directory of [this.directory, bundle]) chmodSync(directory, 0o755);
  }

  state(id: string): State {
    const out = this.call(["state", id]);
    if (out.code !== 0) throw new Error(out.stderr);
    return JSON.parse(out.stdout) as State;
  }

  report(out: Outcome): Report {
    if (out.code !== 0) throw new Error(out.stderr);
    return JSON.parse(out.stdout) as Report;
  }

  close(): void {
    for (const child of this.#children) child.kill("SIGKILL");
    if (existsSync(this.root)) {
      for (const id of readdirSync(this.root)) {
        if (id !== ".seccomp") this.call(["delete", "--force", id]);
      }
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Directories of this test run in any cgroup hierarchy, the place above the containers' too. */
  cgroups(): readonly string[] {
    const out = spawnSync("find", ["/sys/fs/cgroup", "-mindepth", "2", "-path", `*/stack-oci-test-${process.pid}*`, "-type", "d"], { encoding: "utf8" });
    return out.stdout.split("\n").filter((line) => line !== "");
  }
}
