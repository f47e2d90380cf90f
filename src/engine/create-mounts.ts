import { randomBytes } from "node:crypto";
import { mkdir, realpath, stat } from "node:fs/promises";
import { join, normalize } from "node:path";
import { parseHostPath, StackError } from "../core/index.ts";
import type { ContainerId, Digest, HostPath } from "../core/index.ts";
import type { Service } from "../model/index.ts";
import { planMounts } from "../runtime/index.ts";
import type { ContainerRecord, HostMount, ImageInput, PlannedMount, ResolvedMount, ResolvedUser } from "../runtime/index.ts";
import { contentOf } from "./file-content.ts";
import { resourceLabels } from "./labels.ts";
import type { Work } from "./work.ts";
import { version } from "./version.ts";

/** What mount(2) takes of options: a page, with its final zero. */
const OPTION_LIMIT = 4095;

export interface ContainerMounts {
  readonly mounts: readonly ResolvedMount[];
  readonly volumes: ContainerRecord["volumes"];
  readonly populate: readonly { readonly target: string; readonly source: string }[];
  /** Images that are mounted somewhere. */
  readonly hostMounts: readonly HostMount[];
  /** Ids of the images that it mounts. */
  readonly images: readonly Digest[];
  /** Anonymous volumes that were made for this container: gone again if its creation fails. */
  readonly made: readonly string[];
}

export interface MountRequest {
  readonly id: ContainerId;
  /** The container's own. */
  readonly directory: HostPath;
  readonly service: Service;
  readonly image: ImageInput | null;
  readonly user: ResolvedUser;
  /** Its anonymous volumes are taken over, by target. */
  readonly replaces: ContainerRecord | undefined;
}

/** Finds or makes what every mount of a container comes from. */
export async function prepareMounts(work: Work, request: MountRequest): Promise<ContainerMounts> {
  const inherited = await inheritedMounts(work, request.service);
  const planned = planMounts(request.service, request.image, inherited.planned);
  const preparation = new Preparation(work, request, inherited.volumes);
  try {
    for (const mount of planned) await preparation.add(mount);
  } catch (error) {
    for (const name of preparation.made) await work.rooms.volumes.remove(name);
    throw error;
  }
  return preparation;
}

class Preparation implements ContainerMounts {
  readonly mounts: ResolvedMount[] = [];
  readonly volumes: { name: string; target: string; anonymous: boolean }[] = [];
  readonly populate: { target: string; source: string }[] = [];
  readonly hostMounts: HostMount[] = [];
  readonly made: string[] = [];
  readonly images: Digest[] = [];
  readonly #work: Work;
  readonly #request: MountRequest;
  readonly #inherited: ReadonlyMap<string, { name: string; anonymous: boolean }>;

  constructor(work: Work, request: MountRequest, inherited: ReadonlyMap<string, { name: string; anonymous: boolean }>) {
    this.#work = work;
    this.#request = request;
    this.#inherited = inherited;
  }

  async add(mount: PlannedMount): Promise<void> {
    const { target } = mount;
    switch (mount.kind) {
      case "bind":
        this.mounts.push({
          type: "bind",
          target,
          source: await this.#bindSource(mount),
          readOnly: mount.readOnly,
          ...(mount.propagation === undefined ? {} : { propagation: mount.propagation }),
          ...(mount.recursive === undefined ? {} : { recursive: mount.recursive }),
        });
        return;
      case "volume":
        return this.#volume(mount);
      case "tmpfs":
        this.mounts.push({ type: "tmpfs", target, options: mount.options });
        return;
      case "image":
        return this.#image(mount);
      case "config":
      case "secret":
        this.mounts.push({ type: "bind", target, source: await this.#file(mount), readOnly: true });
        return;
    }
  }

  async #bindSource(mount: Extract<PlannedMount, { kind: "bind" }>): Promise<HostPath> {
    const exists = await stat(mount.source).then(
      () => true,
      (error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
        throw error;
      },
    );
    if (!exists) {
      if (!mount.createHostPath)
        throw new StackError("container-start-failed", `Service "${this.#request.service.name}": bind source ${mount.source} does not exist`, {
          hint: "Make it, or set bind.create_host_path: true.",
        });
      // A directory in its place serves nobody, and keeps whoever wants to listen there from starting.
      if (mount.source.endsWith(".sock"))
        throw new StackError("container-start-failed", `Service "${this.#request.service.name}": nobody listens at ${mount.source}`, {
          hint: mount.source.endsWith("docker.sock")
            ? "It is Docker's, which stack neither needs nor imitates: what looks at containers through it finds none of these. Start Docker if it is meant, or take the mount away."
            : "Start what makes that socket first, or take the mount away.",
        });
      await mkdir(mount.source, { recursive: true });
    }
    return mount.source;
  }

  /** An image's merged layers, which are read-only whatever the file says, as with Docker. */
  async #image(mount: Extract<PlannedMount, { kind: "image" }>): Promise<void> {
    const { directory, service } = this.#request;
    const image = await this.#work.images.find(mount.source);
    this.images.push(image.id);
    const what = `image "${mount.source}" of service "${service.name}"`;
    const inner = await this.#work.rooms.images.resolve(image.layers, mount.subpath ?? "");
    if (inner === undefined)
      throw new StackError("container-start-failed", `There is no ${mount.subpath ?? "root"} in ${what}`, { hint: "`subpath` is a path inside the image." });
    const place = join(directory, "images", String(this.hostMounts.length));
    const empty = join(directory, "images", "none");
    await mkdir(empty, { recursive: true, mode: 0o700 });
    // An overlay without an upper layer has at least two lower ones (overlayfs.rst, "Multiple lower layers").
    const data = `lowerdir=${[...image.layers, empty].map((path) => path.replace(/[\\:,]/g, "\\$&")).join(":")}`;
    if (Buffer.byteLength(data) > OPTION_LIMIT)
      throw new StackError("unsupported", `The ${image.layers.length} layers of ${what} are too many to be mounted on ${mount.target}`, {
        hint: "Run the image as a service of its own and share a named volume.",
      });
    this.hostMounts.push({ type: "overlay", target: place, data });
    const inside = parseHostPath(join(place, inner));
    if (inside === undefined) throw new StackError("internal", `${place} is no path`);
    this.mounts.push({ type: "bind", target: mount.target, source: inside, readOnly: true });
  }

  async #volume(mount: Extract<PlannedMount, { kind: "volume" }>): Promise<void> {
    const { rooms, project } = this.#work;
    const { target } = mount;
    const name = await this.#volumeName(mount);
    const record = await rooms.volumes.find(name.name);
    if (record === undefined)
      throw new StackError("no-such-volume", `Volume "${name.name}" of project "${project.name}" does not exist`, {
        hint: "Make it with `stack volumes create`, or take `external: true` away.",
      });
    const path = await rooms.volumes.path(record);
    const part = mount.subpath === undefined ? { source: path } : await subpathOf(path, mount.subpath, mount.source ?? target);
    this.volumes.push({ name: name.name, target, anonymous: name.anonymous });
    this.mounts.push({ type: "bind", target, readOnly: mount.readOnly, ...part });
    if (!mount.nocopy && mount.subpath === undefined) this.populate.push({ target, source: path });
  }

  async #volumeName(mount: Extract<PlannedMount, { kind: "volume" }>): Promise<{ name: string; anonymous: boolean }> {
    const { project, rooms } = this.#work;
    const inherited = this.#inherited.get(mount.target);
    if (inherited !== undefined) return inherited;
    if (mount.source !== undefined) return { name: project.volumes[mount.source]?.name ?? mount.source, anonymous: false };
    const kept = this.#request.replaces?.volumes.find((volume) => volume.anonymous && volume.target === mount.target);
    if (kept !== undefined && (await rooms.volumes.find(kept.name)) !== undefined) return kept;
    const name = randomBytes(32).toString("hex");
    await rooms.volumes.create({
      name,
      project: project.name,
      key: null,
      configHash: "",
      labels: { ...resourceLabels("volume", project.name, "", mount.labels, version), "com.docker.volume.anonymous": "" },
      driver: "local",
      driverOptions: {},
      anonymous: true,
    });
    this.made.push(name);
    return { name, anonymous: true };
  }

  /** A config or secret: the file itself where nothing about its owner is asked for, else a copy. */
  async #file(mount: Extract<PlannedMount, { kind: "config" | "secret" }>): Promise<HostPath> {
    const { project, rooms } = this.#work;
    const { file, kind } = mount;
    const source = (kind === "config" ? project.configs : project.secrets)[file.source];
    const what = `${kind} "${file.source}" of service "${this.#request.service.name}"`;
    if (source === undefined) throw new StackError("internal", `${what} is not in the project`);
    const asked = file.uid !== undefined || file.gid !== undefined || file.mode !== undefined;
    if (source.from.kind === "file" && !asked) {
      await stat(source.from.path).catch((error: unknown) => {
        throw new StackError("container-start-failed", `The file of ${what} cannot be read: ${source.from.kind === "file" ? source.from.path : ""}`, {
          hint: "Make the file, or correct its path in the stack file.",
          cause: error,
        });
      });
      return source.from.path;
    }
    return rooms.volumes.writeFile(this.#request.id, `${kind}-${mount.target.replaceAll("/", "_")}`, await contentOf(source, what), {
      uid: idOf(file.uid, 0, `uid of ${what}`),
      gid: idOf(file.gid, 0, `gid of ${what}`),
      mode: file.mode ?? 0o444,
    });
  }
}

function idOf(text: string | undefined, otherwise: number, what: string): number {
  if (text === undefined) return otherwise;
  const id = Number(text);
  if (!/^\d+$/.test(text) || id > 2 ** 31 - 1)
    throw new StackError("container-start-failed", `${what} must be a number, not "${text}"`);
  return id;
}

/**
 * A container that writes the volume may have put a symbolic link there: one that leads out of it is refused here, by
 * name, and whatever it puts there later by the monitor, which finds the source anew at each start.
 */
async function subpathOf(path: string, subpath: string, what: string): Promise<{ source: HostPath; within: HostPath }> {
  const missing = (error: unknown): never => {
    throw new StackError("container-start-failed", `There is no ${subpath} in volume "${what}"`, {
      cause: error,
      hint: "`subpath` has to exist before: as with Docker, it is not made.",
    });
  };
  const [root, target] = await Promise.all([realpath(path), realpath(join(path, normalize(join("/", subpath)))).catch(missing)]);
  const [within, inside] = [parseHostPath(root), parseHostPath(target)];
  if (within === undefined || inside === undefined || subpath.split("/").includes("..") || (target !== root && !target.startsWith(`${root}/`)))
    throw new StackError("container-start-failed", `subpath "${subpath}" of volume "${what}" leads out of it`);
  return { source: inside, within };
}

/** `volumes_from`: the mounts of other services or containers. */
async function inheritedMounts(work: Work, service: Service): Promise<{ planned: readonly PlannedMount[]; volumes: ReadonlyMap<string, { name: string; anonymous: boolean }> }> {
  const planned: PlannedMount[] = [];
  const volumes = new Map<string, { name: string; anonymous: boolean }>();
  for (const from of service.volumes_from) {
    const [kind, ...rest] = from.startsWith("container:") ? ["container", ...from.slice(10).split(":")] : ["service", ...from.split(":")];
    const name = rest[0] ?? "";
    const readOnly = rest[1] === "ro";
    const container = kind === "container" ? await work.rooms.containers.find(name) : firstOf(work, name);
    if (container === undefined)
      throw new StackError("no-such-container", `Service "${service.name}" takes volumes from ${kind} "${name}", which has no container`);
    const { record } = container;
    for (const volume of record.volumes) {
      volumes.set(volume.target, { name: volume.name, anonymous: volume.anonymous });
      planned.push({ kind: "volume", target: volume.target, readOnly, nocopy: true, labels: {} });
    }
    for (const mount of work.project.services[record.service]?.volumes ?? [])
      if (mount.type === "bind")
        planned.push({ kind: "bind", target: mount.target, source: mount.source, readOnly: readOnly || mount.read_only, createHostPath: mount.create_host_path });
  }
  return { planned, volumes };
}

function firstOf(work: Work, service: string): { record: ContainerRecord } | undefined {
  const [first] = work.hub.all.filter((c) => c.service === service && !c.oneoff).sort((a, b) => a.number - b.number);
  return first;
}
