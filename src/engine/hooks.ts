import { StackError } from "../core/index.ts";
import type { Operation } from "../reconcile/index.ts";
import type { OperationContext } from "./execute.ts";
import { recordOf, serviceOf } from "./executors.ts";
import { runPreStart } from "./pre-start.ts";
import type { Work } from "./work.ts";

/** Runs one hook as the specification says: `post_start` and `pre_stop` in the container, `pre_start` in one of its own before it. */
export async function runHook(work: Work, operation: Extract<Operation, { kind: "run-hook" }>, context: OperationContext): Promise<void> {
  const service = serviceOf(work, operation.service);
  const hook = service[operation.hook][operation.index];
  if (hook === undefined) throw new StackError("internal", `service "${service.name}" has no ${operation.hook}[${operation.index}]`);
  if (operation.hook === "pre_start") {
    await runPreStart(work, service, hook, operation, context);
    return;
  }
  const record = recordOf(work, operation.name, operation.container);
  const result = await work.hub.monitor(record.id).execCapture(
    {
      args: hook.command,
      env: Object.entries(hook.environment).flatMap(([name, value]) => (value === null ? [] : [`${name}=${value}`])),
      ...(hook.user === undefined ? {} : { user: hook.user }),
      ...(hook.working_dir === undefined ? {} : { cwd: hook.working_dir }),
      privileged: hook.privileged,
      capture: 4096,
    },
    context.signal,
  );
  if (result.exitCode !== 0)
    throw new StackError("container-start-failed", `${record.name}: ${operation.hook} hook \`${hook.command.join(" ")}\` exited with ${result.exitCode}: ${result.output.trim()}`);
}
