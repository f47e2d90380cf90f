import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import type { FSWatcher } from "chokidar";
import { readIfThere, replaceFile } from "../core/index.ts";
import type { HostPath } from "../core/index.ts";
import type { EngineEvent } from "../engine/index.ts";
import type { FollowRequest } from "./protocol.ts";

/** Editors write a file in several steps: what happens together is one change, milliseconds. */
const settleMs = 150;

/** So much of what the command said is passed on, bytes from its end. */
const keptOutput = 4096;

/** `projects/NAME/follow.json`: 0600, as it holds the environment that the files are read with. */
interface FollowRecord {
  readonly version: number;
  readonly request: FollowRequest;
}

const recordVersion = 1;

/**
 * `up --follow`: watches the stack's own files, and when one changes runs the same `up` again, as the user would: what the
 * file says is checked, planned and done in one way only. A file that does not load changes nothing; its errors are told.
 * The wish is kept on disk until it is withdrawn: an agent that takes over follows on, and sees by their times which files
 * have changed while there was none.
 */
export class Follower {
  readonly #record: HostPath;
  readonly #tell: (event: EngineEvent) => void;
  readonly #onIdle: () => void;
  #request: FollowRequest | undefined;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #again = false;
  readonly #changed = new Set<string>();

  constructor(record: HostPath, tell: (event: EngineEvent) => void, onIdle: () => void) {
    this.#record = record;
    this.#tell = tell;
    this.#onIdle = onIdle;
  }

  get active(): boolean {
    return this.#request !== undefined || this.#running;
  }

  async follow(request: FollowRequest): Promise<void> {
    try {
      const record: FollowRecord = { version: recordVersion, request };
      replaceFile(this.#record, JSON.stringify(record));
    } catch (error) {
      this.#say(`The wish to follow cannot be kept, and is forgotten when the agent ends: ${error instanceof Error ? error.message : String(error)}`);
    }
    await this.#watch(request);
  }

  /** Goes on where the agent before was; the wish is ours when this returns, the files are watched a little later. */
  resume(): void {
    const request = this.#kept();
    if (request === undefined) return;
    this.#watch(request).catch((error: unknown) => {
      this.#say(`Cannot watch the stack's files: ${error instanceof Error ? error.message : String(error)}`);
    });
  }

  /** Undefined: there is none, or half of one. */
  #kept(): FollowRequest | undefined {
    try {
      const record = JSON.parse(readIfThere(this.#record) ?? "null") as FollowRecord | null;
      return record?.version === recordVersion ? record.request : undefined;
    } catch {
      return undefined;
    }
  }

  async #watch(request: FollowRequest): Promise<void> {
    this.#unwatch();
    this.#request = request;
    const { watch } = await import("chokidar");
    if (this.#request !== request) return; // another one came meanwhile
    const watcher = watch([...request.files], { persistent: true, atomic: true });
    this.#watcher = watcher;
    // What changed between the loading of the files and now is seen by its time.
    watcher.on("add", (path, stats) => {
      if ((stats?.mtimeMs ?? 0) > request.loadedAt) this.#due(path);
    });
    for (const event of ["change", "unlink"] as const) watcher.on(event, (path) => {
      this.#due(path);
    });
    watcher.on("error", (error) => {
      this.#say(`Cannot watch the stack's files: ${error instanceof Error ? error.message : String(error)}`);
    });
    await new Promise<void>((resolve) => {
      watcher.once("ready", () => {
        resolve();
      });
    });
  }

  /** The wish is withdrawn. */
  stop(): void {
    this.close();
    rmSync(this.#record, { force: true });
  }

  /** Watches no more; the next agent does. */
  close(): void {
    this.#unwatch();
    this.#request = undefined;
  }

  #unwatch(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    void this.#watcher?.close();
    this.#watcher = undefined;
  }

  #due(path: string): void {
    this.#changed.add(path);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#apply();
    }, settleMs);
  }

  #apply(): void {
    const request = this.#request;
    if (request === undefined) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    const what = [...this.#changed].map((path) => path.slice(path.lastIndexOf("/") + 1)).sort().join(", ");
    this.#changed.clear();
    this.#say(`${what} changed: applying`);
    const [file = "", ...argv] = request.argv;
    let output = "";
    const child = spawn(file, argv, { cwd: request.cwd, env: request.env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output = (output + chunk).slice(-keptOutput);
      });
    child.on("error", (error) => {
      output += error.message;
    });
    child.on("close", (code) => {
      this.#running = false;
      this.#say(code === 0 ? `${what} changed: applied` : `${what} changed, and could not be applied (status ${code ?? "unknown"}); everything runs on as it was\n${output.trimEnd()}`);
      if (this.#again) {
        this.#again = false;
        this.#apply();
      } else if (this.#request === undefined) this.#onIdle();
    });
  }

  #say(message: string): void {
    this.#tell({ type: "warning", rule: "follow", message });
  }
}
