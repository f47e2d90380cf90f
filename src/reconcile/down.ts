import { imageReference } from "./images.ts";
import { noSuchService } from "./graph.ts";
import type { ObservedContainer } from "./observed.ts";
import { warnAboutOrphans } from "./orphans.ts";
import type { OperationIndex } from "./plan.ts";
import { isRunning } from "./replicas.ts";
import { emitStops } from "./stop-phase.ts";
import type { Inputs } from "./up.ts";

/**
 * `down`: stops and removes containers, dependents first and everything that is independent at once, then networks,
 * with -v volumes, with --rmi images. Only what is the project's own, and nothing that others still use.
 */
export function planDown(inputs: Inputs): void {
  const { builder, project, observed, options, graph } = inputs;
  const named = new Set(options.services);
  for (const name of named)
    if (project.services[name] === undefined && project.disabled_services[name] === undefined && !observed.containers.some((container) => container.service === name))
      throw noSuchService(project, name);
  const going = leavingContainers(inputs, named);
  const stops = emitStops(
    builder,
    project,
    graph,
    going.map((container) => ({ container, cause: causeOf(inputs, container), group: `Remove ${container.name}`, bestEffort: true })),
    { ...(options.graceMs === undefined ? {} : { graceMs: options.graceMs }), ordered: true },
  );
  const removed = new Map<string, OperationIndex>();
  for (const container of going)
    removed.set(
      container.id,
      builder.add(
        `remove-container ${container.name}`,
        { kind: "remove-container", name: container.name, service: container.service, container: container.id, removeAnonymousVolumes: options.removeVolumes },
        { cause: causeOf(inputs, container), after: [stops.get(container.id)], group: `Remove ${container.name}` },
      ),
    );
  if (named.size === 0) removeNetworks(inputs, removed);
  if (options.removeVolumes) removeVolumes(inputs, removed, named);
  if (options.removeImages !== undefined) removeImages(inputs, [...removed.values()], named);
}

function causeOf({ project }: Inputs, container: ObservedContainer): string {
  const known = project.services[container.service] !== undefined || project.disabled_services[container.service] !== undefined;
  return known ? "project goes down" : "orphan";
}

/**
 * Those of the active services, and what `run` left when it had ended. Who works in a one-off container is not thrown
 * out, and what belongs to other profiles or is no longer in the file stays, unless it is asked for: as with Docker Compose.
 */
function leavingContainers(inputs: Inputs, named: ReadonlySet<string>): readonly ObservedContainer[] {
  const { project, observed, options, builder } = inputs;
  const fate = (container: ObservedContainer): Fate => {
    if (options.undeclared) return "goes";
    const { service } = container;
    const [active, inactive] = [project.services[service] !== undefined, project.disabled_services[service] !== undefined];
    if (named.size > 0 && !named.has(service)) return "not meant";
    if (container.oneoff && (active || inactive)) return options.removeOrphans || !isRunning(container) ? "goes" : "one-off";
    if (named.size > 0 || active) return "goes";
    if (inactive) return "inactive";
    return options.removeOrphans ? "goes" : "orphan";
  };
  const fates = new Map<Fate, ObservedContainer[]>();
  for (const container of sorted(observed.containers)) fates.set(fate(container), [...(fates.get(fate(container)) ?? []), container]);
  const list = (kept: readonly ObservedContainer[]): string => kept.map(({ name }) => name).join(", ");
  const inactive = fates.get("inactive") ?? [];
  if (inactive.length > 0) {
    const profiles = [...new Set(inactive.flatMap(({ service }) => project.disabled_services[service]?.profiles ?? []))].sort();
    builder.warn("inactive-kept", `Containers of services whose profiles are not active are kept (${list(inactive)}): give ${profiles.map((profile) => `--profile ${profile}`).join(" ")} to take them down as well`);
  }
  const working = fates.get("one-off") ?? [];
  if (working.length > 0) builder.warn("one-off-kept", `One-off containers that run are kept (${list(working)}): --remove-orphans takes them down as well`);
  if (!options.ignoreOrphans) warnAboutOrphans(builder, project, fates.get("orphan") ?? []);
  return fates.get("goes") ?? [];
}

type Fate = "goes" | "not meant" | "inactive" | "one-off" | "orphan";

function sorted(containers: readonly ObservedContainer[]): readonly ObservedContainer[] {
  return [...containers].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id < b.id ? -1 : 1));
}

function removeNetworks({ project, observed, builder }: Inputs, removed: ReadonlyMap<string, OperationIndex>): void {
  const external = new Set(Object.values(project.networks).flatMap((network) => (network.external ? [network.name] : [])));
  for (const network of [...observed.networks].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (network.project !== project.name || external.has(network.name)) continue;
    const users = network.containers.filter((id) => !removed.has(id));
    if (users.length > 0) {
      builder.warn("network-in-use", `Network "${network.name}" is kept: it is still used by ${names(observed.containers, users)}`);
      continue;
    }
    builder.add(
      `remove-network ${network.name}`,
      { kind: "remove-network", network: network.id, name: network.name },
      { cause: "project goes down", after: network.containers.map((id) => removed.get(id)) },
    );
  }
}

function removeVolumes({ project, observed, builder }: Inputs, removed: ReadonlyMap<string, OperationIndex>, services: ReadonlySet<string>): void {
  const used = new Set([...services].flatMap((name) => (project.services[name]?.volumes ?? []).flatMap((mount) => (mount.type === "volume" && mount.source !== undefined ? [mount.source] : []))));
  const declared = Object.entries(project.volumes).filter(([key, volume]) => !volume.external && (services.size === 0 || used.has(key)));
  const wanted = new Set(declared.map(([, volume]) => volume.name));
  for (const volume of [...observed.volumes].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    // Anonymous ones that no container has any more are left of an earlier `down`; those that one has go with it.
    const left = services.size === 0 && volume.anonymous && volume.project === project.name && volume.containers.length === 0;
    if (!wanted.has(volume.name) && !left) continue;
    if (volume.project !== project.name) {
      builder.warn("volume-of-another", `Volume "${volume.name}" is kept: it was not made for project "${project.name}"`);
      continue;
    }
    const users = volume.containers.filter((id) => !removed.has(id));
    if (users.length > 0) {
      builder.warn("volume-in-use", `Volume "${volume.name}" is kept: it is still used by ${names(observed.containers, users)}`);
      continue;
    }
    builder.add(`remove-volume ${volume.name}`, { kind: "remove-volume", name: volume.name }, { cause: "asked to remove volumes", after: volume.containers.map((id) => removed.get(id)) });
  }
}

/** `local`: only those without a name of their own, which we built. */
function removeImages({ project, observed, options, builder }: Inputs, after: readonly OperationIndex[], named: ReadonlySet<string>): void {
  const references = new Set<string>();
  for (const service of Object.values({ ...project.disabled_services, ...project.services })) {
    if (named.size > 0 && !named.has(service.name)) continue;
    const reference = imageReference(project, service);
    if (reference === undefined || observed.images[reference] === undefined) continue;
    if (options.removeImages === "all" || service.image === undefined) references.add(reference);
  }
  for (const reference of [...references].sort())
    builder.add(`remove-image ${reference}`, { kind: "remove-image", reference }, { cause: `--rmi ${options.removeImages ?? ""}`, after, bestEffort: true });
}

function names(containers: readonly ObservedContainer[], ids: readonly string[]): string {
  return ids.map((id) => containers.find((container) => container.id === id)?.name ?? `container ${id.slice(0, 12)} of another project`).join(", ");
}
