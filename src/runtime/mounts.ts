import { StackError } from "../core/index.ts";
import type { HostPath } from "../core/index.ts";
import { cleanPath } from "./command.ts";
import type { FileMountInput, ImageInput, ResolvedMount, ServiceInput } from "./input.ts";
import type { OciMount } from "./oci.ts";

/** What has to be found or made before the mounts of a container are known. In the order of mounting. */
export type PlannedMount =
  | {
      readonly kind: "bind";
      readonly target: string;
      readonly source: HostPath;
      readonly readOnly: boolean;
      readonly createHostPath: boolean;
      readonly propagation?: string;
      readonly recursive?: "enabled" | "disabled" | "writable" | "readonly";
    }
  | {
      readonly kind: "volume";
      readonly target: string;
      readonly readOnly: boolean;
      /** Key in the file; absent: anonymous. */
      readonly source?: string;
      /** Do not copy the image's content into the new volume. */
      readonly nocopy: boolean;
      readonly subpath?: string;
      readonly labels: Readonly<Record<string, string>>;
    }
  | { readonly kind: "image"; readonly target: string; readonly readOnly: boolean; readonly source: string; readonly subpath?: string }
  | { readonly kind: "tmpfs"; readonly target: string; readonly options: readonly string[] }
  | { readonly kind: "config" | "secret"; readonly target: string; readonly file: FileMountInput };

/**
 * All mounts of a service, those that its image declares with VOLUME among them (anonymous, unless the service
 * or a container that it takes volumes from mounts something there). Parents come before what lies in them.
 */
export function planMounts(service: ServiceInput, image: ImageInput | null, inherited: readonly PlannedMount[] = []): readonly PlannedMount[] {
  const planned = new Map<string, PlannedMount>();
  for (const path of image?.volumes ?? []) {
    const target = cleanPath(path);
    if (target !== "/") planned.set(target, { kind: "volume", target, readOnly: false, nocopy: false, labels: {} });
  }
  for (const mount of inherited) planned.set(mount.target, mount);
  for (const target of [...service.volumes, ...service.configs, ...service.secrets].map((mount) => mount.target).concat(service.tmpfs))
    if (!target.startsWith("/"))
      throw new StackError("usage", `Service "${service.name}": "${target}" is not an absolute path in the container`, {
        hint: "Write SOURCE:/TARGET. A single letter before the colon is taken for a Windows drive.",
      });
  for (const mount of service.volumes) {
    const next = planMount(service.name, mount);
    planned.set(next.target, next);
  }
  for (const text of service.tmpfs) {
    const next = planTmpfs(text);
    planned.set(next.target, next);
  }
  for (const file of service.configs) planned.set(cleanPath(file.target), { kind: "config", target: cleanPath(file.target), file });
  for (const file of service.secrets) planned.set(cleanPath(file.target), { kind: "secret", target: cleanPath(file.target), file });
  if (planned.has("/"))
    throw new StackError("usage", `Service "${service.name}": nothing can be mounted on "/"`, { hint: "Mount a directory below it." });
  return [...planned.values()].sort((a, b) => depth(a.target) - depth(b.target));
}

const depth = (path: string): number => path.split("/").length;

function planMount(service: string, mount: ServiceInput["volumes"][number]): PlannedMount {
  const target = cleanPath(mount.target);
  const readOnly = mount.read_only;
  switch (mount.type) {
    case "bind":
      return {
        kind: "bind",
        target,
        source: mount.source,
        readOnly,
        createHostPath: mount.create_host_path,
        ...(mount.propagation === undefined ? {} : { propagation: mount.propagation }),
        ...(mount.recursive === undefined ? {} : { recursive: mount.recursive }),
      };
    case "volume":
      return {
        kind: "volume",
        target,
        readOnly,
        nocopy: mount.nocopy,
        labels: mount.labels,
        ...(mount.source === undefined ? {} : { source: mount.source }),
        ...(mount.subpath === undefined ? {} : { subpath: mount.subpath }),
      };
    case "tmpfs": {
      const options = [
        ...(readOnly ? ["ro"] : []),
        ...(mount.size === undefined || mount.size === 0 ? [] : [`size=${mount.size}`]),
        ...(mount.mode === undefined ? [] : [`mode=${mount.mode.toString(8)}`]),
      ];
      return { kind: "tmpfs", target, options: tmpfsOptions(options) };
    }
    case "image":
      return { kind: "image", target, readOnly, source: mount.source, ...(mount.subpath === undefined ? {} : { subpath: mount.subpath }) };
    case "npipe":
    case "cluster":
      throw new StackError("unsupported", `Service "${service}": volumes: type "${mount.type}" at ${target} does not exist on Linux without Swarm`, {
        hint: "Use a bind mount or a named volume.",
      });
  }
}

/** `/run:size=64m,mode=755` as in `tmpfs:`. */
function planTmpfs(text: string): PlannedMount {
  const at = text.indexOf(":");
  const target = cleanPath(at < 0 ? text : text.slice(0, at));
  const options = at < 0 ? [] : text.slice(at + 1).split(",").filter((option) => option !== "");
  return { kind: "tmpfs", target, options: tmpfsOptions(options) };
}

const opposites: Readonly<Record<string, string>> = {
  exec: "noexec", noexec: "exec", suid: "nosuid", nosuid: "suid", dev: "nodev", nodev: "dev", ro: "rw", rw: "ro",
};

/** Docker's defaults (noexec, nosuid, nodev), each taken back by its opposite; of options with a value the last counts. */
function tmpfsOptions(given: readonly string[]): readonly string[] {
  const options = new Map<string, string>();
  for (const option of ["noexec", "nosuid", "nodev", ...given]) {
    const key = option.split("=", 1)[0] ?? option;
    const opposite = Object.hasOwn(opposites, key) ? opposites[key] : undefined;
    if (opposite !== undefined) options.delete(opposite);
    options.delete(key);
    options.set(key, option);
  }
  return [...options.values()];
}

export interface MountFacts {
  readonly privileged: boolean;
  readonly ipc: string | undefined;
  readonly shmSize: number | undefined;
  readonly shm: HostPath | undefined;
  /** The host has a /dev/shm. */
  readonly hostShm: boolean;
  readonly kernel: readonly [number, number];
}

/** Docker's default mounts, then ours; a mount of the user's on the same place takes the default's. */
export function ociMounts(mounts: readonly ResolvedMount[], facts: MountFacts): readonly OciMount[] {
  const targets = new Set(mounts.map((mount) => mount.target));
  const defaults = defaultMounts(facts).filter(
    (mount) => !targets.has(mount.destination) && !(mount.destination.startsWith("/dev/") && targets.has("/dev")),
  );
  return [...defaults, ...mounts.map((mount) => toOciMount(mount, facts.kernel))];
}

function defaultMounts(facts: MountFacts): readonly OciMount[] {
  const writable = facts.privileged ? [] : ["ro"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", ...writable] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", ...writable] },
    // In the host's ipc namespace this is the host's own (mq_overview(7)), whether it is mounted there or not.
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
    ...sharedMemory(facts),
  ];
}

const hostBind = (path: string, source = path): OciMount => ({
  destination: path,
  type: "bind",
  source,
  options: ["rbind", "rprivate", "nosuid", "noexec", "nodev"],
});

const defaultShmSize = 64 * 1024 * 1024;

function sharedMemory(facts: MountFacts): readonly OciMount[] {
  if (facts.ipc === "none") return [];
  if (facts.ipc === "host" && facts.hostShm) return [hostBind("/dev/shm")];
  if (facts.shm !== undefined) return [hostBind("/dev/shm", facts.shm)];
  const size = facts.shmSize === undefined || facts.shmSize === 0 ? defaultShmSize : facts.shmSize;
  return [{ destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", `size=${size}`] }];
}

function toOciMount(mount: ResolvedMount, [major, minor]: readonly [number, number]): OciMount {
  if (mount.type === "tmpfs") return { destination: mount.target, type: "tmpfs", source: "tmpfs", options: [...mount.options, "rprivate"] };
  // mount_setattr(2), since Linux 5.12, makes the mounts below read-only too.
  const recursiveReadOnly = major > 5 || (major === 5 && minor >= 12);
  const readOnly = !mount.readOnly ? [] : mount.recursive === "writable" || mount.recursive === "disabled" || !recursiveReadOnly ? ["ro"] : ["ro", "rro"];
  if (mount.readOnly && mount.recursive === "readonly" && !recursiveReadOnly)
    throw new StackError("kernel-feature-missing", `Mount on ${mount.target}: bind.recursive: readonly needs Linux 5.12, this is ${major}.${minor}`);
  return {
    destination: mount.target,
    type: "bind",
    source: mount.source,
    options: [mount.recursive === "disabled" ? "bind" : "rbind", mount.propagation ?? "rprivate", ...readOnly],
  };
}
