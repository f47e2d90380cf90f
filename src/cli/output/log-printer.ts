import type { LogEntry } from "../../logs/index.ts";
import type { Context } from "../context.ts";
import type { Sink } from "../sink.ts";
import { style, styleFor } from "./style.ts";
import type { Style } from "./style.ts";

export interface LogPrinterOptions {
  readonly noColor: boolean;
  readonly noPrefix: boolean;
  readonly timestamps: boolean;
  /** All on standard output. */
  readonly oneStream?: boolean;
}

/** `web-1  | text`: each container its colour, all of one width. What a container wrote to standard error goes to ours, unless all is to be one stream. */
export class LogPrinter {
  readonly #stdout: Sink;
  readonly #stderr: Sink;
  readonly #style: Style;
  readonly #options: LogPrinterOptions;
  readonly #colours = new Map<string, number>();
  #width = 0;
  /** Nothing is written before: progress is still being drawn. */
  gate: Promise<void> = Promise.resolve();

  constructor(context: Context, options: LogPrinterOptions) {
    this.#stdout = context.stdout;
    this.#stderr = context.stderr;
    this.#style = options.noColor ? style(false) : styleFor(context, context.stdout);
    this.#options = options;
  }

  /** Makes room for a name, and gives it the next colour. */
  register(name: string): void {
    if (!this.#colours.has(name)) this.#colours.set(name, this.#colours.size);
    this.#width = Math.max(this.#width, name.length);
  }

  async entries(batch: readonly { readonly source: string; readonly entry: LogEntry }[]): Promise<void> {
    await this.gate;
    // Lines for the same stream are written together; the order between the streams is kept.
    let stream: LogEntry["stream"] = "stdout";
    let text = "";
    for (const { source, entry } of batch) {
      if (entry.stream !== stream && text !== "") {
        await this.#sink(stream).write(text);
        text = "";
      }
      stream = entry.stream;
      text += this.#line(source, entry);
    }
    if (text !== "") await this.#sink(stream).write(text);
  }

  /** `web-1 exited with code 3` */
  async status(source: string, text: string): Promise<void> {
    await this.gate;
    await this.#stdout.write(`${this.#style.pick(this.#colours.get(source) ?? 0, source)} ${text}\n`);
  }

  #line(source: string, entry: LogEntry): string {
    const prefix = this.#options.noPrefix ? "" : this.#style.pick(this.#colours.get(source) ?? 0, `${source.padEnd(this.#width)}  | `);
    return `${prefix}${this.#options.timestamps ? `${entry.time} ` : ""}${entry.text}\n`;
  }

  #sink(stream: LogEntry["stream"]): Sink {
    return stream === "stdout" || this.#options.oneStream === true ? this.#stdout : this.#stderr;
  }
}
