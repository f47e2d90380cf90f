import { configHash, networkHash, serviceDifferences, volumeHash } from "../model/index.ts";
import type { ContainerId } from "../core/index.ts";
import type { Project } from "../model/index.ts";
import type { ObservedContainer, ObservedImage, ObservedState, ReconcileContext } from "../reconcile/index.ts";
import { contentHashes } from "./file-content.ts";
import { imageReference } from "./image-reference.ts";
import type { Rooms } from "./rooms.ts";
import type { ContainerSummary } from "./types.ts";

/** Asks every room at once what there is. Makes no choices. */
export async function observe(
  rooms: Rooms,
  project: Project,
  own: readonly ContainerSummary[],
  alteredLimits: ReadonlyMap<ContainerId, readonly string[]>,
): Promise<ObservedState> {
  const everything = rooms.containers.survey().records;
  const [networks, volumes, images, files] = await Promise.all([
    rooms.networks.list(),
    rooms.volumes.list(),
    observeImages(rooms, project),
    contentHashes(project, Object.values(project.services)),
  ]);
  const usersOfVolume = new Map<string, ObservedContainer["id"][]>();
  for (const { id, volumes: mounted } of everything)
    for (const { name } of mounted) usersOfVolume.set(name, [...(usersOfVolume.get(name) ?? []), id]);
  const named = <T extends { readonly name: string }>(wanted: Readonly<Record<string, T>>): Set<string> =>
    new Set(Object.values(wanted).map((one) => one.name));
  const networkNames = named(project.networks);
  const volumeNames = named(project.volumes);
  const mounted = new Set(own.flatMap((container) => container.record.volumes.map((volume) => volume.name)));
  return {
    project: project.name,
    containers: own.map((container) => {
      const limits = alteredLimits.get(container.id);
      return { ...observedContainer(container), ...(limits === undefined ? {} : { alteredLimits: limits }) };
    }),
    networks: networks
      .filter((network) => network.project === project.name || networkNames.has(network.name))
      .map((network) => ({
        id: network.id,
        name: network.name,
        project: network.project,
        key: network.key,
        configHash: network.configHash,
        containers: everything.filter((record) => record.networks.some((a) => a.network === network.id)).map((record) => record.id),
      })),
    volumes: volumes
      .filter((volume) => volume.project === project.name || volumeNames.has(volume.name) || mounted.has(volume.name))
      .map((volume) => ({
        name: volume.name,
        project: volume.project,
        key: volume.key,
        configHash: volume.configHash,
        anonymous: volume.anonymous,
        containers: usersOfVolume.get(volume.name) ?? [],
      })),
    images,
    files,
  };
}

export function observedContainer(container: ContainerSummary): ObservedContainer {
  const { record, state } = container;
  return {
    id: record.id,
    name: record.name,
    service: record.service,
    number: record.number,
    oneoff: record.oneoff,
    configHash: record.configHash,
    ...(record.definition === undefined ? {} : { definition: record.definition }),
    ...(record.files === undefined ? {} : { files: record.files }),
    imageId: record.image?.id ?? null,
    ...(record.mountedImages === undefined ? {} : { mountedImages: record.mountedImages }),
    status: container.status,
    exitCode: state === undefined || container.status === "created" ? null : state.exitCode,
    ...(state === undefined || state.failures === 0 ? {} : { failures: state.failures }),
    health: container.health,
    stopRequested: state?.stopRequested ?? false,
    networks: Object.fromEntries(record.networks.map((attachment) => [attachment.key, attachment.network])),
    volumes: record.volumes,
    joins: record.joins,
    ...(state === undefined || state.startedAt === "" ? {} : { startedAt: Date.parse(state.startedAt) }),
    createdAt: Date.parse(record.createdAt),
    labels: record.labels,
  };
}

async function observeImages(rooms: Rooms, project: Project): Promise<Record<string, ObservedImage>> {
  const references = new Set<string>();
  for (const service of Object.values({ ...project.services, ...project.disabled_services })) {
    const reference = imageReference(project, service);
    if (reference !== undefined) references.add(reference);
    for (const mount of service.volumes) if (mount.type === "image") references.add(mount.source);
  }
  const found = await Promise.all([...references].map(async (reference) => [reference, await rooms.images.find(reference)] as const));
  return Object.fromEntries(
    found.flatMap(([reference, image]) =>
      image === undefined
        ? []
        : [[reference, { id: image.id, pulledAt: image.pulledAt, healthcheck: image.config.healthcheck !== undefined }] as const],
    ),
  );
}

export function reconcileContext(now: number): ReconcileContext {
  return { now, configHash, networkHash, volumeHash, differences: serviceDifferences };
}
