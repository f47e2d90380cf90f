import { execFileSync } from "node:child_process";
import { closeSync, openSync, readFileSync, readSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";

// What the kernel says of one data root. None of the product's records is read here, and none of its code used.

export interface ProcessFact {
  readonly pid: number;
  readonly what: "agent" | "monitor" | "forks" | "container" | "command" | "unknown";
  /** Of the container: 64 hexadecimal digits. */
  readonly id: string;
  /** In its innermost pid namespace. */
  readonly innerPid: number;
  /** Of the workload in a container, by its environment; "" for any other process. */
  readonly service: string;
  readonly version: string;
  readonly command: string;
  readonly pidNamespace: string;
}

export interface NetworkFact {
  readonly links: readonly string[];
  /** `172.17.0.2/16` with the link's name. */
  readonly addresses: readonly { readonly link: string; readonly address: string }[];
  /** Names of nftables tables, and the elements of their maps, `tcp 8060 → 172.17.0.2 80`. */
  readonly tables: readonly string[];
  readonly elements: readonly string[];
}

export interface Facts {
  readonly processes: readonly ProcessFact[];
  /** Locks (flock) on files of the root, with who holds or awaits them. */
  readonly locks: readonly { readonly pid: number; readonly path: string; readonly waits: boolean }[];
  readonly mounts: readonly string[];
  /** Ids of containers that have a control group, per hierarchy; "" is a directory that belongs to no container. */
  readonly cgroups: readonly { readonly path: string; readonly id: string }[];
  readonly host: NetworkFact;
  /** Undefined: there is none. */
  readonly router: NetworkFact | undefined;
  readonly listening: readonly number[];
  /** Addresses inside the containers' own network namespaces, of every pid 1. */
  readonly inside: readonly { readonly id: string; readonly addresses: readonly string[] }[];
  /** Paths below the root, without the stores of images and programs. */
  readonly files: readonly string[];
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it ended while we looked
  }
}

function list(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/** Reads the kernel again and again; remembers which control groups were the root's, so that none is forgotten. */
export class Kernel {
  readonly #root: string;
  readonly #marker: string;
  readonly #keys = new Set<string>();
  readonly #ids = new Set<string>();

  /** `marker`: `NAME=VALUE` in the environment of every process of the containers. */
  constructor(root: string, marker: string) {
    this.#root = root;
    this.#marker = marker;
  }

  look(): Facts {
    const processes = this.#processes();
    const router = this.#router();
    return {
      processes,
      locks: this.#locks(),
      mounts: this.#mounts(),
      cgroups: this.#cgroups(),
      host: network([]),
      router,
      listening: listening(),
      inside: processes.filter((p) => p.what === "container" && p.innerPid === 1).map(({ pid, id }) => ({ id, addresses: localAddresses(pid) })),
      files: this.#files(this.#root, ""),
    };
  }

  #processes(): readonly ProcessFact[] {
    const found: ProcessFact[] = [];
    for (const name of list("/proc")) {
      if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
      const at = join("/proc", name);
      const status = read(join(at, "status"));
      if (!status.includes("VmRSS")) continue; // a kernel thread, a zombie, or gone
      const command = read(join(at, "cmdline")).replaceAll("\0", " ").trim();
      const environment = read(join(at, "environ"));
      const cgroup = read(join(at, "cgroup"));
      const marked = environment.includes(`${this.#marker}\0`);
      const [, key = "", id = ""] = /\/stack\/([^/\n]+)\/([0-9a-f]{64})/.exec(cgroup) ?? [];
      if (marked && key !== "") this.#keys.add(key);
      const inOurs = key !== "" && this.#keys.has(key);
      if (inOurs) this.#ids.add(id);
      const [, monitorOf = ""] = /^stack-runtime monitor .*\/containers\/([0-9a-f]{64})/.exec(command) ?? [];
      const isMonitor = monitorOf !== "" && command.includes(`${this.#root}/`);
      const isForks = command.startsWith("stack-runtime fork-server ") && command.includes(`${this.#root}/`);
      const isAgent = environment.includes(`STACK_ROOT=${this.#root}\0`) && (command.startsWith("stack-agent ") || command.includes("/agent.js"));
      const isOurs = marked || inOurs || isMonitor || isAgent || command.includes(`${this.#root}/`) || environment.includes(`STACK_ROOT=${this.#root}\0`) || this.#sees(at);
      if (!isOurs) continue;
      const inner = Number(/^NSpid:.*?(\d+)$/m.exec(status)?.[1] ?? "0");
      found.push({
        pid: Number(name),
        what: isAgent ? "agent" : inOurs || marked ? "container" : isMonitor ? "monitor" : isForks ? "forks" : environment.includes(`STACK_ROOT=${this.#root}\0`) ? "command" : "unknown",
        id: inOurs ? id : monitorOf,
        innerPid: inner,
        service: marked ? (/CHAOS_SERVICE=([^\0]*)/.exec(environment)?.[1] ?? "") : "",
        version: marked ? (/CHAOS_VERSION=([^\0]*)/.exec(environment)?.[1] ?? "") : "",
        command,
        pidNamespace: linkOf(join(at, "ns/pid")),
      });
    }
    return found;
  }

  /** A mount table of its own that names files of containers: somebody on the way into a container. */
  #sees(at: string): boolean {
    if (linkOf(join(at, "ns/mnt")) === linkOf("/proc/self/ns/mnt")) return false;
    return read(join(at, "mountinfo")).includes(`${this.#root}/containers`);
  }

  #locks(): Facts["locks"] {
    const inodes = new Map<string, string>();
    const walk = (directory: string, depth: number): void => {
      for (const name of list(directory)) {
        const path = join(directory, name);
        try {
          const status = statSync(path);
          if (status.isDirectory()) {
            if (depth > 0) walk(path, depth - 1);
          } else if (status.isFile()) inodes.set(String(status.ino), path.slice(this.#root.length + 1));
        } catch {
          continue;
        }
      }
    };
    walk(this.#root, 2);
    const { dev } = statSync(this.#root);
    const device = `${hex(Math.floor(dev / 256))}:${hex(dev % 256)}`;
    return read("/proc/locks")
      .split("\n")
      .flatMap((line) => {
        const found = /^\d+: (-> )?FLOCK\s+\S+\s+\S+\s+(-?\d+) (\w+:\w+):(\d+) /.exec(line);
        const path = found?.[3] === device ? inodes.get(found[4] ?? "") : undefined;
        return found === null || path === undefined ? [] : [{ pid: Number(found[2]), path, waits: found[1] !== undefined }];
      });
  }

  #mounts(): readonly string[] {
    return read("/proc/self/mountinfo")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((target) => target.startsWith(`${this.#root}/`))
      .map((target) => target.slice(this.#root.length + 1));
  }

  #cgroups(): Facts["cgroups"] {
    const found: { path: string; id: string }[] = [];
    for (const line of read("/proc/self/mountinfo").split("\n")) {
      const fields = line.split(" ");
      const type = fields[fields.indexOf("-") + 1];
      if (type !== "cgroup" && type !== "cgroup2") continue;
      const stack = join(fields[4] ?? "", "stack");
      for (const key of list(stack)) {
        if (!this.#keys.has(key)) continue;
        found.push({ path: join(stack, key), id: "" });
        for (const name of list(join(stack, key))) if (/^[0-9a-f]{64}$/.test(name)) found.push({ path: join(stack, key, name), id: name });
      }
    }
    return found;
  }

  #router(): NetworkFact | undefined {
    const pin = join(this.#root, "netns/router");
    if (!this.#mounts().includes("netns/router")) return undefined;
    return network(["nsenter", `--net=${pin}`]);
  }

  #files(directory: string, below: string): readonly string[] {
    const kept = below === "" ? ["blobs", "layers", "images", "bin", "cache", "locks"] : [];
    return list(directory).flatMap((name) => {
      if (kept.includes(name)) return [];
      const path = join(directory, name);
      const shown = below === "" ? name : `${below}/${name}`;
      let isDirectory = false;
      try {
        isDirectory = statSync(path).isDirectory();
      } catch {
        return [];
      }
      const deep = isDirectory && !/^(upper|work|_data|log|fifo|files)$/.test(name) && !shown.startsWith("tmp/");
      return [shown, ...(deep ? this.#files(path, shown) : [])];
    });
  }
}

const hex = (number: number): string => number.toString(16).padStart(2, "0");

function output(argv: readonly string[]): string {
  const [file = "", ...args] = argv;
  try {
    return execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 24 });
  } catch (error) {
    if (argv[0] === "nsenter") return ""; // the pin went while we looked
    throw error;
  }
}

function network(enter: readonly string[]): NetworkFact {
  const addressed = JSON.parse(output([...enter, "ip", "-j", "address", "show"]) || "[]") as { ifname: string; addr_info: { local: string; prefixlen: number; scope: string }[] }[];
  const rules = (JSON.parse(output([...enter, "nft", "-j", "list", "ruleset"]) || '{"nftables":[]}') as { nftables: Record<string, { name?: string; family?: string; elem?: unknown[] }>[] }).nftables;
  return {
    links: addressed.map((link) => link.ifname),
    addresses: addressed.flatMap((link) => link.addr_info.filter((a) => a.scope === "global" || a.scope === "link").map((a) => ({ link: link.ifname, address: `${a.local}/${a.prefixlen}` }))),
    tables: rules.flatMap(({ table }) => (table === undefined ? [] : [`${table.family ?? ""} ${table.name ?? ""}`])),
    elements: rules.flatMap(({ map }) => (map?.elem ?? []).map((element) => (Array.isArray(element) ? element.map(concatenated).join(" → ") : concatenated(element)))),
  };
}

function concatenated(value: unknown): string {
  if (typeof value === "object" && value !== null && "concat" in value && Array.isArray(value.concat)) return value.concat.map(String).join(" ");
  return String(value);
}

/** TCP ports of this network namespace that somebody listens on. */
function listening(): readonly number[] {
  return [...read("/proc/self/net/tcp").split("\n"), ...read("/proc/self/net/tcp6").split("\n")].flatMap((line) => {
    const [, local = "", , state = ""] = line.trim().split(/\s+/);
    return state === "0A" ? [Number.parseInt(local.split(":")[1] ?? "0", 16)] : [];
  });
}

/** From the routing table: addresses of the namespace's own, but not those of `lo`. */
function localAddresses(pid: number): readonly string[] {
  const lines = read(`/proc/${pid}/net/fib_trie`).split("\n");
  const found = new Set<string>();
  lines.forEach((line, at) => {
    if (!line.includes("/32 host LOCAL")) return;
    const [, address = ""] = /\|-- (\S+)/.exec(lines[at - 1] ?? "") ?? [];
    if (!address.startsWith("127.")) found.add(address);
  });
  return [...found];
}

/** The book that a workload keeps (workload.c). */
export interface Book {
  readonly run: string;
  readonly written: number;
  readonly ended: boolean;
  readonly code: number;
}

export function readBook(path: string): Book {
  const bytes = Buffer.alloc(52);
  const fd = openSync(path, "r");
  readSync(fd, bytes, 0, bytes.length, 0);
  closeSync(fd);
  const end = bytes.indexOf(0);
  return { run: bytes.toString("utf8", 0, end < 0 || end > 40 ? 40 : end), written: bytes.readUInt32LE(40), ended: bytes.readUInt32LE(44) === 1, code: bytes.readUInt32LE(48) };
}
