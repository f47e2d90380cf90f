import { existsSync, watch } from "node:fs";
import { basename, dirname } from "node:path";
import { openLogFiles } from "./files.ts";
import type { LogFile } from "./files.ts";
import { Joiner, LineReader, linesBackward } from "./lines.ts";
import { parseRecord } from "./record.ts";
import type { LogRecord } from "./record.ts";
import type { LogEntry, ReadOptions } from "./types.ts";

/**
 * The lines of one container's log, oldest first, through rotation, and with `follow` those to come:
 * the kernel tells when the directory changes, nothing polls. They come in batches, as they were read.
 */
export async function* readLog(path: string, options: ReadOptions): AsyncGenerator<readonly LogEntry[]> {
  const joiner = new Joiner();
  for await (const lines of rawLines(path, options)) {
    const batch: LogEntry[] = [];
    let over = false;
    for (const line of lines) {
      const record = parseRecord(line);
      if (record === undefined) {
        if (line !== "") options.onDamaged?.(line);
        continue;
      }
      if (options.until !== undefined && record.at > options.until) {
        over = true;
        break;
      }
      if (options.since !== undefined && record.at < options.since) continue;
      if (!wanted(record, options)) continue;
      const entry = joiner.add(record);
      if (entry !== undefined) batch.push(entry);
    }
    if (batch.length > 0) yield batch;
    if (over) break;
  }
  const rest = options.signal.aborted ? [] : joiner.rest();
  if (rest.length > 0) yield rest;
}

function wanted(record: LogRecord, { process }: ReadOptions): boolean {
  return process === undefined || (record.process ?? "") === process;
}

async function* rawLines(path: string, options: ReadOptions): AsyncGenerator<readonly string[]> {
  using change = options.follow === true ? new Changes(path, options) : undefined;
  if (change !== undefined) await change.ready();
  let reader: LineReader | undefined;
  try {
    const files = await openLogFiles(path);
    const start = await startOf(files, options);
    for (const [index, file] of files.entries()) {
      await reader?.file.close();
      reader = new LineReader(file.handle, file.inode, index < start.index ? file.size : index === start.index ? start.offset : 0);
      if (index >= start.index) yield* reader.read(options.signal);
    }
    options.onCaughtUp?.();
    while (change !== undefined && !options.signal.aborted) {
      const last = options.ended?.aborted === true;
      if (!last) await change.next();
      if (reader !== undefined) yield* reader.read(options.signal);
      for (const file of await newerThan(path, reader?.inode)) {
        await reader?.file.close();
        reader = new LineReader(file.handle, file.inode, 0);
        yield* reader.read(options.signal);
      }
      if (last) return;
    }
  } finally {
    await reader?.file.close();
  }
}

/** The files that came after the one with `inode`, open; all of them if that one has gone. */
async function newerThan(path: string, inode: bigint | undefined): Promise<LogFile[]> {
  const files = await openLogFiles(path);
  const at = files.findIndex((f) => f.inode === inode);
  for (const file of files.slice(0, at + 1)) await file.handle.close();
  return files.slice(at + 1);
}

/** Where to begin so that `tail` lines follow, or nothing before `since` is read: found from the end. */
async function startOf(files: readonly LogFile[], options: ReadOptions): Promise<{ index: number; offset: number }> {
  const { tail, since } = options;
  if (tail === undefined && since === undefined) return { index: 0, offset: 0 };
  let start = { index: files.length - 1, offset: files.at(-1)?.size ?? 0 };
  let lines = 0;
  let newest = true;
  for (let index = files.length - 1; index >= 0; index -= 1) {
    const file = files[index];
    if (file === undefined) continue;
    for await (const { offset, line } of linesBackward(file.handle, file.size)) {
      const record = parseRecord(line);
      if (record !== undefined) {
        if (since !== undefined && record.at < since) return start;
        // A record with a newline is the end of a line; without one it counts only if nothing follows it.
        if (wanted(record, options)) {
          if (newest || record.text.endsWith("\n")) lines += 1;
          if (tail !== undefined && lines > tail) return start;
          newest = false;
        }
      }
      start = { index, offset };
    }
  }
  return start;
}

/** Wakes up when something in the log's directory changes; waits for that directory first if need be. */
class Changes implements Disposable {
  readonly #path: string;
  readonly #signal: AbortSignal;
  readonly #ended: AbortSignal | undefined;
  #close: () => void = () => undefined;
  #changed = false;
  #wake: () => void = () => undefined;
  readonly #onAbort = (): void => this.#notify();

  constructor(path: string, options: ReadOptions) {
    this.#path = path;
    this.#signal = options.signal;
    this.#ended = options.ended;
    this.#signal.addEventListener("abort", this.#onAbort);
    this.#ended?.addEventListener("abort", this.#onAbort);
  }

  /** Resolves when the directory of the log is being watched (or nothing is to come any more). */
  async ready(): Promise<void> {
    const directory = dirname(this.#path);
    while (!this.#signal.aborted && this.#ended?.aborted !== true) {
      if (this.#watch(directory, basename(this.#path))) return;
      // Not there before the container's first start.
      if (!this.#watch(dirname(directory), basename(directory))) return;
      if (!existsSync(directory)) await this.next();
      this.#close();
    }
  }

  #watch(directory: string, name: string): boolean {
    try {
      const watcher = watch(directory, { persistent: true }, (_event, changed) => {
        if (changed === null || changed.startsWith(name)) this.#notify();
      });
      watcher.on("error", () => this.#notify());
      this.#close = () => watcher.close();
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  }

  #notify(): void {
    this.#changed = true;
    this.#wake();
  }

  async next(): Promise<void> {
    if (!this.#changed && !this.#signal.aborted && this.#ended?.aborted !== true)
      await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#changed = false;
  }

  [Symbol.dispose](): void {
    this.#close();
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#ended?.removeEventListener("abort", this.#onAbort);
  }
}
