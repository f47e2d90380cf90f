import { StackError } from "../core/index.ts";
import type { ContainerSummary, Engine } from "../engine/index.ts";
import { isAlive, ofServices } from "./containers.ts";
import type { Context } from "./context.ts";
import { each } from "./direct.ts";
import { projectOrName } from "./project.ts";
import { nearest } from "./suggest.ts";

/** `web:nginx`: the process nginx of the service web. */
export interface ProcessTarget {
  readonly service: string;
  readonly process: string;
}

/** The container's own command among its processes, as the monitor calls it. */
const main = "main";

export function parseTarget(name: string): ProcessTarget | undefined {
  const at = name.indexOf(":");
  return at <= 0 || at === name.length - 1 ? undefined : { service: name.slice(0, at), process: name.slice(at + 1) };
}

/** What the command line names: services as they are, and processes of services. */
export function splitTargets(names: readonly string[]): { readonly services: readonly string[]; readonly targets: readonly ProcessTarget[] } {
  const parsed = names.map((name) => ({ name, target: parseTarget(name) }));
  return {
    services: parsed.flatMap(({ name, target }) => (target === undefined ? [name] : [])),
    targets: parsed.flatMap(({ target }) => (target === undefined ? [] : [target])),
  };
}

/** The process's name as its container knows it; a failure that says which there are. */
export function processIn(container: ContainerSummary, target: ProcessTarget): string {
  const names = (container.state?.supervision?.processes ?? []).map((process) => process.name);
  if (names.includes(target.process)) return target.process;
  const near = nearest(target.process, names);
  throw new StackError("usage", `no such process: ${target.service}:${target.process}`, {
    hint:
      names.length === 0
        ? `The service "${target.service}" declares no \`processes\`.`
        : near === undefined
          ? `"${target.service}" has ${names.join(", ")}.`
          : `Did you mean "${target.service}:${near}"?`,
  });
}

export type ProcessAction = "start" | "stop" | "restart" | "kill";

const words: Readonly<Record<ProcessAction, { readonly doing: string; readonly done: string }>> = {
  start: { doing: "Starting", done: "Started" },
  stop: { doing: "Stopping", done: "Stopped" },
  restart: { doing: "Restarting", done: "Restarted" },
  kill: { doing: "Killing", done: "Killed" },
};

/** Acts on single processes of running containers; their containers go on. */
export async function onProcesses(context: Context, targets: readonly ProcessTarget[], action: ProcessAction, options: { readonly signal?: number; readonly graceMs?: number } = {}): Promise<void> {
  const services = [...new Set(targets.map((target) => target.service))];
  const [{ name, project }, engine] = await Promise.all([projectOrName(context, services), context.doors.engine()]);
  const alive = ofServices(await engine.containers({ project: name }), services, project).filter((c) => isAlive(c) && !c.oneoff);
  for (const target of targets) await actOn(context, engine, target, alive, action, options);
}

async function actOn(context: Context, engine: Engine, target: ProcessTarget, alive: readonly ContainerSummary[], action: ProcessAction, options: { readonly signal?: number; readonly graceMs?: number }): Promise<void> {
  const containers = alive.filter((c) => c.service === target.service);
  if (containers.length === 0)
    throw new StackError("container-not-running", `service "${target.service}" is not running`, { hint: `Start it with \`stack up -d ${target.service}\`.` });
  for (const container of containers) processIn(container, target);
  await each(context, containers, { ...words[action], subject: (c) => `Process ${c.name}:${target.process}` }, async (container) => {
    await engine.monitor(container.id).process(target.process, action, options);
  });
}

/** The name under which lines of a container's log are shown: `web-1:nginx`, or `web-1` for its own command. */
export function streamName(container: string, process: string | undefined): string {
  return process === undefined || process === main ? container : `${container}:${process}`;
}
