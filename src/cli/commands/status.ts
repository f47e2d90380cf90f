import type { ContainerSummary } from "../../engine/index.ts";
import type { Project } from "../../model/index.ts";
import { defineCommand } from "../command.ts";
import { isAlive } from "../containers.ts";
import { changesStatus, differencesOf } from "../differences.ts";
import { boolean, text } from "../flags.ts";
import { statusText } from "../output/status.ts";
import { projectOrName } from "../project.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

interface Reason {
  readonly what: string;
  readonly why: string;
}

export const command = defineCommand({
  name: "status",
  summary: "Say whether everything is as the file says, or why not",
  details:
    "Converged: nothing is to be done (`stack plan` is empty), every container that should run does, and none is unhealthy. With --exit-code it ends with 2 if that is not so.",
  positionals: [],
  usage: "[OPTIONS]",
  flags: {
    exitCode: boolean("End with 2 if it is not converged"),
    format: text("Output format", { choices: ["text", "json"] }),
  },
  async run(context, flags) {
    const [{ name, project }, engine] = await Promise.all([projectOrName(context, []), context.doors.engine()]);
    const agent = await context.doors.findAgent(name);
    const containers = (await engine.containers({ project: name })).filter((container) => !container.oneoff);
    const plan = project === undefined ? undefined : await engine.plan(project, reconcileOptions("up", { ignoreOrphans: true }));
    const done = new Set(containers.filter((container) => hasDoneItsWork(container, project)).map((container) => container.name));
    const changing = agent === undefined ? false : (await agent.status()).busy;
    await agent?.[Symbol.asyncDispose]();
    const now = context.clock.now();
    const reasons = [
      ...(changing ? [{ what: name, why: "a command is changing it, or something is being healed" }] : []),
      ...(plan === undefined ? [] : differencesOf(plan, done)).map(({ kind, name: what, details }) => ({ what: `${kind} ${what}`, why: details.join("; ") })),
      ...containers.flatMap((container) => troubleOf(container, project, now)),
    ];
    const converged = reasons.length === 0;
    const running = containers.filter(isAlive).length;
    if (flags.format === "json") await context.stdout.write(`${JSON.stringify({ project: name, converged, running, containers: containers.length, reasons })}\n`);
    else await context.stdout.write(render(name, converged, running, containers.length, reasons));
    return flags.exitCode && !converged ? changesStatus : 0;
  },
});

/** A job that has ended well: `up` would run it again, but nothing is missing. */
function hasDoneItsWork({ service, status, state }: ContainerSummary, project: Project | undefined): boolean {
  const policy = project?.services[service]?.restart.policy;
  return status === "exited" && state?.exitCode === 0 && !state.stopRequested && (policy === "no" || policy === "on-failure");
}

/** What is wrong with a container that no plan mends. */
function troubleOf(container: ContainerSummary, project: Project | undefined, now: number): readonly Reason[] {
  const { name, status, health, healthOutput, state } = container;
  const what = `container ${name}`;
  if (status === "restarting") return [{ what, why: statusText(container, now) }];
  if (health === "unhealthy") return [{ what, why: `unhealthy${healthOutput === undefined || healthOutput.trim() === "" ? "" : `: ${firstLine(healthOutput)}`}` }];
  if (health === "starting") return [{ what, why: "not healthy yet" }];
  // With the file at hand the plan says so already.
  if (project === undefined && (status === "exited" || status === "dead") && (state?.exitCode ?? 0) !== 0) return [{ what, why: statusText(container, now) }];
  return [];
}

const firstLine = (output: string): string => output.trim().split("\n")[0] ?? "";

function render(name: string, converged: boolean, running: number, all: number, reasons: readonly Reason[]): string {
  const counts = `${running} of ${all} container${all === 1 ? "" : "s"} running`;
  if (converged) return `${name}: converged, ${counts}\n`;
  const width = Math.max(...reasons.map(({ what }) => what.length));
  return `${name}: not converged, ${counts}\n${reasons.map(({ what, why }) => `  ${what.padEnd(width)}  ${why}\n`).join("")}`;
}
