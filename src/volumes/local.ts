import { lookup } from "node:dns/promises";
import { mkdir } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { parseHostPath, readMounts, StackError } from "../core/index.ts";
import type { HostPath } from "../core/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { MS_BIND, MS_REMOUNT, parseMountOptions } from "./mount-options.ts";
import type { VolumeRecord } from "./types.ts";

/**
 * Docker's `local` driver with options: `type`, `o` and `device` as mount(8) takes them. Without options a
 * volume is the directory itself.
 */
export function hasMountOptions(options: Readonly<Record<string, string>>): boolean {
  return ["type", "o", "device"].some((key) => (options[key] ?? "") !== "");
}

/** Refuses what the driver does not know, before anything is made. */
export function checkOptions(name: string, driver: string, options: Readonly<Record<string, string>>): void {
  if (driver !== "local" && driver !== "")
    throw new StackError("unsupported", `Volume "${name}": there is no volume driver "${driver}" here`, {
      hint: "Only the driver `local` exists; it can mount NFS and others with driver_opts type, o and device.",
    });
  const unknown = Object.keys(options).find((key) => !["type", "o", "device"].includes(key));
  if (unknown !== undefined)
    throw new StackError("unsupported", `Volume "${name}": driver_opts: "${unknown}" is not known to the driver local`, {
      hint: unknown === "size" ? "For a tmpfs write `o: size=100m`." : "Known are type, o and device.",
    });
  if ((options["type"] ?? "") === "" && !/(^|,)r?bind(,|$)/.test(options["o"] ?? "") && hasMountOptions(options))
    throw new StackError("usage", `Volume "${name}": driver_opts: \`type\` is missing`, { hint: "For example type: nfs, or type: none with o: bind." });
}

/** Mounts the volume on its data directory if it is not mounted there. */
export async function mountLocal(native: Pick<NativeBinding, "mount">, record: VolumeRecord, target: HostPath): Promise<void> {
  if ((await readMounts()).some((mount) => mount.mountpoint === target)) return;
  const type = record.driverOptions["type"] ?? "none";
  const source = record.driverOptions["device"] ?? type;
  const { flags, data } = parseMountOptions(record.driverOptions["o"] ?? "");
  await mkdir(target, { recursive: true, mode: 0o700 });
  const bind = (flags & MS_BIND) !== 0;
  const resolved = type.startsWith("nfs") || type === "cifs" ? await resolveAddress(record.name, withAddress(type, source, data)) : data;
  try {
    native.mount({ source, target, type: bind ? "none" : type, flags: bind ? flags & (MS_BIND | 16384) : flags, data: bind ? "" : resolved });
    // A bind mount takes its other flags only when it is changed (mount(2), "Remounting").
    if (bind && (flags & ~(MS_BIND | 16384)) !== 0)
      native.mount({ source: "none", target, type: "none", flags: flags | MS_BIND | MS_REMOUNT, data: "" });
  } catch (error) {
    throw explain(record.name, source, type, error);
  }
}

/** What mount.nfs adds for people, the kernel wants to be told: the server's address, if `o` has none. */
function withAddress(type: string, source: string, data: string): string {
  if (!type.startsWith("nfs") || /(^|,)addr=/.test(data)) return data;
  const host = /^(?:\[([^\]]+)\]|([^:/]+)):\//.exec(source);
  const server = host?.[1] ?? host?.[2];
  return server === undefined ? data : [...(data === "" ? [] : [data]), `addr=${server}`].join(",");
}

/** The kernel takes a number in `addr=`, people write names. */
async function resolveAddress(volume: string, data: string): Promise<string> {
  const parts = await Promise.all(
    data.split(",").map(async (part) => {
      if (!part.startsWith("addr=")) return part;
      const host = part.slice(5);
      if (isIP(host) !== 0) return part;
      try {
        return `addr=${(await lookup(host)).address}`;
      } catch (error) {
        throw new StackError("container-start-failed", `Volume "${volume}": the host "${host}" of its server is not known`, { cause: error });
      }
    }),
  );
  return parts.join(",");
}

function explain(volume: string, source: string, type: string, error: unknown): StackError {
  const { code } = error as NodeJS.ErrnoException;
  const hints: Readonly<Record<string, string>> = {
    ENOENT: "The device or directory does not exist.",
    ENODEV: `The kernel has no file system "${type}" (is its module there?).`,
    EPERM: "This process may not mount.",
    EINVAL: "The file system did not understand its options (`o`).",
  };
  // What the kernel's NFS client answers for its server, or for options that mount.nfs would have added.
  const ofServer: Readonly<Record<string, string>> = {
    EINVAL: "The kernel wants the server's address in the options (`o: addr=HOST,…`), and a `device` such as `:/srv/data`.",
    EACCES: "The server does not export that directory to this machine.",
    ENOENT: "The server has no such directory, or does not export it.",
    ECONNREFUSED: "Nothing answers at that address: does the server run there, and with this version (`o: nfsvers=4`)?",
    ETIMEDOUT: "The server does not answer: check its address and the firewall between.",
    EHOSTUNREACH: "No way leads to the server.",
    EPROTONOSUPPORT: "The server does not speak this version of NFS; name one that it does (`o: nfsvers=3`).",
  };
  const hint = code === undefined ? undefined : ((type.startsWith("nfs") ? ofServer[code] : undefined) ?? hints[code]);
  return new StackError("container-start-failed", `Volume "${volume}": cannot mount ${source} (type ${type})`, {
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  });
}

export const dataDirectory = (directory: HostPath): HostPath => parseHostPath(join(directory, "_data")) ?? directory;
