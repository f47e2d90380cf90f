import type { EngineEvent } from "../../engine/index.ts";
import type { Sink } from "../sink.ts";
import { ProgressLines } from "./lines.ts";
import type { ProgressRenderer } from "./renderer.ts";

/** One JSON object a line: Docker Compose's `id` and `status`, and what we know beyond. */
export class JsonRenderer implements ProgressRenderer {
  readonly #out: Sink;
  readonly #dryRun: boolean;
  readonly #lines = new ProgressLines();
  readonly settled: Promise<void> = Promise.resolve();
  #written: Promise<void> = Promise.resolve();

  constructor(out: Sink, dryRun: boolean) {
    this.#out = out;
    this.#dryRun = dryRun;
  }

  event(event: EngineEvent): void {
    if (event.type === "warning") this.#write({ level: "warning", rule: event.rule, message: event.message });
    const error = event.type === "operation" ? event.error : undefined;
    for (const line of this.#lines.take(event)) {
      if (line.status === "Present") continue;
      this.#write({
        ...(this.#dryRun ? { "dry-run": true } : {}),
        id: line.id,
        status: line.status,
        ...(line.detail === undefined ? {} : { text: line.detail }),
        ...(line.progress === undefined ? {} : line.progress),
        ...(line.took === undefined ? {} : { took: line.took }),
        ...(error === undefined ? {} : { error }),
      });
    }
  }

  #write(object: object): void {
    this.#written = this.#out.write(`${JSON.stringify(object)}\n`);
  }

  end(): Promise<void> {
    return this.#written;
  }
}
