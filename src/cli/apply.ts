import type { AgentClient, PendingAgent } from "../agent/client.ts";
import type { ApplyRequest, ApplyResult } from "../engine/index.ts";
import type { Project } from "../model/index.ts";
import type { ReconcileOptions } from "../reconcile/index.ts";
import type { Context } from "./context.ts";
import { Failures, Silent } from "./errors.ts";
import { createProgress } from "./progress/renderer.ts";
import type { ProgressRenderer } from "./progress/renderer.ts";
import { answersTo } from "./questions.ts";
import { statusStream } from "./status-stream.ts";

/** A whole command that changes something: agent, project, plan, progress. With `--dry-run` the plan is shown instead. */
export async function change(context: Context, load: () => Promise<Project>, options: (project: Project) => ReconcileOptions, view: ApplyView = {}): Promise<number> {
  if (context.globals.dryRun) {
    const project = await load();
    return showPlan(context, project, options(project));
  }
  await using agent = await bindAgent(context, load);
  const { done } = await applyAndDraw(context, agent.client, agent.project, options(agent.project), view);
  if (done === 0 && view.nothing !== undefined) await statusStream(context).write(`${view.nothing(agent.project)}\n`);
  return 0;
}

export interface BoundAgent extends AsyncDisposable {
  readonly client: AgentClient;
  readonly project: Project;
}

/** Boots an agent while the model loads; it goes again if the model is not valid. */
export async function bindAgent(context: Context, load: () => Promise<Project>): Promise<BoundAgent> {
  const booting = context.doors.startAgent();
  let pending: PendingAgent | undefined;
  try {
    const [started, project] = await Promise.all([booting.then((p) => (pending = p)), load()]);
    const client = await started.bind(project.name);
    return { client, project, [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() };
  } catch (error) {
    pending ??= await booting.catch(() => undefined);
    pending?.abandon();
    throw error;
  }
}

export interface ApplyView {
  /** Cancels. Absent: the first signal to this process does. */
  readonly signal?: AbortSignal;
  readonly quietImages?: boolean;
  /** `-y` */
  readonly yes?: boolean;
  /** What to say where nothing was to be done. */
  readonly nothing?: (project: Project) => string;
  /** Absent: made for this call, and ended with it. */
  readonly progress?: ProgressRenderer;
  /** When the command began, milliseconds since the epoch. Absent: with this process. */
  readonly began?: number;
}

/** Applies and draws the progress; throws what failed. */
export async function applyAndDraw(context: Context, client: AgentClient, project: Project, options: ReconcileOptions, view: ApplyView = {}): Promise<ApplyResult> {
  const signal = view.signal ?? context.interrupts.graceful;
  const progress = view.progress ?? (await createProgress(context, view));
  let result: ApplyResult;
  try {
    const request: ApplyRequest = { project, options, began: view.began ?? performance.timeOrigin, ...(context.globals.parallel === undefined ? {} : { parallel: context.globals.parallel }) };
    result = await client.apply(request, signal, (event) => progress.event(event));
  } catch (error) {
    await progress.end();
    if (signal.aborted) throw interrupted(context);
    const answers = await answersTo(context, error, view.yes === true);
    if (answers === undefined) throw error;
    // The time that somebody took to answer is none of the start's.
    return applyAndDraw(context, client, project, { ...options, answers: [...options.answers, ...answers] }, { ...view, began: context.clock.now() });
  }
  await progress.end();
  if (signal.aborted && !result.ok) throw interrupted(context);
  if (!result.ok) throw new Failures(result.failures.map((f) => f.error));
  return result;
}

/** Ends the command as a shell expects of a program that a signal ended. */
export function interrupted(context: Context): Silent {
  return new Silent(context.interrupts.received === "SIGHUP" ? 129 : 130);
}

export async function showPlan(context: Context, project: Project, options: ReconcileOptions): Promise<number> {
  const engine = await context.doors.engine();
  const [plan, { renderPlan }] = await Promise.all([engine.plan(project, options), import("../reconcile/index.ts")]);
  if (context.globals.progress === "json") await context.stdout.write(`${JSON.stringify(plan)}\n`);
  else await context.stdout.write(ended(renderPlan(plan)));
  return 0;
}

function ended(text: string): string {
  return text === "" ? "nothing to do\n" : text.endsWith("\n") ? text : `${text}\n`;
}
