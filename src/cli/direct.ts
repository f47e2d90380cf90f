import { serializeError, toStackError } from "../core/index.ts";
import type { StackError } from "../core/index.ts";
import type { ContainerSummary } from "../engine/index.ts";
import type { Context } from "./context.ts";
import { Failures } from "./errors.ts";
import { statusStream } from "./status-stream.ts";

/** Lines for what a command does with monitors directly, in the same forms as an agent's progress. */
export async function say(context: Context, id: string, status: string): Promise<void> {
  const { progress, dryRun } = context.globals;
  if (progress === "quiet") return;
  if (progress === "json") await statusStream(context).write(`${JSON.stringify({ ...(dryRun ? { "dry-run": true } : {}), id, status })}\n`);
  else await statusStream(context).write(`${dryRun ? " DRY-RUN MODE - " : ""} ${id}  ${status}\n`);
}

/** Does it with all at once; each failure is shown, none hides another. */
export async function each(context: Context, containers: readonly ContainerSummary[], words: { readonly doing?: string; readonly done: string; readonly subject?: (container: ContainerSummary) => string }, act: (container: ContainerSummary) => Promise<void>): Promise<void> {
  const failures: StackError[] = [];
  await Promise.all(
    containers.map(async (container) => {
      const id = words.subject?.(container) ?? `Container ${container.name}`;
      try {
        if (words.doing !== undefined) await say(context, id, words.doing);
        if (!context.globals.dryRun) await act(container);
        await say(context, id, words.done);
      } catch (error) {
        failures.push(toStackError(error));
        await say(context, id, "Error");
      }
    }),
  );
  if (failures.length > 0) throw new Failures(failures.map(serializeError));
}
