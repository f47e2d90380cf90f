import type { EngineEvent } from "../../engine/index.ts";
import type { Context } from "../context.ts";
import { statusStream } from "../status-stream.ts";
import { JsonRenderer } from "./json.ts";
import { PlainRenderer } from "./plain.ts";

/** Draws the engine's events while a command works. Nothing else than events reaches it. */
export interface ProgressRenderer {
  event(event: EngineEvent): void;
  /** Resolves when others may write to the terminal: nothing that they write is wiped away. */
  readonly settled: Promise<void>;
  /** Nothing more will come; resolves when everything is drawn. */
  end(): Promise<void>;
}

export interface ProgressOptions {
  readonly quietImages?: boolean;
  /** Logs come in between as soon as the first container runs: from then on plain lines. */
  readonly attached?: boolean;
  /** Logs run by already. */
  readonly plain?: boolean;
}

/** Progress goes where status goes (`statusStream`). */
export async function createProgress(context: Context, options: ProgressOptions = {}): Promise<ProgressRenderer> {
  const { progress, ansi, dryRun } = context.globals;
  const stream = statusStream(context);
  const terminal = options.plain !== true && (progress === "tty" || (progress === "auto" && stream.isTTY && stream.drawable !== false && ansi !== "never"));
  if (progress === "quiet") return silent;
  if (progress === "json") return new JsonRenderer(stream, dryRun);
  if (!terminal) return new PlainRenderer(stream, options);
  const { TerminalRenderer } = await import("./terminal.ts");
  return new TerminalRenderer(context, options);
}

const silent: ProgressRenderer = {
  event: () => undefined,
  settled: Promise.resolve(),
  end: () => Promise.resolve(),
};
