import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** What of a data root may stay when nothing runs: images, the program's own copies, caches. */
const kept = new Set(["root.json", "blobs", "layers", "images", "bin", "cache", "locks", "volumes", "agent.log"]);

/** Something that a stack left behind, in words that say where to look. */
export type Remains = readonly string[];

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it ended while we looked, or is none of ours
  }
}

function list(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** cgroup directories below every mounted hierarchy whose path has a component `stack`. */
function cgroups(): readonly string[] {
  const found: string[] = [];
  const walk = (directory: string, inside: boolean, depth: number): void => {
    for (const name of list(directory)) {
      const path = join(directory, name);
      let isDirectory = false;
      try {
        isDirectory = statSync(path).isDirectory();
      } catch {
        continue;
      }
      if (!isDirectory) continue;
      const now = inside || name === "stack" || name.startsWith("stack-") || name === "stack.slice";
      if (now) found.push(path);
      if (depth > 0) walk(path, now, depth - 1);
    }
  };
  for (const line of read("/proc/self/mountinfo").split("\n")) {
    const fields = line.split(" ");
    const type = fields[fields.indexOf("-") + 1];
    if (type === "cgroup" || type === "cgroup2") walk(fields[4] ?? "", false, 4);
  }
  return found;
}

/** Looks at everything on the machine that belongs to one data root. */
export class Sweep {
  readonly #root: string;
  readonly #containers = new Set<string>();
  readonly #waiting = new Map<string, () => void>();
  readonly #watcher: FSWatcher;

  /** Call before anything is started: container ids are noted as they come. */
  constructor(root: string) {
    this.#root = root;
    mkdirSync(join(root, "containers"), { recursive: true, mode: 0o700 });
    this.#watcher = watch(join(root, "containers"), (_event, name) => {
      if (name !== null && /^[0-9a-f]{12,64}$/.test(name)) {
        this.#containers.add(name);
        this.#waiting.get(name)?.();
      }
    });
  }

  /** Resolves when the kernel's news of the container `id` has come. */
  noted(id: string): Promise<void> {
    return this.#containers.has(id) ? Promise.resolve() : new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  close(): void {
    this.#watcher.close();
  }

  /** Process ids of agents, monitors and containers of the root. */
  processes(): readonly { readonly pid: number; readonly what: string }[] {
    return list("/proc")
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .flatMap((name) => {
        const at = join("/proc", name);
        const command = read(join(at, "cmdline")).replaceAll("\0", " ").trim();
        const ours =
          command.includes(this.#root) ||
          read(join(at, "environ")).includes(`STACK_ROOT=${this.#root}\0`) ||
          this.#mountsOf(at) ||
          [...this.#containers].some((id) => read(join(at, "cgroup")).includes(id));
        return ours && read(join(at, "status")).includes("VmRSS") ? [{ pid: Number(name), what: command }] : [];
      });
  }

  /** A container's own mount table names files of the root; the host's is looked at by `mounts`. */
  #mountsOf(at: string): boolean {
    const mounts = read(join(at, "mountinfo"));
    return mounts.includes(join(this.#root, "containers")) && mounts !== read("/proc/self/mountinfo");
  }

  /**
   * An agent waits a moment for the next command before it ends, and one that was started for a command that failed
   * ends when it has booted (`src/agent`). The kernel tells nobody but the parent of an end: the one place where
   * tests look again and again, for two seconds at most.
   */
  async untilAgentsEnded(): Promise<void> {
    const agents = () => this.processes().filter((p) => p.what.startsWith("stack-agent ") || p.what.endsWith("/agent.js"));
    for (const deadline = Date.now() + 2000; agents().length > 0 && Date.now() < deadline; ) await delay(20);
  }

  mounts(): readonly string[] {
    return read("/proc/self/mountinfo")
      .split("\n")
      .flatMap((line) => {
        const fields = line.split(" ");
        const target = fields[4] ?? "";
        return target.startsWith(`${this.#root}/`) ? [target] : [];
      });
  }

  /** Those of containers that were seen here: other tests of the machine may have theirs at the same time. */
  #cgroups(): readonly string[] {
    return cgroups().filter((path) => [...this.#containers].some((id) => path.includes(id)));
  }

  /** Links, nftables tables and iptables rules of the namespace that `enter` leads into. */
  #network(enter: readonly string[], expectedLinks: readonly string[]): readonly string[] {
    const [file = "", ...args] = enter;
    const inside = (...command: string[]) => execFileSync(file, [...args, ...command], { encoding: "utf8" });
    const links = (JSON.parse(inside("ip", "-j", "link", "show")) as { ifname: string }[]).map((l) => l.ifname);
    const tables = inside("nft", "list", "tables").split("\n").filter((t) => t !== "");
    const named = list("/run/netns");
    return [
      ...links.filter((l) => !expectedLinks.includes(l)).map((l) => `link ${l}`),
      ...tables.filter((t) => /stack/.test(t)).map((t) => `nftables ${t}`),
      ...named.filter((n) => n.includes("stack")).map((n) => `named network namespace ${n}`),
    ];
  }

  #files(volumesMayStay: boolean): readonly string[] {
    const below = (name: string) => list(join(this.#root, name)).filter((entry) => !/^\.?[a-z]*\.?lock$/.test(entry)).map((entry) => `file ${join(this.#root, name, entry)}`);
    return list(this.#root).flatMap((name) => {
      if (kept.has(name)) return name === "volumes" && !volumesMayStay ? below(name) : [];
      return statSync(join(this.#root, name)).isDirectory() ? below(name) : name.endsWith(".lock") ? [] : [`file ${join(this.#root, name)}`];
    });
  }

  /** Everything that is left. Empty after `down -v`. */
  remains(network: { readonly enter: readonly string[]; readonly links?: readonly string[] }, options: { readonly volumes?: boolean } = {}): Remains {
    return [
      ...this.processes().map((p) => `process ${p.pid}: ${p.what}`),
      ...this.mounts().map((m) => `mount ${m}`),
      ...this.#cgroups().map((c) => `cgroup ${c}`),
      ...this.#network(network.enter, ["lo", ...(network.links ?? [])]),
      ...(existsSync(this.#root) ? this.#files(options.volumes ?? false) : []),
    ];
  }
}
