import { execFileSync, spawn, spawnSync } from "node:child_process";
import type { ChildProcess, StdioOptions } from "node:child_process";
import { chmodSync, closeSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** What a test changes in config.json: any of its JSON. */
export type Config = Record<string, any>; // eslint-disable-line @typescript-eslint/no-explicit-any

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
  readonly #probe = join(this.directory, "probe");
  readonly #children = new Set<ChildProcess>();
  #count = 0;

  constructor() {
    const source = join(repository, "native/test/oci_probe.cc");
    execFileSync("g++", ["-std=c++20", "-O1", "-static", "-o", this.#probe, source]);
  }

  /** A bundle: static busybox, the probe, and the configuration that `spec` writes, changed by `change`. */
  bundle(change: (config: Config) => void = () => undefined): string {
    const bundle = join(this.directory, `bundle-${++this.#count}`);
    const bin = join(bundle, "rootfs/bin");
    mkdirSync(bin, { recursive: true });
    mkdirSync(join(bundle, "rootfs/etc"));
    copyFileSync("/bin/busybox", join(bin, "busybox"));
    copyFileSync(this.#probe, join(bin, "probe"));
    for (const name of applets) symlinkSync("busybox", join(bin, name));
    const made = this.call(["spec", "--bundle", bundle]);
    if (made.code !== 0) throw new Error(made.stderr);
    this.configure(bundle, (config) => {
      config.process.terminal = false;
      config.root.readonly = false;
      config.linux.cgroupsPath = `/stack-oci-test-${process.pid}/${bundle.split("/").at(-1)}`;
      change(config);
    });
    return bundle;
  }

  configure(bundle: string, change: (config: Config) => void): void {
    const path = join(bundle, "config.json");
    const config = JSON.parse(readFileSync(path, "utf8")) as Config;
    change(config);
    writeFileSync(path, JSON.stringify(config));
  }

  call(args: readonly string[], options: { stdio?: StdioOptions; input?: string; timeout?: number } = {}): Outcome {
    const done = spawnSync(runtimeBinary, ["--root", this.root, ...args], {
      encoding: "utf8",
      timeout: options.timeout ?? 30_000,
      ...(options.stdio === undefined ? {} : { stdio: options.stdio }),
      ...(options.input === undefined ? {} : { input: options.input }),
    });
    return { code: done.status, stdout: done.stdout ?? "", stderr: done.stderr ?? "" };
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
  run(command: readonly string[], change: (config: Config) => void = () => undefined): Outcome {
    const bundle = this.bundle((config) => {
      config.process.args = [...command];
      change(config);
    });
    return this.call(["run", "--bundle", bundle, `run-${this.#count}`]);
  }

  /** A container that sleeps, started. Its stdio is /dev/null. */
  sleeping(change: (config: Config) => void = () => undefined): string {
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

  state(id: string): Config {
    const out = this.call(["state", id]);
    if (out.code !== 0) throw new Error(out.stderr);
    return JSON.parse(out.stdout) as Config;
  }

  report(out: Outcome): Config {
    if (out.code !== 0) throw new Error(out.stderr);
    return JSON.parse(out.stdout) as Config;
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

  /** Directories of this test run in any cgroup hierarchy. */
  cgroups(): readonly string[] {
    const out = spawnSync("find", ["/sys/fs/cgroup", "-mindepth", "2", "-path", `*/stack-oci-test-${process.pid}/*`, "-type", "d"], { encoding: "utf8" });
    return out.stdout.split("\n").filter((line) => line !== "");
  }
}
