import { randomBytes } from "node:crypto";
import { paths, StackError, systemClock } from "../core/index.ts";
import type { Service, ServiceNetwork } from "../model/index.ts";
import { reconcileOptions } from "../reconcile/index.ts";
import type { Operation, ReconcileOptions } from "../reconcile/index.ts";
import { createContainer } from "./create.ts";
import { execute } from "./execute.ts";
import { executorsFor, serviceOf } from "./executors.ts";
import { imageReference } from "./image-reference.ts";
import { networkRequest, volumeRequest } from "./resources.ts";
import type { Work } from "./work.ts";
import { startContainer } from "./start.ts";
import type { EngineEvent, RunRequest, RunResult } from "./types.ts";

/** `stack run`: a container of a service beside its replicas, with the command line's overrides. */
export async function createOneOff(work: Work, request: RunRequest, signal: AbortSignal, emit: (event: EngineEvent) => void): Promise<RunResult> {
  const service = overridden(serviceOf(work, request.service), request);
  await prepare(work, service, request, signal, emit);
  const name = request.overrides.name ?? `${work.project.name}-${service.name}-run-${randomBytes(6).toString("hex")}`;
  const record = await createContainer(work, service, {
    name,
    number: 0,
    oneoff: true,
    removeOnExit: request.remove,
    startOnAttach: request.attach === true,
    aliases: request.overrides.useAliases,
    note: (message) => {
      emit({ type: "warning", rule: "run", message });
    },
    signal,
  });
  await work.hub.track(record, true);
  if (request.start)
    await startContainer(work, record, (message) => {
      emit({ type: "warning", rule: "start", message });
    });
  return { id: record.id, name, directory: paths.container(work.root, record.id) };
}

/** Image, networks and volumes of the service, in the same way as `up` makes them. */
async function prepare(work: Work, service: Service, request: RunRequest, signal: AbortSignal, emit: (event: EngineEvent) => void): Promise<void> {
  const { project, rooms } = work;
  await ensureImages(work, service, request, signal, emit);
  for (const key of Object.keys(service.networks)) {
    const network = project.networks[key];
    if (network !== undefined && !network.external && (await rooms.networks.find(network.name)) === undefined)
      await rooms.networks.create(networkRequest(project, key, network), signal);
  }
  for (const mount of service.volumes) {
    const key = mount.type === "volume" ? mount.source : undefined;
    const volume = key === undefined ? undefined : project.volumes[key];
    if (key !== undefined && volume !== undefined && !volume.external && (await rooms.volumes.find(volume.name)) === undefined)
      await rooms.volumes.create(volumeRequest(project, key, volume));
  }
}

/** The service's own image, and those that it mounts: of these, as with `up`, what is here is good enough. */
async function ensureImages(work: Work, service: Service, request: RunRequest, signal: AbortSignal, emit: (event: EngineEvent) => void): Promise<void> {
  const own = service.rootfs === undefined ? imageReference(work.project, service) : undefined;
  const kind = service.pull_policy?.kind;
  const policy = request.pull ?? (kind === "always" || kind === "never" ? kind : "missing");
  const wanted = new Map<string, EnsureImage>();
  const want = (reference: string, image: Pick<EnsureImage, "policy" | "platform">): void => {
    wanted.set(reference, { id: `ensure-image ${reference}`, cause: "run", after: [], kind: "ensure-image", service: service.name, reference, ...image });
  };
  for (const mount of service.volumes) if (mount.type === "image") want(mount.source, { policy: kind === "never" ? "never" : "missing" });
  if (own !== undefined) want(own, { policy, ...(service.platform === undefined ? {} : { platform: service.platform }) });
  const result = await execute(
    { version: 1, warnings: [], questions: [], operations: [...wanted.values()] },
    { executors: executorsFor(work), signal, emit, clock: systemClock, parallel: 4 },
  );
  const failure = result.failures[0];
  if (failure !== undefined) throw new StackError(failure.error.code, failure.error.message, failure.error.hint === undefined ? {} : { hint: failure.error.hint });
}

type EnsureImage = Extract<Operation, { readonly kind: "ensure-image" }>;

function overridden(service: Service, { overrides }: RunRequest): Service {
  return {
    ...service,
    ...(overrides.command === undefined ? {} : { command: overrides.command }),
    ...(overrides.entrypoint === undefined ? {} : { entrypoint: overrides.entrypoint, command: overrides.command ?? [] }),
    environment: { ...service.environment, ...overrides.environment },
    ...(overrides.user === undefined ? {} : { user: overrides.user }),
    ...(overrides.working_dir === undefined ? {} : { working_dir: overrides.working_dir }),
    labels: { ...service.labels, ...overrides.labels },
    tty: overrides.tty,
    stdin_open: overrides.stdin,
    cap_add: [...service.cap_add, ...overrides.capAdd],
    cap_drop: [...service.cap_drop, ...overrides.capDrop],
    ports: [...(overrides.servicePorts ? service.ports : []), ...overrides.publish],
    volumes: [...service.volumes.filter((mount) => !overrides.volumes.some((own) => own.target === mount.target)), ...overrides.volumes],
    // Static addresses belong to the replicas.
    networks: Object.fromEntries(
      Object.entries(service.networks).map(([key, { aliases, driver_opts, priority, gw_priority }]): [string, ServiceNetwork] => [
        key,
        { aliases, driver_opts, priority, gw_priority, link_local_ips: [] },
      ]),
    ),
  };
}

/** `stack run` starts what the service depends on, as `up` of those would. */
export function dependenciesOf(request: RunRequest): ReconcileOptions | undefined {
  const service = request.project.services[request.service];
  const services = Object.keys(service?.depends_on ?? {});
  if (services.length === 0) return undefined;
  return reconcileOptions("up", { services, ignoreOrphans: true, wait: true, ...(request.pull === undefined ? {} : { pull: request.pull }) });
}
