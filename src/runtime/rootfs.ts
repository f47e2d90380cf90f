import { chmodSync, chownSync, existsSync, mkdirSync, statfsSync, statSync } from "node:fs";
import { lstat, mkdir, readdir, readFile, readlink, realpath, stat, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseHostPath, readMounts, StackError } from "../core/index.ts";
import type { HostPath, MountEntry } from "../core/index.ts";
import type { MonitorSpec, RootfsSpec } from "./formats.ts";
import { hostDirectories, hostSkeleton } from "./host-skeleton.ts";
import type { ResolvedMount } from "./input.ts";
import { mountPointLayer } from "./mount-points.ts";

export interface RootfsRequest {
  /** `containers/ID`. */
  readonly directory: HostPath;
  /** The data root: never shown to a container. */
  readonly root: HostPath;
  /** Of the image, uppermost first; none with `rootfs`. */
  readonly layers: readonly string[];
  readonly rootfs?: HostPath;
}

export interface RootfsPlan {
  readonly spec: RootfsSpec;
  readonly hostMounts: NonNullable<MonitorSpec["hostMounts"]>;
  /** Single files of a `rootfs` that no overlay can carry. */
  readonly mounts: readonly ResolvedMount[];
  readonly warnings: readonly string[];
  /** Of a `rootfs`; of an image they are in its layers. */
  readonly identity?: { readonly passwd: string; readonly group: string };
}

const overlayMagic = 0x794c7630;

/** Where a container's own layers are: its directory, or memory where the data root itself lies on an overlay. */
interface Place {
  readonly base: string;
  readonly hostMounts: RootfsPlan["hostMounts"];
  readonly warnings: readonly string[];
}

/**
 * The layers of a container's root file system. overlayfs has three rules that shape this: an upper directory may not
 * lie on another overlay, a lower one may not contain the upper, and mounts below a lower directory are not seen.
 */
export async function planRootfs(request: RootfsRequest): Promise<RootfsPlan> {
  const place = placeOf(request.directory);
  if (request.rootfs === undefined) {
    return { spec: overlaySpec(place.base, [...request.layers, mountPointLayer(request.root)], []), hostMounts: place.hostMounts, mounts: [], warnings: place.warnings };
  }
  const source = await directoryOf(request.rootfs);
  const mounts = await readMounts();
  if (source === "/") return hostRootfs(request, place, mounts);
  const cover = new Cover(request.root, mounts, join(request.directory, "skeleton"));
  const whole = !inside(request.root, source);
  if (whole) cover.addMountsBelow(source, "");
  else await cover.split(source, "/");
  const layers = [whole ? source : cover.skeleton, mountPointLayer(request.root)];
  return {
    spec: overlaySpec(place.base, layers, cover.directories),
    hostMounts: place.hostMounts,
    mounts: cover.files,
    warnings: place.warnings,
    identity: { passwd: await readInside(source, "etc/passwd"), group: await readInside(source, "etc/group") },
  };
}

/** `rootfs: /`: the host's programs and libraries over a skeleton that has nothing of the host's people, state or secrets. */
async function hostRootfs(request: RootfsRequest, place: Place, mounts: readonly MountEntry[]): Promise<RootfsPlan> {
  const skeleton = await hostSkeleton(request.root);
  const own = join(request.directory, "skeleton");
  const cover = new Cover(request.root, mounts, own);
  for (const directory of await hostDirectories()) await cover.add(directory, directory);
  const layers = cover.usedSkeleton ? [own, skeleton.directory] : [skeleton.directory];
  return {
    spec: overlaySpec(place.base, layers, cover.directories),
    hostMounts: place.hostMounts,
    mounts: cover.files,
    warnings: place.warnings,
    identity: { passwd: skeleton.passwd, group: skeleton.group },
  };
}

function placeOf(directory: HostPath): Place {
  if (statfsSync(directory).type !== overlayMagic) return { base: directory, hostMounts: [], warnings: [] };
  const scratch = join(directory, "scratch");
  return {
    base: scratch,
    hostMounts: [{ type: "tmpfs", target: scratch, data: "mode=700" }],
    warnings: ["the data root lies on an overlay file system, which cannot carry another one: what the container writes is kept in memory, until it is removed or the machine restarts"],
  };
}

async function directoryOf(path: HostPath): Promise<string> {
  const found = await realpath(path).catch((error: unknown) => {
    throw new StackError("container-start-failed", `rootfs: ${path} does not exist`, { cause: error, hint: "Name a directory of this machine." });
  });
  if (!(await stat(found)).isDirectory()) throw new StackError("container-start-failed", `rootfs: ${path} is not a directory`);
  return found;
}

function overlaySpec(base: string, layers: readonly string[], covered: readonly { readonly target: string; readonly source: string }[]): RootfsSpec {
  const overlays = covered.map(({ target, source }, index) => ({
    target,
    source,
    upper: join(base, "overlays", String(index), "upper"),
    work: join(base, "overlays", String(index), "work"),
  }));
  return { kind: "overlay", layers, upper: join(base, "upper"), work: join(base, "work"), overlays };
}

/** `directory` is `path` or contains it. */
function inside(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}

/** File systems that are views of the kernel, or of one machine's running state: a container has its own. */
const pseudo = new Set([
  "proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "ramfs", "mqueue", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs",
  "bpf", "pstore", "efivarfs", "hugetlbfs", "binfmt_misc", "autofs", "fusectl", "nsfs", "rpc_pipefs", "selinuxfs",
]);

/** Directories that are laid over the root one by one. */
class Cover {
  readonly directories: { readonly target: string; readonly source: string }[] = [];
  readonly files: ResolvedMount[] = [];
  readonly skeleton: string;
  usedSkeleton = false;
  readonly #hidden: string;
  readonly #mounts: readonly MountEntry[];

  constructor(hidden: string, mounts: readonly MountEntry[], skeleton: string) {
    this.#hidden = hidden;
    this.#mounts = mounts;
    this.skeleton = skeleton;
  }

  /** A directory of the host with what is mounted below it; in pieces where the data root lies in it. */
  async add(source: string, target: string): Promise<void> {
    if (inside(source, this.#hidden)) return;
    if (inside(this.#hidden, source)) {
      await this.split(source, target);
      return;
    }
    this.directories.push({ target, source });
    this.addMountsBelow(source, target);
  }

  addMountsBelow(source: string, target: string): void {
    const below = this.#mounts.filter((mount) => mount.mountpoint !== source && inside(mount.mountpoint, source) && !pseudo.has(mount.type));
    for (const point of new Set(below.map((mount) => mount.mountpoint)))
      if (!inside(point, this.#hidden)) this.directories.push({ target: `${target}${point.slice(source.length)}`, source: point });
  }

  /** The data root lies below: make the directory anew in the skeleton and cover its entries one by one. */
  async split(source: string, target: string): Promise<void> {
    this.usedSkeleton = true;
    const { mode } = await stat(source);
    await mkdir(join(this.skeleton, target), { recursive: true, mode: mode & 0o7777 });
    for (const entry of await readdir(source, { withFileTypes: true })) {
      const from = join(source, entry.name);
      const to = join(target, entry.name);
      if (entry.isSymbolicLink()) await copyLink(from, join(this.skeleton, to));
      else if (entry.isDirectory()) {
        await mkdir(join(this.skeleton, to), { recursive: true });
        await this.add(from, to);
      } else if (entry.isFile()) {
        const file = parseHostPath(from);
        if (file !== undefined) this.files.push({ type: "bind", target: to, source: file, readOnly: true });
      }
    }
  }
}

async function copyLink(from: string, to: string): Promise<void> {
  await symlink(await readlink(from), to).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  });
}

/** A file of a root directory that leads, through whatever links, nowhere out of it. "" if there is none. */
async function readInside(root: string, path: string): Promise<string> {
  const found = await realpath(join(root, path)).catch(() => undefined);
  if (found === undefined || !inside(found, root)) return "";
  const info = await lstat(found);
  if (!info.isFile() || info.size > 1024 * 1024) throw new StackError("container-start-failed", `rootfs: ${basename(path)} in ${root} is not a file of at most 1 MiB`);
  return readFile(found, "utf8");
}

/** Upper and work directories, before each start: where they are in memory, a restart of the machine took them. */
export function makeLayerDirectories(rootfs: RootfsSpec): void {
  if (rootfs.kind !== "overlay") return;
  makeUpper(rootfs.upper, rootfs.work, rootfs.layers[0]);
  for (const overlay of rootfs.overlays) makeUpper(overlay.upper, overlay.work, overlay.source);
}

/** The root of the upper directory is what the container sees as the directory itself: owner and mode are the lower one's. */
function makeUpper(upper: string, work: string, lower: string | undefined): void {
  if (existsSync(upper)) return;
  mkdirSync(upper, { recursive: true, mode: 0o755 });
  mkdirSync(work, { recursive: true, mode: 0o700 });
  const info = lower === undefined ? undefined : statSync(lower);
  if (info === undefined) return;
  // Each change of a new inode costs as much as its making.
  const made = statSync(upper);
  if (made.uid !== info.uid || made.gid !== info.gid) chownSync(upper, info.uid, info.gid);
  if (made.mode !== info.mode) chmodSync(upper, info.mode & 0o7777);
}
