import { Listr, ListrLogger, ProcessOutput } from "listr2";
import type { ListrDefaultRendererLogLevels, ListrTaskWrapper } from "listr2";
import type { EngineEvent } from "../../engine/index.ts";
import type { Context } from "../context.ts";
import type { Sink } from "../sink.ts";
import { statusStream } from "../status-stream.ts";
import { styleFor } from "../output/style.ts";
import type { Style } from "../output/style.ts";
import { printable } from "../output/table.ts";
import { humanSize, shortTime } from "../output/units.ts";
import { ProgressLines } from "./lines.ts";
import type { Line } from "./lines.ts";
import { PlainRenderer } from "./plain.ts";
import type { ProgressOptions, ProgressRenderer } from "./renderer.ts";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- listr2's own type of a wrapper of any renderer
type Task = ListrTaskWrapper<unknown, any, any>;

interface Row {
  readonly finished: Promise<void>;
  finish(error?: Error): void;
  task?: Task;
  line?: Line;
  over: boolean;
}

/** One line for each resource, redrawn as the events come; drawn by listr2 on standard error. */
export class TerminalRenderer implements ProgressRenderer {
  readonly #options: ProgressOptions;
  readonly #stream: Sink;
  readonly #screen: NodeJS.WriteStream;
  readonly #style: Style;
  readonly #lines = new ProgressLines();
  readonly #rows = new Map<string, Row>();
  #drawing: Promise<unknown> = Promise.resolve();
  /** Once logs run by, nothing may be redrawn any more. */
  #plain: PlainRenderer | undefined;
  #switched = false;
  #settle: () => void = () => undefined;
  readonly settled: Promise<void> = new Promise((resolve) => (this.#settle = resolve));
  /** What the plain renderer has to know when it takes over. */
  readonly #events: EngineEvent[] = [];
  #plan: Extract<EngineEvent, { type: "plan" }> | undefined;

  constructor(context: Context, options: ProgressOptions) {
    this.#options = options;
    this.#stream = statusStream(context);
    this.#screen = this.#stream === context.stdout ? process.stdout : process.stderr;
    this.#style = styleFor(context, this.#stream);
  }

  event(event: EngineEvent): void {
    if (this.#plain !== undefined) {
      if (this.#switched) this.#plain.event(event);
      else this.#events.push(event);
      return;
    }
    if (event.type === "warning") {
      void this.#stream.write(`${this.#style.yellow("warning:")} ${event.message}\n`);
      return;
    }
    this.#events.push(event);
    const lines = this.#lines.take(event);
    if (event.type === "plan") {
      this.#plan = event;
      // What does not fit on the screen cannot be redrawn.
      if (this.#lines.ids.length > (this.#screen.rows || 24) - 2) {
        this.#becomePlain();
        return;
      }
      this.#begin();
    }
    for (const line of lines) this.#draw(line);
    if (this.#options.attached === true && event.type === "operation" && event.status === "running" && this.#starts(event.index)) this.#becomePlain();
  }

  async end(): Promise<void> {
    for (const row of this.#rows.values()) finish(row);
    await this.#drawing;
    await this.#plain?.end();
    this.#settle();
  }

  #begin(): void {
    for (const row of this.#rows.values()) finish(row);
    this.#rows.clear();
    const ids = this.#lines.ids;
    if (ids.length === 0) return;
    for (const id of ids) this.#rows.set(id, newRow());
    const logger = new ListrLogger<ListrDefaultRendererLogLevels>({ processOutput: new ProcessOutput(this.#screen, this.#screen) });
    const list = new Listr(
      [...this.#rows].map(([id, row]) => ({
        title: printable(id),
        enabled: true,
        task: (_: unknown, task: Task): Promise<void> => {
          row.task = task;
          this.#show(row);
          return row.finished;
        },
      })),
      {
        concurrent: true,
        exitOnError: false,
        registerSignalListeners: false,
        renderer: "default",
        rendererOptions: { logger, showErrorMessage: false, collapseErrors: false, clearOutput: this.#options.attached === true, lazy: false },
        forceTTY: true,
      },
    );
    this.#drawing = Promise.all([this.#drawing, list.run().catch(() => undefined)]);
  }

  #draw(line: Line): void {
    const row = this.#rows.get(line.id);
    if (row === undefined || row.over) return;
    row.line = line;
    this.#show(row);
    if (line.last) finish(row);
  }

  #show(row: Row): void {
    const { task, line } = row;
    if (task === undefined || line === undefined) return;
    task.title = this.#title(line);
    if (line.detail !== undefined && line.state === "working") task.output = printable(line.detail);
  }

  #title(line: Line): string {
    const bytes = line.progress === undefined || line.state !== "working" ? "" : `  ${humanSize(line.progress.current)} / ${humanSize(line.progress.total)}`;
    const time = line.took === undefined ? "" : this.#style.dim(`  ${shortTime(line.took)}`);
    const detail = line.detail === undefined || line.state === "working" ? "" : this.#style.dim(`  ${printable(line.detail)}`);
    return `${printable(line.id)}  ${this.#paint(line)}${bytes}${time}${detail}`;
  }

  #paint(line: Line): string {
    switch (line.state) {
      case "done":
        return this.#style.green(line.status);
      case "failed":
        return this.#style.red(line.status);
      case "skipped":
        return this.#style.yellow(line.status);
      case "working":
        return line.status;
    }
  }

  #starts(index: number): boolean {
    return this.#plan?.plan.operations[index]?.kind === "start-container";
  }

  /** What was drawn is wiped away and written as lines, and so is everything that comes. */
  #becomePlain(): void {
    const plain = new PlainRenderer(this.#stream, this.#options);
    this.#plain = plain;
    for (const row of this.#rows.values()) finish(row);
    this.#drawing = this.#drawing.then(() => {
      for (const event of this.#events.splice(0)) plain.event(event);
      this.#switched = true;
      this.#settle();
    });
  }
}

function newRow(): Row {
  let resolve: () => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return {
    finished: promise,
    over: false,
    finish(error) {
      if (error === undefined) resolve();
      else reject(error);
    },
  };
}

function finish(row: Row): void {
  if (row.over) return;
  row.over = true;
  row.finish(row.line?.state === "failed" ? new Error(row.line.detail ?? row.line.status) : undefined);
}
