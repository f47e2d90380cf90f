import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { input, service } from "../../../src/runtime/fixtures.ts";
import type { HostPath } from "../../../src/core/index.ts";
import type { ContainerState, NativeFailure, NetworkSpec } from "../../../src/runtime/formats.ts";
import { inspectHost, toOciConfig } from "../../../src/runtime/index.ts";
import type { ServiceInput } from "../../../src/runtime/index.ts";
import { alive, MonitorWorld } from "../../integration/monitor/container.ts";
import type { ContainerOptions, Started, TestContainer } from "../../integration/monitor/container.ts";
import { NetworkNamespace } from "../namespace.ts";
import type { Fault, Injector, Report } from "./injector.ts";

/** The monitor, after its two forks; who it starts comes below. */
export const MONITOR = "0.0.0";
export const INIT = "0.0.0.0";

/**
 * What a container can see of itself: every fact that the create path is to bring about. Said at once, which takes few
 * calls. A container that starts although a call has failed has to say the same as one that started undisturbed.
 */
const facts = `{
echo "args $*"; pwd; umask; id; hostname
while read -r l; do case $l in Umask*|Uid*|Gid*|Groups*|NoNew*|Seccomp*|Cap*|Sig*) echo "$l";; esac; done < /proc/self/status
cat /proc/self/environ /proc/self/limits /proc/self/oom_score_adj /proc/self/cgroup /proc/self/mountinfo /proc/self/stat /proc/net/dev /proc/net/route /proc/net/udp /proc/net/tcp
readlink /proc/self/ns/pid /proc/self/ns/mnt /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/uts /proc/self/ns/cgroup /proc/self/ns/user
ls -ln /dev /dev/pts /dev/shm; ls -l /proc/$$/fd
cd /sys/fs/cgroup; head -n 50 memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us cpu/cpu.shares cpuset/cpuset.cpus devices/devices.list freezer/freezer.state memory.max memory.swap.max pids.max cpu.max cpu.weight cpuset.cpus /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range
cd /; ls -lnR /data /readonly /tmp; ls -dln /scratch; cat /data/seed; touch /readonly/new
while read -r l; do case $l in Name*|Uid*|NoNew*|Seccomp*|Cap*|SigI*) echo "$l";; esac; done < /proc/1/status
read -r line || echo "end of input"
} > /scratch/facts 2>&1
cat /scratch/facts
exit 7`;

export interface Outcome {
  /** Undefined: the status descriptor was closed without a word. */
  readonly status: Started | undefined;
  readonly report: Report;
  /** The monitor has died, as if killed, and another one was started in its place. */
  readonly died: boolean;
  readonly exit: number | string;
  readonly state: ContainerState | undefined;
  readonly events: readonly string[];
  /** What the container said, with all that differs from run to run replaced. */
  readonly facts: string;
  /** What `act` was answered. */
  readonly answers: unknown;
  /** Files of the container's directory. */
  readonly files: readonly string[];
  /** What else is there and should not. */
  readonly remains: readonly string[];
}

export interface Scene {
  readonly name: string;
  readonly service?: Partial<ServiceInput>;
  readonly spec?: ContainerOptions["spec"];
  /** Instead of the script that tells all facts. */
  readonly args?: readonly string[];
  /** What is done with it once it runs; it has to end in the course of it. */
  readonly act?: (container: TestContainer) => Promise<unknown>;
}

/** A network namespace as host, one as router, and a data root. */
export class Stage {
  readonly injector: Injector;
  readonly #world = new MonitorWorld();
  readonly #host: NetworkNamespace;
  readonly #router: NetworkNamespace;
  readonly #facts;
  readonly #volume: string;

  private constructor(injector: Injector, host: NetworkNamespace, router: NetworkNamespace, facts: Awaited<ReturnType<typeof inspectHost>>) {
    this.injector = injector;
    this.#host = host;
    this.#router = router;
    this.#facts = facts;
    this.#volume = join(this.#world.root, "volume");
    mkdirSync(this.#volume);
    mkdirSync(join(this.#world.rootfs, "data"));
    writeFileSync(join(this.#world.rootfs, "data/seed"), "from the image\n");
    for (const applet of ["hostname"]) cpSync("/bin/busybox", join(this.#world.rootfs, "bin", applet));
  }

  static async open(injector: Injector): Promise<Stage> {
    const [host, router] = await Promise.all([NetworkNamespace.open(), NetworkNamespace.open()]);
    const [file = "", ...args] = router.enter;
    for (const command of ["link add br0 type bridge", "address add 10.99.0.1/24 dev br0", "link set br0 up"]) execFileSync(file, [...args, "ip", ...command.split(" ")]);
    return new Stage(injector, host, router, await inspectHost(service()));
  }

  #network(): NetworkSpec {
    return {
      mode: "private",
      router: `/proc/${this.#router.pid}/ns/net`,
      interfaces: [{ name: "eth0", peer: "v2", bridge: "br0", mac: "02:42:0a:63:00:02", addresses: ["10.99.0.2/24"], gateway4: "10.99.0.1", mtu: 1400 }],
      dns: true,
      ports: [{ hostIp: "", hostPort: 8080, containerPort: 80, protocol: "tcp" }],
      address4: "10.99.0.2",
    };
  }

  #container(scene: Scene): TestContainer {
    const container = this.#world.container({
      args: [],
      enter: this.#host.enter,
      spec: { network: this.#network(), populate: [{ target: "/data", source: this.#volume }], ...scene.spec },
    });
    const bind = { type: "bind", propagation: "rprivate" } as const;
    const config = toOciConfig(
      input(
        { entrypoint: [], command: scene.args ?? ["sh", "-c", facts, "sh", "one"], working_dir: "/work", hostname: "subject", user: "web", limits: { mem_limit: 64 << 20, pids: 50, cpus: 0.5, cpu_shares: 512 }, ulimits: { nofile: { soft: 100, hard: 200 } }, oom_score_adj: 100, ...scene.service },
        {
          id: container.id as never,
          user: { uid: 1000, gid: 1000, additionalGids: [1000, 50] },
          project: "faults",
          host: this.#facts,
          mounts: [
            { ...bind, target: "/data", source: this.#volume as HostPath, readOnly: false },
            { ...bind, target: "/readonly", source: this.#volume as HostPath, readOnly: true },
            { type: "tmpfs", target: "/scratch", options: ["size=1m"] },
          ],
        },
      ),
    );
    container.write("config.json", { ...config, linux: { ...config.linux, cgroupsPath: `${this.#world.cgroup}/${container.id}` } });
    return container;
  }

  /** One whole life of a container, perhaps with a fault in it. */
  async run(scene: Scene, how: { readonly fault?: Fault; readonly list?: boolean; readonly limitMs?: number } = {}): Promise<Outcome> {
    const container = this.#container(scene);
    const { prefix, read } = this.injector.command({ ...how, hide: [container.id, this.#world.root, this.#world.cgroup], lead: MONITOR, limitMs: how.limitMs ?? 15_000 });
    container.under = prefix;
    for (const name of readdirSync(this.#volume)) execFileSync("rm", ["-rf", join(this.#volume, name)]);
    const status = await container.start().catch(() => undefined);
    const answers = status?.ok === true && scene.act !== undefined ? await scene.act(container).catch((error: unknown) => error) : undefined;
    const exit = await container.ended;
    const report = read();
    const died = /^(1[2-9]\d|\d{3})$/.test(report.gone.get(MONITOR) ?? "") && existsSync(join(container.directory, "state.json")) && status !== undefined && container.state.status !== "exited";
    if (died) {
      // As when a monitor was killed: the next one takes over, and has to bring all to an end.
      container.under = [];
      await container.start("--adopt").catch(() => undefined);
      if (alive(container.state.monitorPid)) await container.request("stop", { graceMs: 0 }).catch(() => undefined);
    }
    const outcome: Outcome = {
      status,
      report,
      died,
      exit,
      state: existsSync(join(container.directory, "state.json")) ? container.state : undefined,
      events: container.eventTypes(),
      facts: this.#normalise(container, container.text()),
      answers,
      files: readdirSync(container.directory, { recursive: true })
        .map(String)
        .filter((name) => !/^(upper|work)/.test(name))
        .sort(),
      remains: [...this.#cgroups(container), ...(await this.#links()), ...this.#mounts()],
    };
    execFileSync("rm", ["-rf", container.directory]);
    for (const left of this.#cgroups(container)) execFileSync("find", [left.slice("cgroup ".length), "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
    return outcome;
  }

  #cgroups(container: TestContainer): readonly string[] {
    return ["", ...readdirSync("/sys/fs/cgroup")].map((hierarchy) => join("/sys/fs/cgroup", hierarchy, this.#world.cgroup, container.id)).filter((path) => existsSync(path)).map((path) => `cgroup ${path}`);
  }

  /**
   * A network namespace that nobody holds any more is taken down by the kernel a moment later, its links with it, and the
   * kernel tells nobody: they are looked for again, for two seconds at most.
   */
  async #links(): Promise<readonly string[]> {
    for (const deadline = Date.now() + 2000; ; await delay(20)) {
      const found = [this.#host, this.#router].flatMap((namespace) => {
        const lines = readFileSync(`/proc/${namespace.pid}/net/dev`, "utf8").split("\n").slice(2);
        return lines.map((line) => line.split(":")[0]?.trim() ?? "").filter((name) => name !== "" && name !== "lo" && name !== "br0");
      });
      if (found.length === 0 || Date.now() > deadline) return found.map((name) => `link ${name}`);
    }
  }

  #mounts(): readonly string[] {
    return readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter((line) => line.includes(this.#world.root)).map((line) => `mount ${line}`);
  }

  #normalise(container: TestContainer, text: string): string {
    const spaces = new Map(["pid", "mnt", "net", "ipc", "uts", "cgroup", "user"].map((name) => [name, readlinkSync(`/proc/self/ns/${name}`)]));
    return text
      .replaceAll(container.id, "ID")
      .replaceAll(this.#world.root, "ROOT")
      .replaceAll(this.#world.cgroup, "CGROUP")
      .replace(/^((\w+):\[\d+\])$/gm, (_, link: string, name: string) => `${name} ${spaces.get(name) === link ? "of the host" : "of its own"}`)
      .replace(/^\d+ \d+ \d+:\d+ /gm, "MOUNT ") // mountinfo
      .replace(/^(\d+) \((\w+)\) \S+ (\d+ \d+ \d+ \d+) .*$/gm, "stat $2 $3")
      .replace(/\b(pipe|socket|anon_inode|eventpoll):\[?\S+\]?/g, "$1")
      .replace(/\b(\w{3} +\d+ \d\d:\d\d)\b/g, "TIME")
      .replace(/^SigQ:.*$/gm, "")
      .replace(/^ *\d+: (\w+):(?!0035)\w{4}(.*?) +\d+ +\d+ +\w{16} .*$/gm, "$1:PORT$2") // /proc/net/tcp
      .replace(/^(\s*(?:lo|eth0):).*$/gm, "$1");
  }

  async close(): Promise<void> {
    await this.#world.dispose();
    await Promise.all([this.#host.close(), this.#router.close()]);
  }
}

export function failureOf(outcome: Outcome): NativeFailure | undefined {
  return outcome.status?.ok === false ? outcome.status.error : undefined;
}
