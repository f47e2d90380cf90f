import { StackError } from "../core/index.ts";
import type { Network, Project, Service, Volume } from "../model/index.ts";
import type { PlanBuilder } from "./builder.ts";
import type { ReconcileContext } from "./context.ts";
import type { ObservedNetwork, ObservedState, ObservedVolume } from "./observed.ts";
import type { ReconcileOptions } from "./plan.ts";

export type NetworkDecision =
  | { readonly action: "keep"; readonly id: string }
  | { readonly action: "create"; readonly name: string; readonly cause: string }
  | { readonly action: "recreate"; readonly name: string; readonly cause: string; readonly old: ObservedNetwork };

export type VolumeDecision =
  | { readonly action: "keep"; readonly name: string }
  | { readonly action: "create"; readonly name: string; readonly cause: string }
  | { readonly action: "recreate"; readonly name: string; readonly cause: string; readonly old: ObservedVolume };

/** Keys of the project's networks that a service is attached to. */
export function networkKeys(service: Service): readonly string[] {
  return service.network_mode === undefined ? Object.keys(service.networks) : [];
}

/** Keys of the project's volumes that a service mounts, with the places. */
export function volumeMounts(service: Service): readonly { readonly key: string; readonly target: string }[] {
  return service.volumes.flatMap((mount) => (mount.type === "volume" && mount.source !== undefined ? [{ key: mount.source, target: mount.target }] : []));
}

export function decideNetworks(
  project: Project,
  observed: ObservedState,
  services: readonly Service[],
  options: ReconcileOptions,
  context: ReconcileContext,
  builder: PlanBuilder,
): ReadonlyMap<string, NetworkDecision> {
  const keys = [...new Set(services.flatMap(networkKeys))].sort();
  const decisions = new Map<string, NetworkDecision>();
  for (const key of keys) {
    const network = project.networks[key];
    if (network !== undefined) decisions.set(key, decideNetwork(project, key, network, observed, options, context, builder));
  }
  return decisions;
}

function decideNetwork(
  project: Project,
  key: string,
  network: Network,
  observed: ObservedState,
  options: ReconcileOptions,
  context: ReconcileContext,
  builder: PlanBuilder,
): NetworkDecision {
  const { name } = network;
  const found = observed.networks.find((candidate) => candidate.name === name);
  if (network.external) {
    if (found !== undefined) return { action: "keep", id: found.id };
    throw new StackError("no-such-network", `Network "${name}" is external (networks.${key}) and does not exist`, {
      hint: "Start the project that makes it, or take `external: true` away.",
    });
  }
  if (found === undefined) return { action: "create", name, cause: "no existing network" };
  if (found.project !== project.name) {
    builder.warn("network-of-another", `Network "${name}" exists but was not made for project "${project.name}"; it is used as it is. Set \`external: true\` if that is meant`);
    return { action: "keep", id: found.id };
  }
  if (found.configHash === context.networkHash(network) || options.goal === "heal") return { action: "keep", id: found.id };
  const own = new Set(observed.containers.map((container) => container.id));
  if (found.containers.some((id) => !own.has(id)))
    throw new StackError("network-in-use", `Network "${name}" has changed in the file, but containers of other projects are attached to it`, {
      hint: "Stop those first, or give the network another name.",
    });
  return { action: "recreate", name, cause: "network configuration changed", old: found };
}

export function decideVolumes(
  project: Project,
  observed: ObservedState,
  services: readonly Service[],
  options: ReconcileOptions,
  context: ReconcileContext,
  builder: PlanBuilder,
): ReadonlyMap<string, VolumeDecision> {
  const keys = [...new Set(services.flatMap((service) => volumeMounts(service).map((mount) => mount.key)))].sort();
  const decisions = new Map<string, VolumeDecision>();
  for (const key of keys) {
    const volume = project.volumes[key];
    if (volume !== undefined) decisions.set(key, decideVolume(project, key, volume, observed, options, context, builder));
  }
  return decisions;
}

function decideVolume(
  project: Project,
  key: string,
  volume: Volume,
  observed: ObservedState,
  options: ReconcileOptions,
  context: ReconcileContext,
  builder: PlanBuilder,
): VolumeDecision {
  const { name } = volume;
  const found = observed.volumes.find((candidate) => candidate.name === name);
  if (volume.external) {
    if (found !== undefined) return { action: "keep", name };
    throw new StackError("no-such-volume", `Volume "${name}" is external (volumes.${key}) and does not exist`, {
      hint: "Start the project that makes it, or take `external: true` away.",
    });
  }
  if (found === undefined) return { action: "create", name, cause: "no existing volume" };
  if (found.project !== project.name) {
    builder.warn("volume-of-another", `Volume "${name}" exists but was not made for project "${project.name}"; it is used as it is. Set \`external: true\` if that is meant`);
    return { action: "keep", name };
  }
  if (found.configHash === context.volumeHash(volume) || options.goal === "heal") return { action: "keep", name };
  return askForVolume(found, observed, options, builder);
}

/** Making it again loses its data, so somebody has to say so. */
function askForVolume(found: ObservedVolume, observed: ObservedState, options: ReconcileOptions, builder: PlanBuilder): VolumeDecision {
  const { name } = found;
  const id = `recreate-volume:${name}`;
  if (options.answers.includes(`!${id}`)) {
    builder.warn("volume-kept", `Volume "${name}" keeps its old configuration`);
    return { action: "keep", name };
  }
  if (!options.answers.includes(id)) {
    builder.ask({
      id,
      message: `Volume "${name}" exists with another configuration than the file has. Recreate it? Its data will be lost`,
      whenYes: `Volume "${name}" is removed with its data and made again.`,
    });
    return { action: "keep", name };
  }
  const own = new Set(observed.containers.map((container) => container.id));
  if (found.containers.some((container) => !own.has(container)))
    throw new StackError("volume-in-use", `Volume "${name}" has changed in the file, but containers of other projects use it`, {
      hint: "Remove those first, or give the volume another name.",
    });
  return { action: "recreate", name, cause: "volume configuration changed", old: found };
}
