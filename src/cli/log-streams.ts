import { join } from "node:path";
import { paths } from "../core/index.ts";
import type { ContainerId, DataRoot } from "../core/index.ts";
import type { ContainerSummary } from "../engine/index.ts";
import { LogMerge, readLog } from "../logs/index.ts";
import type { LogEntry, ReadOptions } from "../logs/index.ts";
import { shortName } from "./containers.ts";
import type { LogPrinter } from "./output/log-printer.ts";
import { streamName } from "./process-targets.ts";

/** The logs of several containers, printed as one, containers joining and ending meanwhile. */
export class LogStreams {
  readonly #root: DataRoot;
  readonly #printer: LogPrinter;
  readonly #signal: AbortSignal;
  readonly #merge = new LogMerge<string>();
  readonly #streams = new Map<ContainerId, { readonly ended: AbortController; readonly drained: Promise<void> }>();
  /** Damaged records that were skipped, for each container. */
  readonly damaged = new Map<string, number>();

  constructor(root: DataRoot, printer: LogPrinter, signal: AbortSignal) {
    this.#root = root;
    this.#printer = printer;
    this.#signal = signal;
  }

  has(id: ContainerId): boolean {
    return this.#streams.has(id);
  }

  add(container: ContainerSummary, options: Pick<ReadOptions, "tail" | "since" | "until" | "follow">, processes?: readonly string[]): void {
    if (this.has(container.id)) return;
    const name = shortName(container);
    const ended = new AbortController();
    let drained: () => void = () => undefined;
    this.#streams.set(container.id, { ended, drained: new Promise((resolve) => (drained = resolve)) });
    const declared = (container.state?.supervision?.processes ?? []).map((process) => process.name);
    if (processes === undefined) this.#printer.register(name);
    for (const process of declared) if (processes?.includes(process) ?? true) this.#printer.register(streamName(name, process));
    const only = processes === undefined ? undefined : new Set(processes);
    const path = join(paths.container(this.#root, container.id), "log", "container.log");
    const onDamaged = (): void => {
      this.damaged.set(name, (this.damaged.get(name) ?? 0) + 1);
    };
    // One process is filtered as it is read, so that `tail` counts its lines.
    const [one] = processes ?? [];
    const process = processes?.length === 1 && one !== undefined ? { process: one === "main" ? "" : one } : {};
    this.#merge.add(name, (onCaughtUp) =>
      withEnd(ofProcesses(readLog(path, { ...options, ...process, signal: this.#signal, ended: ended.signal, onCaughtUp, onDamaged }), only), drained),
    );
  }

  /** The container has ended for good: resolves when everything it wrote has been read. */
  async end(id: ContainerId): Promise<void> {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#streams.delete(id);
    stream.ended.abort();
    await stream.drained;
  }

  /** No container joins any more. */
  close(): void {
    this.#merge.close();
  }

  /** Resolves when all logs have ended after `close`, or the signal aborts. */
  async print(): Promise<void> {
    const stop = (): void => this.#merge.close();
    this.#signal.addEventListener("abort", stop);
    if (this.#signal.aborted) stop();
    try {
      for await (const batch of this.#merge)
        await this.#printer.entries(batch.map(({ source, entry }) => ({ source: streamName(source, entry.process), entry })));
    } finally {
      this.#signal.removeEventListener("abort", stop);
    }
  }
}

async function* withEnd<T>(source: AsyncIterable<T>, onEnd: () => void): AsyncGenerator<T> {
  try {
    yield* source;
  } finally {
    onEnd();
  }
}

/** What these processes wrote; undefined: all. */
async function* ofProcesses(source: AsyncIterable<readonly LogEntry[]>, only: ReadonlySet<string> | undefined): AsyncGenerator<readonly LogEntry[]> {
  for await (const batch of source) {
    const wanted = only === undefined ? batch : batch.filter((entry) => only.has(entry.process ?? "main"));
    if (wanted.length > 0) yield wanted;
  }
}
