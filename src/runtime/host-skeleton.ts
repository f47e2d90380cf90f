import { createHash, randomBytes } from "node:crypto";
import { chmod, copyFile, lstat, mkdir, readdir, readFile, readlink, realpath, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { HostPath } from "../core/index.ts";
import { identityFileNames } from "./mount-points.ts";

/**
 * `rootfs: /`: what a container sees of the host's root. Programs and libraries come from the host's own directories,
 * laid over this skeleton; of /etc an allow-list is copied; everything else is empty.
 */

/** Programs, libraries and their data: the same for every user of the machine. */
const programDirectories = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store"];

/** Of /etc: what programs need to find their libraries, certificates, names and locale. Nothing that says who may enter. */
const etcFiles = [
  "alternatives", "bash.bashrc", "bash_completion.d", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version",
  "default/locale", "ethertypes", "fedora-release", "fonts", "gai.conf", "host.conf", "inputrc", "issue", "ld.so.cache", "ld.so.conf",
  "ld.so.conf.d", "locale.alias", "locale.conf", "locale.gen", "localtime", "login.defs", "lsb-release", "magic", "magic.mime", "manpath.config",
  "mime.types", "nsswitch.conf", "os-release", "pam.conf", "pam.d", "perl", "pki/ca-trust", "pki/tls/cert.pem", "pki/tls/certs", "profile",
  "profile.d", "protocols", "redhat-release", "rpc", "security/limits.conf", "services", "shells", "skel", "ssl/certs", "ssl/cert.pem",
  "ssl/openssl.cnf", "system-release", "terminfo", "timezone", "xattr.conf",
];
/** Configuration of language runtimes, whose directories carry a version: java-17-openjdk, python3.11. */
const etcPatterns = [/^java(-[\w.-]+)?$/, /^python\d[\d.]*$/, /^node_modules$/];

/** Empty directories, with their modes. */
const emptyDirectories: readonly (readonly [string, number])[] = [
  ["dev", 0o755], ["etc", 0o755], ["home", 0o755], ["media", 0o755], ["mnt", 0o755], ["proc", 0o555], ["root", 0o700], ["run", 0o755],
  ["run/lock", 0o1777], ["srv", 0o755], ["sys", 0o555], ["tmp", 0o1777], ["var", 0o755], ["var/cache", 0o755], ["var/lib", 0o755],
  ["var/log", 0o755], ["var/mail", 0o755], ["var/opt", 0o755], ["var/spool", 0o755], ["var/tmp", 0o1777], ["var/local", 0o755],
];

export interface Skeleton {
  readonly directory: string;
  readonly passwd: string;
  readonly group: string;
}

/** Those of the program directories that are directories; the others are links, or not there. */
export async function hostDirectories(): Promise<readonly string[]> {
  const kinds = await Promise.all(programDirectories.map((path) => lstat(path).then((info) => info.isDirectory(), () => false)));
  return programDirectories.filter((_, index) => kinds[index]);
}

const known = new Map<string, Promise<Skeleton>>();

/**
 * The skeleton of this machine as it is now, a read-only layer that containers share. It lies in the cache under the hash
 * of what it was made from; a change of the host gives a new one, and containers keep theirs.
 */
export async function hostSkeleton(root: HostPath): Promise<Skeleton> {
  const fingerprint = await fingerprintOfHost();
  const key = `${root} ${fingerprint}`;
  let made = known.get(key);
  if (made === undefined) {
    known.clear();
    made = makeSkeleton(join(root, "cache", `skeleton-${fingerprint}`));
    known.set(key, made);
    made.catch(() => known.delete(key));
  }
  return made;
}

async function etcEntries(): Promise<readonly string[]> {
  const present = await readdir("/etc").catch(() => []);
  return [...etcFiles, ...present.filter((name) => etcPatterns.some((pattern) => pattern.test(name)))].sort();
}

/** Of names, times and sizes; not of content, which would cost more than it saves. */
async function fingerprintOfHost(): Promise<string> {
  const hash = createHash("sha256").update("2");
  const paths = [...(await etcEntries()).map((name) => `/etc/${name}`), "/etc/passwd", "/etc/group", ...programDirectories];
  const infos = await Promise.all(paths.map((path) => lstat(path, { bigint: true }).catch(() => undefined)));
  for (const [index, info] of infos.entries())
    if (info !== undefined) hash.update(`${paths[index] ?? ""} ${info.ino} ${info.mode} ${programDirectories.includes(paths[index] ?? "") ? "" : `${info.mtimeNs} ${info.size}`}\n`);
  return hash.digest("hex").slice(0, 16);
}

async function makeSkeleton(directory: string): Promise<Skeleton> {
  const identity = safeIdentity(await readFile("/etc/passwd", "utf8").catch(() => ""), await readFile("/etc/group", "utf8").catch(() => ""));
  if (await stat(directory).then(() => true, () => false)) return { directory, ...identity };
  const staging = `${directory}.${randomBytes(6).toString("hex")}`;
  try {
    await mkdir(staging, { recursive: true, mode: 0o755 });
    await chmod(staging, 0o755);
    for (const [path, mode] of emptyDirectories) {
      await mkdir(join(staging, path), { recursive: true });
      await chmod(join(staging, path), mode);
    }
    await symlink("/run", join(staging, "var/run"));
    await symlink("/run/lock", join(staging, "var/lock"));
    for (const path of programDirectories) await placeFor(path, join(staging, path));
    for (const name of await etcEntries()) await copyPublic(`/etc/${name}`, join(staging, "etc", name), 6);
    await writeFile(join(staging, "etc/passwd"), identity.passwd, { mode: 0o644 });
    await writeFile(join(staging, "etc/group"), identity.group, { mode: 0o644 });
    for (const name of identityFileNames) await writeFile(join(staging, "etc", name), "", { mode: 0o644 });
    await rename(staging, directory);
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    // Another process was quicker: it made the same.
    if (!["EEXIST", "ENOTEMPTY"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
  return { directory, ...identity };
}

/** A mount point for a directory, the link for a link (/bin → usr/bin). */
async function placeFor(path: string, to: string): Promise<void> {
  const info = await lstat(path).catch(() => undefined);
  if (info === undefined) return;
  await mkdir(dirname(to), { recursive: true });
  if (info.isSymbolicLink()) await symlink(await readlink(path), to);
  else await mkdir(to, { recursive: true, mode: info.mode & 0o7777 });
}

/**
 * Copies what everybody may read: a file that is closed to others is closed to the container as well. A link whose target
 * is not in the container (into /run, /var, /home) becomes what it points to, if that is such a file.
 */
async function copyPublic(from: string, to: string, depth: number): Promise<void> {
  const info = await lstat(from).catch(() => undefined);
  if (info === undefined || depth === 0) return;
  await mkdir(dirname(to), { recursive: true });
  if (info.isSymbolicLink()) {
    const target = await realpath(from).catch(() => undefined);
    if (target === undefined) return;
    const visible = [...programDirectories, "/etc"].some((directory) => target.startsWith(`${directory}/`));
    if (visible) await symlink(await readlink(from), to);
    else await copyFileIfPublic(target, to);
  } else if (info.isDirectory()) {
    if ((info.mode & 0o005) !== 0o005) return;
    await mkdir(to, { recursive: true });
    await chmod(to, info.mode & 0o777);
    for (const name of await readdir(from)) await copyPublic(join(from, name), join(to, name), depth - 1);
  } else await copyFileIfPublic(from, to);
}

/** No single file of configuration is larger; ld.so.cache of a full desktop has 300 KiB. */
const maxSize = 16 * 1024 * 1024;

async function copyFileIfPublic(from: string, to: string): Promise<void> {
  const info = await stat(from);
  if (!info.isFile() || (info.mode & 0o004) === 0 || info.size > maxSize) return;
  await copyFile(from, to);
  await chmod(to, info.mode & 0o755);
}

/** Ids below are the system's own; people's accounts begin here (login.defs, UID_MIN). */
const firstPersonalId = 1000;
const nobody = 65534;

/** The system's accounts without passwords, real names and people. Pure. */
export function safeIdentity(passwd: string, group: string): { readonly passwd: string; readonly group: string } {
  const ofSystem = (id: string | undefined): boolean => id !== undefined && /^\d+$/.test(id) && (Number(id) < firstPersonalId || Number(id) === nobody);
  const users = passwd.split("\n").flatMap((line) => {
    const [name = "", , uid, gid, , home = "/", shell = ""] = line.split(":");
    return name === "" || !ofSystem(uid) || !ofSystem(gid) ? [] : [{ name, line: `${name}:x:${uid ?? ""}:${gid ?? ""}::${home}:${shell}` }];
  });
  const names = new Set(users.map((user) => user.name));
  const groups = group.split("\n").flatMap((line) => {
    const [name = "", , gid, members = ""] = line.split(":");
    if (name === "" || !ofSystem(gid)) return [];
    return [`${name}:x:${gid ?? ""}:${members.split(",").filter((member) => names.has(member)).join(",")}`];
  });
  const root = users.some((user) => user.name === "root") ? [] : ["root:x:0:0::/root:/bin/sh"];
  const rootGroup = groups.some((line) => line.startsWith("root:")) ? [] : ["root:x:0:"];
  return { passwd: `${[...root, ...users.map((user) => user.line)].join("\n")}\n`, group: `${[...rootGroup, ...groups].join("\n")}\n` };
}
