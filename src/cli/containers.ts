import { StackError } from "../core/index.ts";
import type { ContainerSummary, Engine } from "../engine/index.ts";
import type { Project } from "../model/index.ts";
import { checkService } from "./project.ts";
import { nearest } from "./suggest.ts";

/** Does somebody live in it? */
export function isAlive(container: ContainerSummary): boolean {
  return container.status === "running" || container.status === "paused" || container.status === "restarting";
}

/** As `ofServices`; with no names only those of active services, where there is a file to say which these are: as with Docker Compose. */
export function ofActive(containers: readonly ContainerSummary[], services: readonly string[], project: Project | undefined): readonly ContainerSummary[] {
  if (services.length > 0 || project === undefined) return ofServices(containers, services, project);
  return containers.filter((c) => project.services[c.service] !== undefined);
}

/** The containers of the named services (all without names), checked against the file, or without one against what exists. */
export function ofServices(containers: readonly ContainerSummary[], services: readonly string[], project: Project | undefined): readonly ContainerSummary[] {
  if (services.length === 0) return containers;
  const existing = new Set(containers.map((c) => c.service));
  for (const service of services) {
    if (existing.has(service)) continue;
    if (project !== undefined) checkService(project, service);
    else throw noSuchService(service, [...existing]);
  }
  return containers.filter((c) => services.includes(c.service));
}

function noSuchService(service: string, existing: readonly string[]): StackError {
  const near = nearest(service, existing);
  return new StackError("no-such-service", `no such service: ${service}`, near === undefined ? {} : { hint: `Did you mean "${near}"?` });
}

/** The one that `export` means: the first, or the one with this number, whether it runs or not. */
export async function existingContainer(engine: Engine, project: { readonly name: string }, service: string, index: number | undefined): Promise<ContainerSummary> {
  const all = (await engine.containers({ project: project.name })).filter((c) => !c.oneoff);
  const mine = all.filter((c) => c.service === service).sort((a, b) => a.number - b.number);
  const found = mine.find((c) => index === undefined || c.number === index);
  if (found === undefined) throw noContainer(all, project.name, service, index);
  return found;
}

export function noContainer(existing: readonly ContainerSummary[], project: string, service: string, index: number | undefined): StackError {
  const own = existing.filter((c) => c.service === service);
  if (own.length > 0) return new StackError("no-such-container", `service "${service}" has no container #${index ?? 1}`, { hint: `It has ${own.map(({ number }) => `#${number}`).join(", ")}.` });
  const services = [...new Set(existing.map((c) => c.service))];
  const near = nearest(service, services);
  const hint = near === undefined ? (services.length > 0 ? `It has containers of ${services.join(", ")}.` : `Make it with \`stack create ${service}\` or \`stack up -d ${service}\`.`) : `Did you mean "${near}"?`;
  return new StackError("no-such-container", `no container found for service "${service}" in project "${project}"`, { hint });
}

/** The one container that `exec`, `port`, `attach` and `cp` mean: the first that runs, or the one with this number. */
export async function runningContainer(engine: Engine, project: { readonly name: string; readonly project?: Project }, service: string, index: number | undefined): Promise<ContainerSummary> {
  const everything = await engine.containers({ project: project.name });
  const all = everything.filter((c) => !c.oneoff);
  const mine = all.filter((c) => c.service === service).sort((a, b) => a.number - b.number);
  // Of a service that has no container of its own, one that `run` made will do.
  const oneOff = index === undefined ? everything.find((c) => c.oneoff && c.service === service && isAlive(c)) : undefined;
  const found = mine.find((c) => isAlive(c) && (index === undefined || c.number === index)) ?? oneOff;
  if (found !== undefined) return found;
  if (index !== undefined && mine.length > 0)
    throw new StackError("container-not-running", `service "${service}" is not running container #${index}`, {
      hint: `It has ${mine.filter(isAlive).map((c) => `#${c.number}`).join(", ") || "no running container"}.`,
    });
  const known = [...new Set([...all.map((c) => c.service), ...Object.keys(project.project?.services ?? {})])];
  if (known.includes(service))
    throw new StackError("container-not-running", `service "${service}" is not running`, {
      hint: `Start it with \`stack up -d ${service}\`; \`stack ps -a\` and \`stack logs ${service}\` say how it ended.`,
    });
  const near = nearest(service, known);
  throw new StackError("no-such-service", `service "${service}" is not running: there is no such service`, {
    hint: near === undefined ? `"${project.name}" has ${known.join(", ") || "no service"}.` : `Did you mean "${near}"?`,
  });
}

/** What logs are called by: the name without the project, `web-1`; the full name of what `container_name` or `run` named. */
export function shortName(container: ContainerSummary): string {
  const prefix = `${container.project}-`;
  return container.name.startsWith(prefix) ? container.name.slice(prefix.length) : container.name;
}
