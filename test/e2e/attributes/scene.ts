import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { NetworkRecord } from "../../../src/network/index.ts";
import type { OciConfig } from "../../../src/runtime/oci.ts";
import type { Machine } from "../../support/machine.ts";
import type { Recorded } from "../../support/records.ts";

/**
 * A few services with many attributes each, started once, and what has to be seen of each attribute. The table in
 * `src/model/attributes/` calls honoured only what is claimed here.
 */
export interface Scene {
  readonly title: string;
  /** Files of the project; `stack.yaml` or `compose.yaml` is the stack file. */
  readonly files: Readonly<Record<string, string>> | ((machine: Machine) => Readonly<Record<string, string>>);
  /** Default `up -d`. */
  readonly start?: readonly string[];
  readonly before?: (machine: Machine) => Promise<void> | void;
  readonly after?: (machine: Machine) => Promise<void> | void;
  readonly checks: readonly Check[];
}

export interface Check {
  /** As in the table: `services.*.ports.[].target`. */
  readonly of: readonly string[];
  /** What is seen, in a few words: it stands in the documentation. */
  readonly seen: string;
  readonly look: (world: World) => Promise<void> | void;
}

/** Attributes of a service. */
export function service(...names: readonly string[]): readonly string[] {
  return names.map((name) => `services.*.${name}`);
}

/** A stack that runs, looked at from the host: no command is run in a container to read a file of it. */
export class World {
  readonly machine: Machine;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  container(service: string, number = 1): Recorded {
    const found = this.machine.containers.find((c) => c.record.service === service && c.record.number === number && !c.record.oneoff);
    if (found === undefined) throw new Error(`service ${service} has no container ${number}`);
    return found;
  }

  pid(service: string): number {
    const pid = this.container(service).state?.pid ?? 0;
    if (pid === 0) throw new Error(`service ${service} does not run: ${JSON.stringify(this.container(service).state)}`);
    return pid;
  }

  /** The process that the file asks for: the first child of our init, or PID 1 itself without one. */
  main(service: string): number {
    const pid = this.pid(service);
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    return child === undefined || child === "" ? pid : Number(child);
  }

  /** A file as the container sees it. */
  read(service: string, path: string): string {
    return readFileSync(this.path(service, path), "utf8");
  }

  path(service: string, path: string): string {
    return `/proc/${this.pid(service)}/root${path}`;
  }

  list(service: string, path: string): readonly string[] {
    return readdirSync(this.path(service, path)).sort();
  }

  /** A line of /proc/PID/status of the main process. */
  status(service: string, key: string): string {
    const line = readFileSync(`/proc/${this.main(service)}/status`, "utf8").split("\n").find((l) => l.startsWith(`${key}:`));
    return line?.slice(key.length + 1).trim().replace(/\s+/g, " ") ?? "";
  }

  environment(service: string): Readonly<Record<string, string>> {
    const lines = readFileSync(`/proc/${this.main(service)}/environ`, "utf8").split("\0").filter((l) => l !== "");
    return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
  }

  /** File system type, options of the mount and of the file system, for what is mounted at `target`. */
  mount(service: string, target: string): { readonly type: string; readonly options: readonly string[]; readonly fields: string } {
    const line = readFileSync(`/proc/${this.main(service)}/mountinfo`, "utf8").split("\n").filter((l) => l.split(" ")[4] === target).at(-1);
    if (line === undefined) throw new Error(`nothing is mounted on ${target} of ${service}`);
    const [left = "", right = ""] = line.split(" - ");
    const [type = "", , more = ""] = right.split(" ");
    const words = left.split(" ");
    return { type, options: [...(words[5] ?? "").split(","), ...more.split(",")], fields: words.slice(6).join(" ") };
  }

  /** A file of the container's cgroup, by its name in version 1 (below its controller) and in version 2. */
  cgroup(service: string, v1: string, v2: string): string {
    const lines = readFileSync(`/proc/${this.pid(service)}/cgroup`, "utf8").trim().split("\n");
    const controller = v1.slice(0, v1.indexOf("/"));
    const old = lines.map((l) => l.split(":")).find(([, names]) => names?.split(",").includes(controller));
    const path = (old ?? lines.at(-1)?.split(":") ?? []).slice(2).join(":");
    const container = path.slice(0, path.indexOf(this.container(service).id) + this.container(service).id.length);
    return readFileSync(old === undefined ? join("/sys/fs/cgroup", container, v2) : join("/sys/fs/cgroup", controller, container, v1.slice(controller.length + 1)), "utf8").trim();
  }

  /** The record of a network, by its name. */
  network(name: string): NetworkRecord {
    const directory = join(this.machine.root, "networks");
    const found = readdirSync(directory)
      .filter((file) => file.endsWith(".json"))
      .map((file) => JSON.parse(readFileSync(join(directory, file), "utf8")) as NetworkRecord)
      .find((record) => record.name === name);
    if (found === undefined) throw new Error(`no network ${name}`);
    return found;
  }

  config(service: string): OciConfig {
    return JSON.parse(readFileSync(join(this.container(service).directory, "config.json"), "utf8")) as OciConfig;
  }

  async run(service: string, script: string): Promise<string> {
    return (await this.machine.ok("exec", "-T", service, "sh", "-c", script)).trim();
  }

  async logs(service: string): Promise<string> {
    return this.machine.ok("logs", "--no-log-prefix", "--no-color", service);
  }
}
