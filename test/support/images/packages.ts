import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

/**
 * Root file systems from Debian (or Ubuntu) packages without installing anything: apt resolves against an empty
 * machine and downloads, dpkg-deb unpacks. Maintainer scripts do not run; what images need of them (users,
 * configuration) is written by `fixtures.ts`.
 */
export class PackageCache {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    for (const name of ["archives", "none"]) mkdirSync(join(directory, name, "partial"), { recursive: true });
    writeFileSync(join(directory, "status"), "");
  }

  #apt(archives: string, ...args: string[]): string {
    const options = [
      `Dir::State::status=${this.#directory}/status`,
      `Dir::Cache::archives=${this.#directory}/${archives}`,
      "APT::Install-Recommends=0",
      "APT::Sandbox::User=root",
      "Debug::NoLocking=1",
    ].flatMap((o) => ["-o", o]);
    return execFileSync("apt-get", ["-qq", "-y", ...options, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 });
  }

  /** Archive files of the packages and everything that they depend on, downloaded if they are not here yet. */
  closure(packages: readonly string[]): readonly string[] {
    // apt does not print what lies in its cache already, so it is asked with an empty one.
    const list = () => this.#apt("none", "install", "--print-uris", ...packages);
    let uris: string;
    try {
      uris = list();
    } catch {
      execFileSync("apt-get", ["update", "-qq"], { stdio: "pipe" }); // a fresh machine has no package lists
      uris = list();
    }
    const wanted = uris.split("\n").flatMap((line) => /^'\S+' (\S+\.deb) /.exec(line)?.[1] ?? []);
    if (wanted.length === 0) throw new Error(`apt found nothing for ${packages.join(" ")}`);
    const present = new Set(readdirSync(join(this.#directory, "archives")));
    if (wanted.some((name) => !present.has(name))) this.#apt("archives", "install", "--download-only", ...packages);
    return wanted.map((name) => join(this.#directory, "archives", name));
  }
}

/** `/bin`, `/lib` … are links on a current system, but packages still bring files below them. */
export const mergedDirectories = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

export function unpackPackages(archives: readonly string[], into: string): void {
  mkdirSync(into, { recursive: true });
  for (const name of mergedDirectories) {
    mkdirSync(join(into, "usr", name), { recursive: true });
    symlinkSync(`usr/${name}`, join(into, name));
  }
  for (const archive of archives) {
    try {
      execFileSync("bash", ["-o", "pipefail", "-c", 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --keep-directory-symlink --numeric-owner', "unpack", archive, into], { stdio: ["ignore", "pipe", "pipe"] });
    } catch (error) {
      throw new Error(`cannot unpack ${basename(archive)}`, { cause: error });
    }
  }
}
