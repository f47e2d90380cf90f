import type { EngineEvent } from "../../engine/index.ts";
import type { Context } from "../context.ts";
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

/** Progress goes to standard error: standard output is the command's result. */
export async function createProgress(context: Context, options: ProgressOptions = {}): Promise<ProgressRenderer> {
  const { progress, ansi, dryRun } = context.globals;
  const terminal = options.plain !== true && (progress === "tty" || (progress === "auto" && context.stderr.isTTY && context.stderr.drawable !== false && ansi !== "never"));
  if (progress === "quiet") return silent;
  if (progress === "json") return new JsonRenderer(context.stderr, dryRun);
  if (!terminal) return new PlainRenderer(context.stderr, options);
  const { TerminalRenderer } = await import("./terminal.ts");
  return new TerminalRenderer(context, options);
}

const silent: ProgressRenderer = {
  event: () => undefined,
  settled: Promise.resolve(),
  end: () => Promise.resolve(),
};
