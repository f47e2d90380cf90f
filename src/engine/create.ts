import { projectKey } from "./project-key.ts";
import { paths, shortId, StackError } from "../core/index.ts";
import type { ContainerId, HostPath } from "../core/index.ts";
import type { Image } from "../images/index.ts";
import { configHash } from "../model/index.ts";
import type { Service } from "../model/index.ts";
import { installProgram } from "../native/index.ts";
import {
  containerArgs,
  containerHostname,
  FORMAT_VERSION,
  inspectHost,
  logWarnings,
  ociWarnings,
  planRootfs,
  processReadiness,
  resolveUser,
  toHealthSpec,
  toMonitorSpec,
  toOciConfig,
  toStop,
} from "../runtime/index.ts";
import type { Attachment, ContainerRecord, Creation, HostMount, MonitorSpec, ResolvedUser } from "../runtime/index.ts";
import { agentCommand } from "./agent-command.ts";
import { identityFiles, joinedIdentity } from "./create-files.ts";
import { prepareMounts } from "./create-mounts.ts";
import type { ContainerMounts } from "./create-mounts.ts";
import { attach, networkMode, networkSpec } from "./create-network.ts";
import { contentHashes } from "./file-content.ts";
import { imageReference } from "./image-reference.ts";
import { containerLabels } from "./labels.ts";
import type { Work } from "./work.ts";
import { version } from "./version.ts";

export interface CreateRequest {
  readonly name: string;
  readonly number: number;
  readonly oneoff: boolean;
  /** The container that it takes anonymous volumes over from. */
  readonly replaces?: ContainerId;
  readonly removeOnExit: boolean;
  /** The first run waits for an attachment. */
  readonly startOnAttach?: boolean;
  /** Aliases beside container and service name; one-off containers have none unless asked. */
  readonly aliases?: boolean;
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
}

/** Makes a container: addresses, volumes, files, configuration, records. What was half made when it fails is removed. */
export async function createContainer(work: Work, service: Service, request: CreateRequest): Promise<ContainerRecord> {
  await using place = await work.rooms.containers.reserve(request.name);
  const making = new Making(work, service, request, place);
  try {
    return await making.run();
  } catch (error) {
    await making.undo();
    throw error;
  }
}

/** They are shown, nothing more: an image that exposes all ports is not to fill every record. */
const mostExposed = 200;

/** `80`, `53/udp`, `3000-3002` of the service, and what the image exposes: each port once, as Docker lists them. */
function exposedPorts(expose: readonly string[], image: readonly string[]): { readonly exposed?: readonly string[] } {
  const ports = new Set<string>();
  for (const entry of [...image, ...expose]) {
    const [range = "", protocol = "tcp"] = entry.split("/");
    const [first = 0, last = first] = range.split("-").map(Number);
    if (!(first >= 1 && last >= first && last <= 65_535)) continue;
    for (let port = first; port <= last && ports.size < mostExposed; port++) ports.add(`${port}/${protocol}`);
  }
  return ports.size === 0 ? {} : { exposed: [...ports] };
}

class Making {
  readonly #work: Work;
  readonly #service: Service;
  readonly #request: CreateRequest;
  readonly #place: Creation;
  #mounts: ContainerMounts | undefined;

  constructor(work: Work, service: Service, request: CreateRequest, place: Creation) {
    this.#work = work;
    this.#service = service;
    this.#request = request;
    this.#place = place;
  }

  get #id(): ContainerId {
    return this.#place.id;
  }

  get #directory(): HostPath {
    return this.#place.directory;
  }

  async undo(): Promise<void> {
    const { rooms } = this.#work;
    await rooms.networks.disconnect(this.#id);
    for (const volume of this.#mounts?.made ?? []) await rooms.volumes.remove(volume);
  }

  async run(): Promise<ContainerRecord> {
    const { project } = this.#work;
    const service = this.#service;
    const reference = imageReference(project, service);
    const image = service.rootfs !== undefined || reference === undefined ? undefined : await this.#work.images.find(reference);
    if (image === undefined && service.rootfs === undefined)
      throw new StackError("unsupported", `Service "${service.name}" has neither an image nor a rootfs to run`, {
        hint: service.provider === undefined ? "Give it an image." : "Providers are not supported yet.",
      });
    const mode = networkMode(this.#work, service);
    const connections = mode.kind === "networks" ? await attach(this.#work, service, this.#id, this.#request) : [];
    const [host, rootfs] = await Promise.all([
      inspectHost(service),
      planRootfs({ directory: this.#directory, root: this.#work.root.root, layers: image?.layers ?? [], ...(service.rootfs === undefined ? {} : { rootfs: service.rootfs }) }),
    ]);
    for (const warning of [...ociWarnings(service, host), ...logWarnings(service), ...rootfs.warnings]) this.#request.note(warning);
    const user = await this.#user(image, rootfs.identity);
    const replaced = this.#request.replaces === undefined ? undefined : this.#work.replaced.get(this.#request.replaces);
    this.#mounts = await prepareMounts(this.#work, { id: this.#id, directory: this.#directory, service, image: image?.config ?? null, user, replaces: replaced });
    const network = await networkSpec(this.#work, service, mode, connections);
    const ociNetwork = network.mode;
    const attachments = connections.map((connection) => connection.attachment);
    const taken = new Set(this.#mounts.mounts.map((mount) => mount.target));
    const joined = mode.kind === "join" ? await joinedIdentity(this.#work, mode.container, taken) : undefined;
    const named = joined === undefined ? service : { ...service, hostname: joined.hostname };
    const hostname = containerHostname({ service: named, network: ociNetwork, host, id: this.#id });
    const files = joined?.files ?? (await identityFiles(this.#work, { id: this.#id, service, hostname, attachments, dns: network.dns, taken }));
    const shared = this.#sharedNamespaces();
    const config = toOciConfig({
      id: this.#id,
      service: named,
      image: image?.config ?? null,
      user,
      mounts: [...files, ...rootfs.mounts, ...this.#mounts.mounts],
      network: ociNetwork,
      ...(shared.shm === undefined ? {} : { shm: shared.shm }),
      project: projectKey(this.#work.root, project.name),
      host,
    });
    const record = await this.#record(image, reference, attachments, mode.joins, shared.joins.map((join) => join.id));
    const spec = toMonitorSpec({
      id: this.#id,
      name: this.#request.name,
      service: this.#request.oneoff ? { ...service, restart: { policy: "no" } } : service,
      image: image?.config ?? null,
      directory: this.#directory,
      rootfs: rootfs.spec,
      populate: this.#mounts.populate,
      network,
      joins: shared.joins.map(({ namespace, directory }) => ({ namespace, directory })),
      hostMounts: [...rootfs.hostMounts, ...shared.hostMounts, ...this.#mounts.hostMounts],
      labels: record.labels,
      agent: agentCommand(this.#work.root, project.name, installProgram(this.#work.root)),
    });
    await this.#place.commit({ record, config, monitor: this.#request.startOnAttach === true ? { ...spec, startOnAttach: true } : spec });
    await this.#work.namesChanged();
    return record;
  }

  /** `user` and `group_add`, looked up in the image's own files. */
  async #user(image: Image | undefined, identity: { readonly passwd: string; readonly group: string } | undefined): Promise<ResolvedUser> {
    const spec = this.#service.user ?? image?.config.user ?? "";
    const read = (path: string): Promise<string> => (image === undefined ? Promise.resolve("") : this.#work.images.text(image, path));
    const [passwd, group] = identity === undefined ? await Promise.all([read("/etc/passwd"), read("/etc/group")]) : [identity.passwd, identity.group];
    return resolveUser(spec, { passwd, group }, this.#service.group_add);
  }

  #sharedNamespaces(): {
    readonly joins: readonly { readonly id: ContainerId; readonly namespace: "ipc" | "pid" | "uts"; readonly directory: string }[];
    readonly shm?: HostPath;
    readonly hostMounts: NonNullable<MonitorSpec["hostMounts"]>;
  } {
    const joins: { id: ContainerId; namespace: "ipc" | "pid" | "uts"; directory: string }[] = [];
    const { ipc } = this.#service;
    let shm: HostPath | undefined;
    const hostMounts: HostMount[] = [];
    for (const namespace of ["ipc", "pid", "uts"] as const) {
      const wanted = this.#service[namespace];
      const other = wanted === undefined ? undefined : containerNamed(this.#work, this.#service, namespace, wanted);
      if (other === undefined) continue;
      const directory = paths.container(this.#work.root, other);
      joins.push({ id: other, namespace, directory });
      if (namespace === "ipc") shm = `${directory}/shm` as HostPath;
    }
    const wanted = Object.values(this.#work.project.services).some((other) => other.ipc === `service:${this.#service.name}`);
    if (ipc === "shareable" || (wanted && (ipc === undefined || ipc === ""))) {
      shm = `${this.#directory}/shm` as HostPath;
      hostMounts.push({ type: "tmpfs", target: shm, data: `mode=1777,size=${this.#service.shm_size ?? 64 * 1024 * 1024}` });
    }
    return { joins, ...(shm === undefined ? {} : { shm }), hostMounts };
  }

  async #record(image: Image | undefined, reference: string | undefined, attachments: readonly Attachment[], networkJoins: readonly ContainerId[], otherJoins: readonly ContainerId[]): Promise<ContainerRecord> {
    const { project } = this.#work;
    const service = this.#service;
    const request = this.#request;
    const hash = configHash(service);
    const health = toHealthSpec(service.healthcheck, image?.config.healthcheck);
    const processReady = processReadiness(service);
    return {
      version: FORMAT_VERSION,
      id: this.#id,
      name: request.name,
      project: project.name,
      service: service.name,
      number: request.number,
      oneoff: request.oneoff,
      createdAt: new Date().toISOString(),
      configHash: hash,
      definition: service.canonical,
      files: await contentHashes(project, [service]),
      ...(this.#mounts === undefined || this.#mounts.images.length === 0 ? {} : { mountedImages: this.#mounts.images }),
      ...exposedPorts(service.expose, image?.config.exposedPorts ?? []),
      labels: containerLabels(
        project,
        service,
        { number: request.number, oneoff: request.oneoff, configHash: hash, imageId: image?.id ?? null, version, ...(request.replaces === undefined ? {} : { replaces: request.replaces }) },
        image?.config.labels ?? {},
      ),
      ...(image === undefined || reference === undefined
        ? {}
        : { image: { reference, id: image.id, ...(image.digest === undefined ? {} : { digest: image.digest }) } }),
      ...(service.rootfs === undefined ? {} : { rootfs: service.rootfs }),
      command: containerArgs(service, image?.config ?? null),
      tty: service.tty,
      stdin: service.stdin_open,
      volumes: this.#mounts?.volumes ?? [],
      networks: attachments,
      ...(service.network_mode === undefined ? {} : { networkMode: service.network_mode }),
      ...(service.dns.length === 0 ? {} : { dns: service.dns }),
      ...(service.links.length + service.external_links.length === 0
        ? {}
        : { links: [...service.links.map((link) => linkOf(link, "service")), ...service.external_links.map((link) => linkOf(link, "container"))] }),
      joins: [...new Set([...networkJoins, ...otherJoins])],
      ...(health === undefined ? {} : { health }),
      ...(request.oneoff || service.ready.length === 0 ? {} : { ready: service.ready }),
      ...(request.oneoff || service.on_unhealthy === undefined ? {} : { onUnhealthy: unhealthySpec(service, service.on_unhealthy) }),
      ...(service.expect.length === 0 ? {} : { expect: true }),
      ...(processReady === undefined ? {} : { processReady }),
      stop: toStop(service, image?.config ?? null),
      removeOnExit: request.removeOnExit,
    };
  }
}

function unhealthySpec(service: Service, wanted: NonNullable<Service["on_unhealthy"]>): NonNullable<ContainerRecord["onUnhealthy"]> {
  const { first_delay, delay, factor, max_delay, jitter, reset_after } = service.restart_policy;
  return {
    action: wanted.action,
    ...(wanted.action === "run" ? { command: wanted.command } : {}),
    after: wanted.after,
    max: wanted.max,
    timing: { firstDelayMs: first_delay, delayMs: delay, factor, maxDelayMs: max_delay, jitter, resetAfterMs: reset_after },
  };
}

/** `db:database` → the alias `database` for `db`; `db` alone is its own alias. */
function linkOf(link: string, kind: "service" | "container"): NonNullable<ContainerRecord["links"]>[number] {
  const [target = "", alias = target] = link.split(":");
  return kind === "service" ? { alias, service: target } : { alias, container: target };
}

/** `service:NAME` or `container:NAME` → its container. Undefined for every other word. */
export function containerNamed(work: Work, service: Service, what: string, wanted: string): ContainerId | undefined {
  const [kind, name] = [wanted.slice(0, wanted.indexOf(":")), wanted.slice(wanted.indexOf(":") + 1)];
  if (kind !== "service" && kind !== "container") return undefined;
  const candidates = work.hub.all
    .filter((c) => (kind === "service" ? c.service === name && !c.oneoff : c.name === name || c.id === name || shortId(c.id) === name))
    .sort((a, b) => a.number - b.number);
  const found = candidates[0];
  if (found === undefined)
    throw new StackError("no-such-container", `Service "${service.name}": ${what}: "${wanted}": there is no such container in this project`, {
      hint: "It has to exist before. Name a service of the same file.",
    });
  return found.id;
}

