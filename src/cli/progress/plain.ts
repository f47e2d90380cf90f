import type { EngineEvent } from "../../engine/index.ts";
import type { Sink } from "../sink.ts";
import { ProgressLines } from "./lines.ts";
import type { Line } from "./lines.ts";
import type { ProgressRenderer } from "./renderer.ts";

/** One line for each change, as Docker Compose writes them where there is no terminal. */
export class PlainRenderer implements ProgressRenderer {
  readonly #out: Sink;
  readonly #lines = new ProgressLines();
  readonly #quietImages: boolean;
  readonly #shown = new Map<string, string>();
  readonly settled: Promise<void> = Promise.resolve();
  #written: Promise<void> = Promise.resolve();

  constructor(out: Sink, options: { readonly quietImages?: boolean } = {}) {
    this.#out = out;
    this.#quietImages = options.quietImages === true;
  }

  event(event: EngineEvent): void {
    if (event.type === "plan") this.#shown.clear();
    if (event.type === "warning") this.#write(`warning: ${event.message}\n`);
    for (const line of this.#lines.take(event)) this.#line(line);
  }

  #line(line: Line): void {
    if (line.status === "Present" || (this.#quietImages && line.id.startsWith("Image ") && line.state !== "failed")) return;
    const text = ` ${line.id}  ${line.status}${line.detail === undefined ? "" : `  ${line.detail}`}`;
    // Bytes that came in change nothing of a plain line.
    if (this.#shown.get(line.id) === text) return;
    this.#shown.set(line.id, text);
    this.#write(`${text}\n`);
  }

  #write(text: string): void {
    this.#written = this.#out.write(text);
  }

  end(): Promise<void> {
    return this.#written;
  }
}
