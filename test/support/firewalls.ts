import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Running } from "./command.ts";
import type { Machine } from "./machine.ts";
import { inMachine } from "./world.ts";

/**
 * The real programs that filter on people's machines, each in the network of a test machine, with its own files: a
 * private mount namespace hides the host's, and a private process namespace takes everything along when it ends.
 */
function daemon(machine: Machine, script: string, env: Readonly<Record<string, string>> = {}): Running {
  return machine.command(["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", script], { env, timeoutMs: 300_000 });
}

async function end(running: Running): Promise<void> {
  running.signal("SIGKILL");
  await running.ended;
}

export class Docker implements AsyncDisposable {
  readonly #machine: Machine;
  readonly #directory: string;
  #daemon: Running | undefined;
  #answers = false;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#directory = join(machine.scratch, "docker");
    mkdirSync(this.#directory, { recursive: true });
  }

  async start(): Promise<void> {
    const at = this.#directory;
    this.#daemon = daemon(
      this.#machine,
      `mount -t tmpfs tmpfs /run; mkdir -p ${at}/etc; if [ -d /etc/docker ]; then mount --bind ${at}/etc /etc/docker; fi
       rm -f ${at}/pid; exec dockerd --data-root ${at}/data --exec-root ${at}/exec --pidfile ${at}/pid --host unix://${at}/socket --storage-driver vfs`,
      { PATH: "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin" },
    );
    await this.#daemon.until("API listen on", 120_000);
    this.#answers = true;
  }

  run(...args: readonly string[]): string {
    return inMachine(this.#machine, ["/usr/bin/docker", "--host", `unix://${this.#directory}/socket`, ...args]).trim();
  }

  /** An image `name` of busybox alone. */
  image(name: string): void {
    const tree = join(this.#directory, "tree");
    mkdirSync(join(tree, "bin"), { recursive: true });
    cpSync("/bin/busybox", join(tree, "bin/busybox"), { dereference: true });
    inMachine(this.#machine, ["sh", "-ec", `tar -C ${tree} -c . | /usr/bin/docker --host unix://${this.#directory}/socket import - ${name}`]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#daemon === undefined) return;
    const stopping = this.#daemon;
    this.#daemon = undefined;
    try {
      const ids = this.#answers ? this.run("ps", "-aq") : "";
      if (ids !== "") this.run("rm", "-f", ...ids.split("\n"));
    } finally {
      await end(stopping);
    }
  }
}

/** ufw with rules of its own; needs no process. */
export class Ufw implements Disposable {
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
    const at = join(machine.scratch, "ufw");
    mkdirSync(join(at, "run"), { recursive: true });
    cpSync("/etc/ufw", join(at, "etc"), { recursive: true });
    cpSync("/etc/default/ufw", join(at, "default"));
    cpSync("/lib/ufw", join(at, "lib"), { recursive: true });
  }

  run(...args: readonly string[]): string {
    const at = join(this.#machine.scratch, "ufw");
    const script = `mount --bind ${at}/etc /etc/ufw; mount --bind ${at}/default /etc/default/ufw; mount --bind ${at}/lib /lib/ufw; mount --bind ${at}/run /run; exec ufw "$@"`;
    return inMachine(this.#machine, ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "ufw", ...args]);
  }

  [Symbol.dispose](): void {
    this.run("disable");
  }
}

export class Firewalld implements AsyncDisposable {
  readonly #machine: Machine;
  readonly #directory: string;
  readonly #bus: string;
  #daemon: Running | undefined;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#directory = join(machine.scratch, "firewalld");
    this.#bus = `unix:path=${this.#directory}/bus`;
    mkdirSync(join(this.#directory, "etc"), { recursive: true });
    writeFileSync(
      join(this.#directory, "bus.conf"),
      `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>${this.#bus}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/><allow receive_type="signal"/><allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/><allow send_requested_reply="true"/></policy></busconfig>
`,
    );
  }

  async start(): Promise<void> {
    const at = this.#directory;
    this.#daemon = daemon(
      this.#machine,
      `mount -t tmpfs tmpfs /run; dbus-daemon --config-file=${at}/bus.conf --nofork --nopidfile &
       exec firewalld --nofork --nopid --system-config ${at}/etc --log-file ${at}/log --debug=2`,
      { DBUS_SYSTEM_BUS_ADDRESS: this.#bus },
    );
    // The last that it says of its start (a second where nobody else is busy).
    await this.#daemon.until("config.GetAll(", 120_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#daemon !== undefined) await end(this.#daemon);
    this.#daemon = undefined;
    inMachine(this.#machine, ["sh", "-c", "nft delete table inet firewalld 2>/dev/null || true"]);
  }
}

/** Watches nftables for the test: `until` resolves when it has told of what matches, from now on. */
export async function watchRules(machine: Machine): Promise<AsyncDisposable & Pick<Running, "until">> {
  const monitor = machine.command(["nft", "monitor"], { timeoutMs: 120_000 });
  const watching = { until: monitor.until.bind(monitor), [Symbol.asyncDispose]: () => end(monitor) };
  // It says nothing when it begins to listen: a table comes and goes until it has said so.
  const mark = 'for (;;) require("child_process").execFileSync("nft", ["add table ip marker; delete table ip marker"])';
  const marking = machine.command([process.execPath, "-e", mark]);
  try {
    await monitor.until("delete table ip marker");
  } finally {
    await end(marking);
  }
  return watching;
}
