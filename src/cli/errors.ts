import { serializeError, StackError, toStackError } from "../core/index.ts";
import type { SerializedError } from "../core/index.ts";
import type { Context } from "./context.ts";
import { style, styleFor } from "./output/style.ts";
import { ModelError } from "./project.ts";
import type { Sink } from "./sink.ts";

/** Several operations of one command failed; each is shown, the first decides about the exit status. */
export class Failures extends StackError {
  readonly all: readonly SerializedError[];

  constructor(all: readonly SerializedError[]) {
    const [first] = all;
    super(first?.code ?? "internal", first?.message ?? "The command failed", {
      ...(first?.hint === undefined ? {} : { hint: first.hint }),
      ...(first === undefined ? {} : { exitStatus: first.exitStatus }),
    });
    this.all = all;
  }
}

/** The command ends with this status and has said why already. */
export class Silent extends StackError {
  constructor(exitStatus: number) {
    super("cancelled", "", { exitStatus });
  }
}

/** Says what went wrong, in one block for each error, and returns the exit status. */
export async function reportError(error: unknown, stderr: Sink, context: Context | undefined): Promise<number> {
  const stackError = toStackError(error);
  if (error instanceof Silent) return stackError.exitStatus;
  const all = error instanceof Failures ? error.all : [serializeError(stackError)];
  if (context?.globals.progress === "json") {
    for (const one of all) await stderr.write(`${JSON.stringify({ level: "error", error: one })}\n`);
    return stackError.exitStatus;
  }
  const paint = context === undefined ? style(false) : styleFor(context, stderr);
  if (error instanceof ModelError && error.diagnostics.some((d) => d.place !== undefined)) {
    const { renderDiagnostics } = await import("../model/index.ts");
    await stderr.write(renderDiagnostics(error.diagnostics, { color: paint.enabled }));
    return stackError.exitStatus;
  }
  for (const one of all) {
    await stderr.write(`${paint.red(paint.bold("error:"))} ${one.message}\n`);
    const log = one.details?.["log"];
    if (Array.isArray(log) && log.length > 0) {
      await stderr.write("  its last lines:\n");
      for (const line of log) await stderr.write(`    ${paint.dim("|")} ${String(line)}\n`);
    }
    for (const cause of one.causes ?? []) await stderr.write(`  because: ${cause}\n`);
    if (one.hint !== undefined) await stderr.write(`  hint: ${one.hint}\n`);
  }
  if (stackError.code === "internal" && stackError.cause instanceof Error && context?.env["STACK_DEBUG"] !== undefined)
    await stderr.write(`${stackError.cause.stack ?? ""}\n`);
  return stackError.exitStatus;
}
