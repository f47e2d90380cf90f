import { mkdirSync, readFileSync, readdirSync, readlinkSync, symlinkSync, writeFileSync, chmodSync, existsSync } from "node:fs";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OciWorld, bind, grant, runtimeBinary, set } from "./oci/bundle.ts";
import type { Change } from "./oci/bundle.ts";

/**
 * What the conformance suites of other runtimes look at and our own tests did not (`npm run test:oci` runs those suites
 * themselves): each case here is one that they found.
 */

let world: OciWorld;
beforeAll(() => {
  world = new OciWorld();
});
afterAll(() => world.close());

const mountsBelow = (path: string) => readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter((line) => line.includes(` ${path}`));
const withoutMounts: Change = (c) => {
  c.linux.namespaces = c.linux.namespaces.filter((n) => n.type !== "mount");
  c.linux.maskedPaths = c.linux.readonlyPaths = [];
};

describe("a container without a mount namespace of its own", () => {
  it("lives in the runtime's, sees its own root, can be executed into, and leaves no mount", () => {
    const id = world.sleeping(withoutMounts);
    const { pid, bundle } = world.state(id);
    expect(readlinkSync(`/proc/${pid}/ns/mnt`)).toBe(readlinkSync("/proc/self/ns/mnt"));
    expect(mountsBelow(join(bundle, "rootfs")).length).toBeGreaterThan(3);
    writeFileSync(join(bundle, "rootfs/mark"), "here");
    expect(world.call(["exec", id, "cat", "/mark"])).toMatchObject({ code: 0, stdout: "here" });
    expect(world.call(["delete", "--force", id]).code).toBe(0);
    expect(mountsBelow(bundle)).toEqual([]);
  });

  it("leaves none either when it cannot be made", () => {
    const bundle = world.bundle((c) => {
      withoutMounts(c);
      c.process.args = ["/no/such/program"];
    });
    expect(world.call(["run", "-b", bundle, "failing"]).code).toBe(127);
    expect(mountsBelow(bundle)).toEqual([]);
  });

  it("may be given that of another process", () => {
    const other = spawn("unshare", ["--mount", "--propagation", "private", "sleep", "1000"], { stdio: "ignore" });
    try {
      const space = `/proc/${other.pid ?? 0}/ns/mnt`;
      while (readlinkSync(space) === readlinkSync("/proc/self/ns/mnt")) spawnSync("true");
      const id = world.sleeping((c) => {
        withoutMounts(c);
        c.linux.namespaces.push({ type: "mount", path: space });
      });
      const { pid, bundle } = world.state(id);
      expect(readlinkSync(`/proc/${pid}/ns/mnt`)).toBe(readlinkSync(space));
      expect(mountsBelow(bundle)).toEqual([]);
      const inThere = () => spawnSync("nsenter", [`--mount=${space}`, "cat", "/proc/self/mountinfo"], { encoding: "utf8" }).stdout;
      expect(inThere()).toContain(bundle);
      expect(world.call(["exec", id, "test", "-e", "/bin/probe"]).code).toBe(0);
      expect(world.call(["delete", "--force", id]).code).toBe(0);
      expect(inThere()).not.toContain(bundle);
    } finally {
      other.kill("SIGKILL");
    }
  });

  it("has no user namespace of its own: that is refused by name", () => {
    const out = world.run(["true"], (c) => {
      withoutMounts(c);
      c.linux.namespaces.push({ type: "user" });
      c.linux.uidMappings = c.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
    });
    expect(out).toMatchObject({ code: 1, stderr: expect.stringContaining("mount namespace") });
  });
});

describe("the environment", () => {
  const passwd = (bundle: string) => writeFileSync(join(bundle, "rootfs/etc/passwd"), "root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n");
  const home = (change: Change) => {
    const bundle = world.bundle((c) => ((c.process.args = ["sh", "-c", "echo $HOME"]), change(c)));
    passwd(bundle);
    return world.call(["run", "-b", bundle, "home"]).stdout.trim();
  };

  it("has HOME from the container's own passwd where it is missing or empty", () => {
    expect(home(set("process.user", { uid: 1000, gid: 1000 }))).toBe("/home/u");
    expect(home((c) => c.process.env.push("HOME="))).toBe("/root");
    expect(home((c) => c.process.env.push("HOME=/mine"))).toBe("/mine");
    expect(home(set("process.user", { uid: 4242, gid: 0 }))).toBe("/");
  });

  it("has it for a further process of another user too", () => {
    const id = world.sleeping();
    passwd(world.state(id).bundle);
    expect(world.call(["exec", "--user", "1000", id, "sh", "-c", "echo $HOME"]).stdout).toBe("/home/u\n");
  });

  it("is not held up by a passwd that is a FIFO, a link out, or endless", () => {
    for (const make of ["mkfifo", "ln -s /etc/passwd", "ln -s /dev/zero"]) {
      const bundle = world.bundle((c) => ((c.process.args = ["sh", "-c", "echo $HOME"]), set("process.user", { uid: 1000, gid: 1000 })(c)));
      spawnSync("sh", ["-c", `${make} ${join(bundle, "rootfs/etc/passwd")}`]);
      expect(world.call(["run", "-b", bundle, "home"])).toMatchObject({ code: 0, stdout: "/\n" });
    }
  });

  it("has each variable once, with its last value", () => {
    const out = world.run(["env"], (c) => (c.process.env = ["A=1", "PATH=/none", "B=2", "A=3", "PATH=/bin", "HOME=/"]));
    expect(out.stdout.split("\n").filter((line) => line !== "")).toEqual(["B=2", "A=3", "PATH=/bin", "HOME=/"]);
  });
});

describe("a container that shares the processes' namespace", () => {
  const shared: Change = (c) => {
    c.linux.namespaces = c.linux.namespaces.filter((n) => n.type !== "pid");
    c.process.args = ["sh", "-c", "sleep 1000 & sleep 1000 & echo ready > /ready; wait"];
  };
  const members = (id: string) => (JSON.parse(world.call(["ps", "--format", "json", id]).stdout) as number[]).filter((pid) => existsSync(`/proc/${pid}`));
  const started = () => {
    const bundle = world.bundle(shared);
    const id = bundle.split("/").at(-1) ?? "";
    expect(world.leave(["run", "--detach", "-b", bundle, id]).code).toBe(0);
    while (members(id).length < 3) if (world.state(id).status === "stopped") throw new Error("ended");
    return id;
  };

  it("ends as a whole by SIGKILL", () => {
    const id = started();
    expect(world.call(["kill", id, "KILL"]).code).toBe(0);
    while (members(id).length > 0) spawnSync("true");
    expect(world.call(["kill", id, "KILL"])).toMatchObject({ code: 1, stderr: expect.stringContaining("container not running") });
    expect(world.call(["delete", id]).code).toBe(0);
  });

  it("can be killed and deleted when its first process is gone and others are not", () => {
    const id = started();
    process.kill(world.state(id).pid, "SIGKILL");
    while (world.state(id).status !== "stopped") spawnSync("true");
    expect(members(id).length).toBeGreaterThan(0);
    expect(world.call(["kill", id, "KILL"]).code).toBe(0);
    while (members(id).length > 0) spawnSync("true");
    expect(world.call(["delete", id]).code).toBe(0);
  });
});

describe("the startContainer hook", () => {
  it("has no more rights than the container's process, whatever the image put in its place", () => {
    const bundle = world.bundle((c) => {
      c.process.args = ["cat", "/seen"];
      c.process.user = { uid: 0, gid: 7 };
      c.process.env.push("OF_THE_PROCESS=yes");
      c.hooks = { startContainer: [{ path: "/hook" }] };
    });
    writeFileSync(join(bundle, "rootfs/hook"), "#!/bin/sh\n(grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; id -g; echo $OF_THE_PROCESS) > /seen\n");
    chmodSync(join(bundle, "rootfs/hook"), 0o755);
    const hook = world.call(["run", "-b", bundle, "hook"]);
    const process_ = world.run(["grep", "-E", "CapEff|CapBnd|NoNewPrivs", "/proc/self/status"], set("process.user", { uid: 0, gid: 7 }));
    expect(hook.stdout).toBe(`${process_.stdout}7\nyes\n`);
  });

  it("is under the container's seccomp filter", () => {
    const out = world.run(["true"], (c) => {
      c.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }] };
      c.hooks = { startContainer: [{ path: "/bin/mkdir", args: ["mkdir", "/made-by-hook"] }] };
    });
    expect(out).toMatchObject({ code: 1, stderr: expect.stringContaining("startContainer hook #0") });
    expect(out.stderr).toContain("Operation not permitted");
  });
});

describe("hooks of the runtime", () => {
  it("find the mounts done, and what they mount below the root's path in the container is there", () => {
    const bundle = world.bundle((c) => {
      c.process.args = ["sh", "-c", "cat /seen; cat /by-hook/mark"];
      const enter = 'pid=$(sed -n "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/p"); exec nsenter -t $pid -m sh -c';
      const script = (root: string) => `mkdir -p ${root}/by-hook && mount -t tmpfs none ${root}/by-hook && echo by-hook > ${root}/by-hook/mark && grep -c " ${root}/" /proc/self/mountinfo > ${root}/seen`;
      c.hooks = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", `${enter} '${script("$0")}' ${join(world.directory, "hooked/rootfs")}`], env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] }] };
    });
    spawnSync("mv", [bundle, join(world.directory, "hooked")]);
    const out = world.call(["run", "-b", join(world.directory, "hooked"), "hooked"]);
    expect(out).toMatchObject({ code: 0, stderr: "" });
    const [mounts, mark] = out.stdout.split("\n");
    expect(Number(mounts)).toBeGreaterThan(5);
    expect(mark).toBe("by-hook");
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain("by-hook");
  });

  it("of createContainer run in the root to be", () => {
    const bundle = world.bundle((c) => {
      c.process.args = ["cat", "/made"];
      c.hooks = { createContainer: [{ path: "/bin/sh", args: ["sh", "-c", "echo made > ./made"] }] };
    });
    expect(world.call(["run", "-b", bundle, "in-root"])).toMatchObject({ code: 0, stdout: "made\n" });
  });
});

describe("hooks that fail", () => {
  it("say which they were and what they wrote", () => {
    const fails = { path: "/bin/sh", args: ["sh", "-c", "echo out; echo the reason >&2; exit 3"] };
    const out = world.run(["true"], (c) => (c.hooks = { createRuntime: [{ path: "/bin/true" }, fails] }));
    expect(out.stderr).toMatch(/error running createRuntime hook #1: .*ended with status 3.*\n?out\nthe reason/);
  });

  it("are not waited for by what they left in the background", () => {
    const out = world.run(["true"], (c) => (c.hooks = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", "sleep 300 & echo $! > " + world.directory + "/background"] }] }));
    process.kill(Number(readFileSync(join(world.directory, "background"), "utf8")), "SIGKILL");
    expect(out.code).toBe(0);
  });
});

describe("mounts", () => {
  it("are listed in the order of the configuration, whatever their kind and propagation", () => {
    const bundle = world.bundle((c) => {
      c.process.args = ["cat", "/proc/self/mountinfo"];
      c.mounts.push({ destination: "/m/1", type: "tmpfs", source: "tmpfs" }, bind("/etc", "/m/2", "shared"), { destination: "/m/3", type: "tmpfs", source: "tmpfs" }, bind("/etc/hostname", "/m/4", "ro"), bind("/usr", "/m/5", "rslave"), bind("/etc", "/m/6", "unbindable"), { destination: "/m/7", type: "tmpfs", source: "tmpfs" });
    });
    const lines = world.call(["run", "-b", bundle, "order"]).stdout.split("\n").filter((line) => / \/m\/\d /.test(line));
    expect(lines.map((line) => line.split(" ")[4])).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => `/m/${n}`));
    expect(lines[1]).toMatch(/ shared:\d+ /);
    expect(lines[3]).toMatch(/ \/m\/4 ro,/);
    expect(lines[5]).toContain(" unbindable ");
    // What they were copied from is gone with the old root, and was never seen on the host.
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(bundle);
  });
});

describe("a mount's source", () => {
  it("may be what an earlier mount brings into the root", () => {
    const bundle = world.bundle((c) => (c.process.args = ["cat", "/second/hostname"]));
    world.configure(bundle, (c) => c.mounts.push(bind("/etc", "/first"), bind(join(bundle, "rootfs/first"), "/second")));
    expect(world.call(["run", "-b", bundle, "chain"]).stdout).toBe(readFileSync("/etc/hostname", "utf8"));
    world.configure(bundle, (c) => c.mounts.push(bind(join(bundle, "rootfs/none"), "/third")));
    expect(world.call(["run", "-b", bundle, "chain"])).toMatchObject({ code: 1, stderr: expect.stringContaining("rootfs/none: No such file") });
  });
});

describe("mount targets", () => {
  it("are made where a link leads that leads nowhere yet, in the root", () => {
    const bundle = world.bundle((c) => {
      c.process.args = ["cat", "/etc/resolv.conf", "/run/made/x/there/hostname"];
      c.mounts.push(bind("/etc/hostname", "/etc/resolv.conf"), bind("/etc", "/dir/there"));
    });
    symlinkSync("../run/systemd/resolve/stub-resolv.conf", join(bundle, "rootfs/etc/resolv.conf"));
    mkdirSync(join(bundle, "rootfs/run"));
    symlinkSync("../../../run/made/x", join(bundle, "rootfs/dir"));
    const name = readFileSync("/etc/hostname", "utf8");
    expect(world.call(["run", "-b", bundle, "links"])).toMatchObject({ code: 0, stdout: name + name });
    expect(existsSync(join(bundle, "rootfs/run/systemd/resolve/stub-resolv.conf"))).toBe(true);
  });
});

describe("the command line", () => {
  it("takes options after the id, but not after a command", () => {
    const id = world.sleeping();
    expect(world.call(["update", id, "--pids-limit", "77"])).toMatchObject({ code: 0, stderr: "" });
    expect(world.call(["exec", id, "echo", "--user", "x"])).toMatchObject({ code: 0, stdout: "--user x\n" });
    expect(world.call(["delete", id, "--force"]).code).toBe(0);
  });

  it("explains each verb, takes another configuration's name and the manager of cgroups that it has", () => {
    expect(world.call(["update", "--help"])).toMatchObject({ code: 0, stdout: expect.stringContaining("--pids-limit") });
    const bundle = world.bundle((c) => (c.process.args = ["echo", "from", "it"]));
    spawnSync("mv", [join(bundle, "config.json"), join(bundle, "other.json")]);
    expect(world.call(["--cgroup-manager", "cgroupfs", "run", "-b", bundle, "--config", "other.json", "named"])).toMatchObject({ code: 0, stdout: "from it\n" });
    expect(world.call(["--cgroup-manager", "nonsense", "list"]).code).toBe(1);
  });

  it("tells what it does with --debug, to the log if there is one", () => {
    const log = join(world.directory, "debug.json");
    expect(world.call(["--debug", "--log", log, "--log-format", "json", "list"]).stderr).toBe("");
    expect(readFileSync(log, "utf8")).toContain('"level":"debug","msg":"list"');
    expect(world.call(["--debug", "list"]).stderr).toContain("level=debug list");
  });

  it("sends signal 0, which asks whether it lives", () => {
    const id = world.sleeping();
    expect(world.call(["kill", id, "0"]).code).toBe(0);
    expect(world.call(["kill", id, "KILL"]).code).toBe(0);
    while (world.state(id).status !== "stopped") spawnSync("true");
    expect(world.call(["kill", id, "0"])).toMatchObject({ code: 1, stderr: expect.stringContaining("not running") });
    expect(world.call(["kill", "--all", id, "0"]).code).toBe(0);
  });

  it("ends a container that was created and not started by SIGTERM", () => {
    const bundle = world.bundle();
    expect(world.leave(["create", "-b", bundle, "unstarted"]).code).toBe(0);
    expect(world.call(["kill", "unstarted", "TERM"]).code).toBe(0);
    while (world.state("unstarted").status !== "stopped") spawnSync("true");
    expect(world.call(["delete", "unstarted"]).code).toBe(0);
  });

  it("hands over the process's descriptor", async () => {
    const socket = join(world.directory, "pidfd.sock");
    const script = "import socket,sys\ns=socket.socket(socket.AF_UNIX);s.bind(sys.argv[1]);s.listen(2);print('listening',flush=True)\nfor _ in range(2):\n c,_=s.accept();d,f,_,_=socket.recv_fds(c,100,1)\n print([l for l in open('/proc/self/fdinfo/%d'%f[0]) if l.startswith('Pid:')][0].split()[1],flush=True)";
    const receiver = spawn("python3", ["-c", script, socket]);
    await once(receiver.stdout, "data");
    const bundle = world.bundle((c) => (c.process.args = ["sleep", "1000"]));
    let text = "";
    receiver.stdout.on("data", (bytes: Buffer) => (text += bytes.toString()));
    expect(world.leave(["run", "-d", "--pidfd-socket", socket, "-b", bundle, "pidfd"]).code).toBe(0);
    expect(world.leave(["exec", "-d", "--pid-file", join(world.directory, "exec.pid"), "--pidfd-socket", socket, "pidfd", "sleep", "1000"]).code).toBe(0);
    await once(receiver, "close");
    expect(text.trim().split("\n")).toEqual([String(world.state("pidfd").pid), readFileSync(join(world.directory, "exec.pid"), "utf8")]);
  });

  it("takes bytes with units", () => {
    const id = world.sleeping();
    const limit = () => world.call(["exec", id, "sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"]).stdout.trim();
    for (const [text, bytes] of [["64M", 64 << 20], ["65mib", 65 << 20], ["131072k", 128 << 20], ["67108864", 64 << 20]] as const) {
      expect(world.call(["update", "--memory", text, id]).code, text).toBe(0);
      expect(limit(), text).toBe(String(bytes));
    }
    for (const wrong of ["64X", "M", "64MM", "1.5M", "99999999999g", ""]) expect(world.call(["update", "--memory", wrong, id]), wrong).toMatchObject({ code: 1, stderr: expect.stringContaining("--memory must be bytes") });
  });

  it("waits with --ignore-paused until the container runs again", async () => {
    const id = world.sleeping();
    expect(world.call(["pause", id]).code).toBe(0);
    expect(world.call(["exec", id, "true"])).toMatchObject({ code: 255, stderr: expect.stringContaining("paused") });
    const waiting = spawn(runtimeBinary, ["--root", world.root, "exec", "--ignore-paused", id, "echo", "at last"], { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    waiting.stdout.on("data", (bytes: Buffer) => (text += bytes.toString()));
    // Until it has a process in the frozen control group: before, the kernel does not hold it.
    const frozen = dirname(freezerOf(world.state(id).pid));
    const children = (): readonly string[] => readFileSync(`/proc/${waiting.pid ?? 0}/task/${waiting.pid ?? 0}/children`, "utf8").trim().split(" ");
    while (!children().some((pid) => pid !== "" && freezerOf(Number(pid)).startsWith(`${frozen}/`))) await setImmediate();
    expect([world.state(id).status, text, waiting.exitCode]).toEqual(["paused", "", null]);
    expect(world.call(["resume", id]).code).toBe(0);
    expect(await once(waiting, "close")).toEqual([0, null]);
    expect(text).toBe("at last\n");
  });

  it("tells in events that the kernel has ended what took too much memory", async () => {
    const id = world.sleeping((c) => Object.assign(c.linux.resources, { memory: { limit: 16 << 20, swap: 16 << 20 } }));
    const events = spawn(runtimeBinary, ["--root", world.root, "events", "--interval", "50ms", id]);
    let text = "";
    let fed = false;
    for await (const bytes of events.stdout as AsyncIterable<Buffer>) {
      text += bytes.toString();
      if (text.includes('{"type":"oom"')) break;
      if (!fed) world.leave(["exec", "-d", id, "sh", "-c", "x=$(dd if=/dev/zero bs=1M count=100 | tr '\\000' a)"]);
      fed = true;
    }
    events.kill("SIGKILL");
    expect(text).toContain(`{"type":"oom","id":"${id}"}`);
  });

  it("prints events as often as it is told, in Go's durations", async () => {
    const id = world.sleeping();
    const events = spawn(runtimeBinary, ["--root", world.root, "events", "--interval", "50ms", id]);
    let text = "";
    for await (const bytes of events.stdout as AsyncIterable<Buffer>) {
      text += bytes.toString();
      if (text.split("\n").length > 3) break;
    }
    events.kill("SIGKILL");
    expect(JSON.parse(text.split("\n")[0] ?? "")).toMatchObject({ type: "stats", id });
    for (const wrong of ["0", "-1s", "5 s", "x", "1d", ""]) expect(world.call(["events", "--interval", wrong, id]).code, wrong).toBe(1);
  });
});

describe("CPUs", () => {
  it("are the cgroup's, not those that whoever starts the container was bound to", () => {
    const all = readFileSync("/proc/self/status", "utf8").match(/Cpus_allowed_list:\t(.*)/)?.[1] ?? "";
    const first = all.split(/[-,]/)[0] ?? "0";
    const bundle = world.bundle((c) => (c.process.args = ["grep", "Cpus_allowed_list", "/proc/self/status"]));
    expect(world.call(["run", "-b", bundle, "cpus"], { through: ["taskset", "-c", first, runtimeBinary] }).stdout.trim()).toBe(`Cpus_allowed_list:\t${all}`);
    const id = world.sleeping();
    expect(world.call(["exec", id, "grep", "Cpus_allowed_list", "/proc/self/status"], { through: ["taskset", "-c", first, runtimeBinary] }).stdout.trim()).toBe(`Cpus_allowed_list:\t${all}`);
  });
});

describe("rights", () => {
  it("of a further process: what --cap adds is ambient where the configuration has inheritable ones", () => {
    const id = world.sleeping((c) => Object.assign(c.process.capabilities ?? {}, { inheritable: ["CAP_KILL"], ambient: ["CAP_KILL"] }));
    expect(world.call(["exec", "--cap", "CAP_SYSLOG", id, "grep", "CapAmb", "/proc/self/status"]).stdout.trim()).toBe("CapAmb:\t0000000400000020");
  });

  it("that cannot be ambient are warned about", () => {
    const out = world.run(["true"], (c) => Object.assign(c.process.capabilities ?? {}, { ambient: ["CAP_KILL"] }));
    expect(out).toMatchObject({ code: 0, stderr: expect.stringContaining("can't raise ambient capability CAP_KILL") });
  });

  it("include the personality, for further processes too", () => {
    const id = world.sleeping(set("linux.personality", { domain: "LINUX32" }));
    expect(world.call(["exec", id, "busybox", "uname", "-m"]).stdout).toBe("i686\n");
  });
});

describe("a cgroup that is frozen", () => {
  it("is refused, and nothing waits for ever", () => {
    const id = world.sleeping((c) => grant(c));
    const config = JSON.parse(readFileSync(join(world.state(id).bundle, "config.json"), "utf8")) as { linux: { cgroupsPath: string } };
    const parent = config.linux.cgroupsPath;
    const place = readdirSync("/sys/fs/cgroup").includes("freezer") ? { file: join("/sys/fs/cgroup/freezer", `${parent}-frozen`, "freezer.state"), on: "FROZEN", off: "THAWED" } : { file: join("/sys/fs/cgroup", `${parent}-frozen`, "cgroup.freeze"), on: "1", off: "0" };
    mkdirSync(join(place.file, ".."), { recursive: true });
    writeFileSync(place.file, place.on);
    try {
      const out = world.run(["true"], set("linux.cgroupsPath", `${parent}-frozen`));
      expect(out).toMatchObject({ code: 1, stderr: expect.stringContaining("unexpectedly frozen") });
    } finally {
      writeFileSync(place.file, place.off);
      spawnSync("rmdir", [join(place.file, "..")]);
    }
  });
});

describe("seccomp", () => {
  it("refuses to ask about write, by which the listener is handed over", () => {
    const out = world.run(["true"], (c) => (c.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", listenerPath: "/none", syscalls: [{ names: ["write"], action: "SCMP_ACT_NOTIFY" }] }));
    expect(out).toMatchObject({ code: 1, stderr: expect.stringContaining("cannot be used for the write syscall") });
  });
});

/** Where a process is among the control groups that are frozen (version 1: its own hierarchy); "" of one that has gone. */
function freezerOf(pid: number): string {
  try {
    const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n");
    const found = lines.find((line) => /^\d+:(?:[^:]*,)?freezer[,:]/.test(line)) ?? lines.find((line) => line.startsWith("0::"));
    return found?.split(":").slice(2).join(":") ?? "";
  } catch {
    return "";
  }
}
