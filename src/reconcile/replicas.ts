import { StackError } from "../core/index.ts";
import type { Project, Service } from "../model/index.ts";
import type { ReconcileContext } from "./context.ts";
import { joinedServices, volumeDonors } from "./graph.ts";
import { imageReference } from "./images.ts";
import type { ObservedContainer, ObservedState } from "./observed.ts";
import type { ReconcileOptions } from "./plan.ts";
import { networkKeys, volumeMounts } from "./resources.ts";
import type { NetworkDecision, VolumeDecision } from "./resources.ts";

/** What becomes of one replica. */
export type Replica =
  | { readonly action: "keep"; readonly number: number; readonly name: string; readonly container: ObservedContainer }
  | { readonly action: "create"; readonly number: number; readonly name: string; readonly cause: string }
  | { readonly action: "recreate"; readonly number: number; readonly name: string; readonly container: ObservedContainer; readonly cause: string }
  | { readonly action: "remove"; readonly number: number; readonly name: string; readonly container: ObservedContainer; readonly cause: string };

export interface ReplicaFacts {
  readonly project: Project;
  readonly observed: ObservedState;
  readonly options: ReconcileOptions;
  readonly context: ReconcileContext;
  readonly networks: ReadonlyMap<string, NetworkDecision>;
  readonly volumes: ReadonlyMap<string, VolumeDecision>;
  /** Of the services that come before in dependency order. */
  readonly decided: ReadonlyMap<string, readonly Replica[]>;
}

export function isRunning(container: ObservedContainer): boolean {
  return container.status === "running" || container.status === "paused" || container.status === "restarting";
}

/** Containers of a service but one-off ones: by number, of equal numbers the one that runs, then the oldest first. */
export function replicasOf(observed: ObservedState, service: string): readonly ObservedContainer[] {
  const rank = (container: ObservedContainer): number => (isRunning(container) ? 0 : 1);
  return observed.containers
    .filter((container) => container.service === service && !container.oneoff)
    .sort((a, b) => a.number - b.number || rank(a) - rank(b) || a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
}

export function desiredScale(service: Service, options: ReconcileOptions): number {
  const scale = options.scale[service.name] ?? service.scale;
  if (scale > 1 && service.container_name !== undefined)
    throw new StackError("usage", `Service "${service.name}" cannot have ${scale} replicas: container_name gives all of them the same name`, {
      hint: "Take container_name away.",
    });
  return scale;
}

export function containerName(project: Project, service: Service, number: number): string {
  return service.container_name ?? `${project.name}-${service.name}-${number}`;
}

/** Keeps the lowest numbers, removes the highest, fills gaps, and says for each that stays whether it is as the file says. */
export function decideReplicas(service: Service, recreate: ReconcileOptions["recreate"], facts: ReplicaFacts): readonly Replica[] {
  const scale = desiredScale(service, facts.options);
  const replicas: Replica[] = [];
  const taken = new Set<number>();
  for (const container of replicasOf(facts.observed, service.name)) {
    const { number } = container;
    const name = containerName(facts.project, service, number);
    const remove = (cause: string): void => void replicas.push({ action: "remove", number, name: container.name, container, cause });
    const keep = (): void => void replicas.push({ action: "keep", number, name: container.name, container });
    const surplus = taken.has(number) || number < 1 || taken.size >= scale;
    if (surplus && facts.options.goal === "heal") keep();
    else if (taken.has(number) || number < 1) remove(`number ${number} is taken by another container`);
    else if (taken.size >= scale) remove(`scaled down to ${scale}`);
    else {
      taken.add(number);
      const cause = recreateCause(service, container, recreate, facts);
      if (cause === undefined) keep();
      else replicas.push({ action: "recreate", number, name, container, cause });
    }
  }
  for (let number = 1; taken.size < scale; number++) {
    if (taken.has(number)) continue;
    taken.add(number);
    replicas.push({ action: "create", number, name: containerName(facts.project, service, number), cause: "no existing container" });
  }
  return replicas.sort((a, b) => a.number - b.number || (a.action === "remove" ? 1 : 0) - (b.action === "remove" ? 1 : 0));
}

function recreateCause(service: Service, container: ObservedContainer, recreate: ReconcileOptions["recreate"], facts: ReplicaFacts): string | undefined {
  const lost = lostResource(service, container, facts);
  if (lost !== undefined) return lost;
  if (recreate === "force") return "forced";
  if (recreate === "never") return undefined;
  if (recreate === "lost") return goneResource(service, container, facts);
  return (
    configurationChange(service, container, facts.context) ??
    contentChange(container, facts.observed) ??
    imageChange(service, container, facts) ??
    networkChange(service, container, facts) ??
    volumeChange(service, container, facts) ??
    joinChange(service, container, facts)
  );
}

/** Something it is attached to is removed and made again by this plan: it cannot stay, whatever was asked. */
function lostResource(service: Service, container: ObservedContainer, facts: ReplicaFacts): string | undefined {
  const ids = new Set(Object.values(container.networks));
  for (const decision of facts.networks.values())
    if (decision.action === "recreate" && (ids.has(decision.old.id) || decision.old.containers.includes(container.id))) return `network ${decision.name} is recreated`;
  const names = new Set(container.volumes.map((volume) => volume.name));
  for (const decision of facts.volumes.values()) if (decision.action === "recreate" && names.has(decision.name)) return `volume ${decision.name} is recreated`;
  return undefined;
}

/**
 * What it was made with and is not there any more. Only of a container that is as the file says: one that was left
 * behind on purpose (`up --no-recreate`) is attached to what an older file named.
 */
function goneResource(service: Service, container: ObservedContainer, facts: ReplicaFacts): string | undefined {
  if (container.configHash !== facts.context.configHash(service)) return undefined;
  return networkChange(service, container, facts) ?? volumeChange(service, container, facts) ?? joinChange(service, container, facts);
}

function configurationChange(service: Service, container: ObservedContainer, context: ReconcileContext): string | undefined {
  if (container.configHash === context.configHash(service)) return undefined;
  const differences = container.definition === undefined ? [] : context.differences(container.definition, service);
  return differences.length === 0 ? "configuration changed" : differences.join("; ");
}

/** Of configs and secrets by what they hold: a process reads them when it starts. New and removed ones are part of the configuration. */
function contentChange(container: ObservedContainer, observed: ObservedState): string | undefined {
  const changed = Object.entries(container.files ?? {}).filter(([name, hash]) => observed.files[name] !== undefined && observed.files[name] !== hash);
  return changed.length === 0 ? undefined : changed.map(([name]) => `${name}: content changed`).join("; ");
}

function imageChange(service: Service, container: ObservedContainer, { project, observed }: ReplicaFacts): string | undefined {
  const reference = imageReference(project, service);
  const here = reference === undefined ? undefined : observed.images[reference];
  if (here !== undefined && here.id !== container.imageId) return "image changed";
  const { mountedImages } = container;
  if (mountedImages === undefined) return undefined;
  const changed = service.volumes.find((mount) => {
    const mounted = mount.type === "image" ? observed.images[mount.source] : undefined;
    return mounted !== undefined && !mountedImages.includes(mounted.id);
  });
  return changed?.type === "image" ? `image ${changed.source} mounted on ${changed.target} changed` : undefined;
}

function networkChange(service: Service, container: ObservedContainer, { project, networks }: ReplicaFacts): string | undefined {
  if (service.network_mode !== undefined) return undefined; // part of the hash, and it has no keys to compare
  const wanted = networkKeys(service);
  for (const key of wanted) {
    const decision = networks.get(key);
    const name = project.networks[key]?.name ?? key;
    if (decision === undefined) continue;
    if (decision.action !== "keep") return `network ${name} is new`;
    const attached = container.networks[key];
    if (attached !== decision.id) return attached === undefined ? `not attached to network ${name}` : `network ${name} is another one now`;
  }
  const extra = Object.keys(container.networks).find((key) => !wanted.includes(key));
  return extra === undefined ? undefined : `attached to network ${project.networks[extra]?.name ?? extra}`;
}

function volumeChange(service: Service, container: ObservedContainer, { project, volumes, observed }: ReplicaFacts): string | undefined {
  for (const { key, target } of volumeMounts(service)) {
    const name = project.volumes[key]?.name ?? key;
    if (volumes.get(key)?.action === "create") return `volume ${name} is new`;
    const mounted = container.volumes.find((volume) => volume.target === target);
    if (mounted?.name !== name) return mounted === undefined ? `volume ${name} is not mounted on ${target}` : `${target}: volume ${mounted.name} → ${name}`;
  }
  const lost = container.volumes.find((volume) => volume.anonymous && !observed.volumes.some((candidate) => candidate.name === volume.name));
  return lost === undefined ? undefined : `its volume on ${lost.target} is gone`;
}

/** Namespaces and volumes of other containers: they must be those of the container that is there when the plan is done. */
function joinChange(service: Service, container: ObservedContainer, facts: ReplicaFacts): string | undefined {
  for (const { key, service: other } of joinedServices(service)) {
    const donor = donorOf(other, facts);
    if (donor === "new") return `${key}: container of service ${other} is recreated`;
    if (donor !== undefined && !container.joins.includes(donor.id)) return `${key}: container of service ${other} is another one now`;
  }
  for (const other of volumeDonors(service)) {
    const donor = donorOf(other, facts);
    if (donor === "new") return `volumes_from: container of service ${other} is recreated`;
    const own = new Set(service.volumes.map((mount) => mount.target));
    const mismatch = donor?.volumes.find((volume) => !own.has(volume.target) && container.volumes.find((mine) => mine.target === volume.target)?.name !== volume.name);
    if (mismatch !== undefined) return `volumes_from: ${mismatch.target} of service ${other} is another volume now`;
  }
  return undefined;
}

/** The first replica of a service as it will be; undefined: there is none. */
function donorOf(service: string, facts: ReplicaFacts): ObservedContainer | "new" | undefined {
  const decided = facts.decided.get(service);
  if (decided === undefined) return replicasOf(facts.observed, service)[0];
  const first = decided.find((replica) => replica.action !== "remove");
  if (first === undefined) return undefined;
  return first.action === "keep" ? first.container : "new";
}
