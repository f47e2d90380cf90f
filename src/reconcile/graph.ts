import { StackError } from "../core/index.ts";
import type { Dependency, Project, Service } from "../model/index.ts";
import type { ObservedContainer, ObservedState } from "./observed.ts";

/** Which service needs which, and in what order they start. Stopping goes the other way. */
export interface ServiceGraph {
  /** All names, dependencies first; deterministic. */
  readonly order: readonly string[];
  dependencies(service: string): Readonly<Record<string, Dependency>>;
  /** Services that depend on this one directly, sorted. */
  dependents(service: string): readonly string[];
}

const implied: Dependency = { condition: "service_started", restart: true, required: true, implicit: true };

/** Services whose namespaces (or volumes) this one takes part in: `network_mode: service:x` and the like. */
export function joinedServices(service: Service): readonly { readonly key: string; readonly service: string }[] {
  const words = { network_mode: service.network_mode, ipc: service.ipc, pid: service.pid, uts: service.uts, cgroup: service.cgroup };
  return Object.entries(words).flatMap(([key, word]) => (word?.startsWith("service:") === true ? [{ key, service: word.slice("service:".length) }] : []));
}

export function volumeDonors(service: Service): readonly string[] {
  return service.volumes_from.flatMap((from) => (from.startsWith("container:") ? [] : [from.split(":", 1)[0] ?? ""]));
}

function serviceDependencies(service: Service): Readonly<Record<string, Dependency>> {
  const all: Record<string, Dependency> = { ...service.depends_on };
  // Namespaces go with the container that they belong to, whatever `depends_on` says of a restart.
  for (const { service: name } of joinedServices(service)) all[name] = { ...(all[name] ?? implied), restart: true };
  for (const name of volumeDonors(service)) all[name] ??= { ...implied, restart: false };
  return all;
}

/** `db:service_healthy:false,cache:…`, which Docker Compose puts on every container: all that is left of a service that is no longer in the file. */
function labelDependencies(container: ObservedContainer): Readonly<Record<string, Dependency>> {
  const label = container.labels["com.docker.compose.depends_on"] ?? "";
  const names = label.split(",").flatMap((part) => (part === "" ? [] : [part.split(":", 1)[0] ?? ""]));
  return Object.fromEntries(names.map((name) => [name, { ...implied, restart: false, required: false }]));
}

export function serviceGraph(project: Project, observed: ObservedState): ServiceGraph {
  const edges = new Map<string, Readonly<Record<string, Dependency>>>();
  for (const service of Object.values({ ...project.disabled_services, ...project.services })) edges.set(service.name, serviceDependencies(service));
  const known = new Set(edges.keys());
  for (const container of observed.containers) if (!known.has(container.service)) edges.set(container.service, labelDependencies(container));
  const dependents = new Map<string, string[]>();
  for (const name of [...edges.keys()].sort())
    for (const dependency of Object.keys(edges.get(name) ?? {})) dependents.set(dependency, [...(dependents.get(dependency) ?? []), name]);
  return {
    order: topologicalOrder(edges, known),
    dependencies: (service) => edges.get(service) ?? {},
    dependents: (service) => dependents.get(service) ?? [],
  };
}

/** `strict`: services of the file, among which a cycle is an error. Labels of old containers may say anything. */
function topologicalOrder(edges: ReadonlyMap<string, Readonly<Record<string, Dependency>>>, strict: ReadonlySet<string>): readonly string[] {
  const order: string[] = [];
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    if (done.has(name)) return;
    const at = path.indexOf(name);
    if (at >= 0) {
      const cycle = [...path.slice(at), name];
      if (!cycle.every((member) => strict.has(member))) return;
      throw new StackError("dependency-cycle", `Services depend on each other in a circle: ${cycle.join(" → ")}`, { hint: "Take one of these dependencies away." });
    }
    for (const dependency of Object.keys(edges.get(name) ?? {}).sort()) if (edges.has(dependency)) visit(dependency, [...path, name]);
    done.add(name);
    order.push(name);
  };
  for (const name of [...edges.keys()].sort()) visit(name, []);
  return order;
}

/** The named services and, unless `noDeps`, all that they need. No names: all services of the project. */
export function selectServices(project: Project, graph: ServiceGraph, names: readonly string[], noDeps: boolean): ReadonlySet<string> {
  for (const name of names) if (project.services[name] === undefined) throw noSuchService(project, name);
  if (names.length === 0) return new Set(Object.keys(project.services));
  const selected = new Set<string>();
  const add = (name: string): void => {
    if (selected.has(name)) return;
    selected.add(name);
    if (noDeps) return;
    for (const [dependency, { required }] of Object.entries(graph.dependencies(name))) {
      if (project.services[dependency] !== undefined) add(dependency);
      else if (required) throw missingDependency(project, name, dependency);
    }
  };
  names.forEach(add);
  return selected;
}

export function noSuchService(project: Project, name: string): StackError {
  if (project.disabled_services[name] !== undefined)
    return new StackError("no-such-service", `Service "${name}" belongs to profiles that are not active: ${project.disabled_services[name].profiles.join(", ")}`, {
      hint: "Activate one with --profile.",
    });
  const names = Object.keys(project.services).sort();
  return new StackError("no-such-service", `There is no service "${name}" in project "${project.name}"`, {
    hint: names.length === 0 ? "The project has no services." : `It has ${names.join(", ")}.`,
  });
}

function missingDependency(project: Project, service: string, dependency: string): StackError {
  const disabled = project.disabled_services[dependency];
  return new StackError("no-such-service", `Service "${service}" depends on "${dependency}", which is ${disabled === undefined ? "not in the file" : "not active"}`, {
    hint: disabled === undefined ? "Add the service, or take the dependency away." : `Activate its profile (--profile ${disabled.profiles[0] ?? ""}), or set required: false.`,
  });
}
