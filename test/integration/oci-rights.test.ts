import { readFileSync, readlinkSync } from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { OciWorld } from "./oci/bundle.ts";
import type { Change, Report } from "./oci/bundle.ts";

const world = new OciWorld();
afterAll(() => {
  world.close();
  expect(world.cgroups()).toEqual([]);
});

const probe = (change: Change = () => undefined): Report => world.report(world.run(["probe"], change));

describe("the rights of a process", () => {
  it("are the user, groups and mask that were asked for, in the container's first session", () => {
    const out = probe((c) => (c.process.user = { uid: 1000, gid: 1001, additionalGids: [5, 7], umask: 0o27 }));
    expect(out).toMatchObject({ pid: 1, sid: 1, uid: [1000, 1000], gid: [1001, 1001], groups: [5, 7], umask: 0o27 });
  });

  it("lose every capability that was not given, and keep ambient ones through a change of user", () => {
    expect(probe((c) => delete c.process.capabilities).caps).toEqual({
      inheritable: "0000000000000000", permitted: "0000000000000000", effective: "0000000000000000", bounding: "0000000000000000", ambient: "0000000000000000",
    });
    const caps = probe((c) => {
      c.process.user = { uid: 1000, gid: 1000 };
      c.process.capabilities = Object.fromEntries(["bounding", "effective", "permitted", "inheritable", "ambient"].map((set) => [set, ["CAP_NET_RAW", "CAP_CHOWN"]]));
    }).caps;
    expect(caps).toEqual({ inheritable: "0000000000002001", permitted: "0000000000002001", effective: "0000000000002001", bounding: "0000000000002001", ambient: "0000000000002001" });
    // Without ambient ones an unprivileged user has none after execve.
    const plain = probe((c) => (c.process.user = { uid: 1000, gid: 1000 })).caps;
    expect(plain).toMatchObject({ effective: "0000000000000000", bounding: "0000000020000420" });
  });

  it("warn about capabilities that do not exist", () => {
    const out = world.run(["true"], (c) => c.process.capabilities?.["bounding"]?.push("CAP_FUTURE"));
    expect(out).toMatchObject({ code: 0, stderr: expect.stringContaining("CAP_FUTURE") });
  });

  it("have no_new_privs only if asked for", () => {
    expect(probe().nnp).toBe(1);
    expect(probe((c) => (c.process.noNewPrivileges = false)).nnp).toBe(0);
  });

  it("have the resource limits, and a limit that cannot be raised is named", () => {
    expect(probe((c) => (c.process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }])).nofile).toEqual([100, 200]);
    // Fewer descriptors than the set-up itself needs.
    expect(probe((c) => (c.process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 6, hard: 6 }])).nofile).toEqual([6, 6]);
    const raised = world.run(["true"], (c) => (c.process.rlimits = [{ type: "RLIMIT_CORE", soft: 1, hard: 9223372036854775807 }, { type: "RLIMIT_NOFILE", soft: 1, hard: 4294967296 }]));
    expect(raised).toMatchObject({ code: 1, stderr: expect.stringContaining("RLIMIT_NOFILE") });
  });

  it("start with no signal blocked or ignored", () => {
    const out = probe();
    expect(out).toMatchObject({ blocked: "0000000000000000", ignored: "0000000000000000" });
  });

  it("say aloud when oom_score_adj cannot be had, and set it when it can", () => {
    expect(world.run(["cat", "/proc/self/oom_score_adj"], (c) => (c.process.oomScoreAdj = 321)).stdout).toBe("321\n");
    const lowered = world.run(["cat", "/proc/self/oom_score_adj"], (c) => (c.process.oomScoreAdj = -900));
    expect(lowered.code).toBe(0);
    expect(lowered.stdout === "-900\n" || lowered.stderr.includes("oom_score_adj -900 not set")).toBe(true);
  });

  it("have the working directory, made if it is missing", () => {
    expect(world.run(["pwd"], (c) => (c.process.cwd = "/new/place")).stdout).toBe("/new/place\n");
    expect(world.run(["pwd"], (c) => ((c.process.cwd = "/new/place"), (c.root.readonly = true))).stdout).toBe("/new/place\n");
    const shut = world.run(["pwd"], (c) => ((c.process.cwd = "/proc/nosuch"), (c.root.readonly = true)));
    expect(shut).toMatchObject({ code: 1, stderr: expect.stringContaining("/proc/nosuch") });
  });

  it("have namespaces of their own, or those that are named", () => {
    const own = probe();
    const host = (name: string) => readlinkSync(`/proc/self/ns/${name}`);
    for (const name of ["mnt", "pid", "net", "ipc", "uts", "cgroup"]) expect(own.ns[name], name).not.toBe(host(name));
    const shared = probe((c) => {
      c.linux.namespaces = c.linux.namespaces.filter((n) => n.type === "mount");
      delete c.hostname;
      c.mounts = c.mounts.filter((m) => m.type !== "sysfs" && m.type !== "cgroup");
    });
    for (const name of ["pid", "net", "ipc", "uts", "cgroup", "user"]) expect(shared.ns[name], name).toBe(host(name));
    const first = world.sleeping();
    const pid = world.state(first).pid;
    const joined = probe((c) => {
      for (const n of c.linux.namespaces) if (n.type !== "mount" && n.type !== "cgroup") n.path = `/proc/${pid}/ns/${n.type === "network" ? "net" : n.type}`;
      delete c.hostname;
    });
    for (const name of ["pid", "net", "ipc", "uts"]) expect(joined.ns[name], name).toBe(readlinkSync(`/proc/${pid}/ns/${name}`));
    expect(joined.pid).toBeGreaterThan(1);
  });

  it("may live in another time", () => {
    const now = Number(readFileSync("/proc/uptime", "utf8").split(".")[0]);
    const out = probe((c) => {
      c.linux.namespaces.push({ type: "time" });
      c.linux.timeOffsets = { monotonic: { secs: 1000000 }, boottime: { secs: 1000000 } };
    });
    expect(out.monotonic).toBeGreaterThanOrEqual(now + 999000);
    expect(out.ns["time"]).not.toBe(readlinkSync("/proc/self/ns/time"));
  });

  it("have the sysctls of their namespaces", () => {
    const out = world.run(["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/kernel/msgmax"], (c) => (c.linux.sysctl = { "net.ipv4.ip_unprivileged_port_start": "99", "kernel.msgmax": "4096" }));
    expect(out).toMatchObject({ code: 0, stdout: "99\n4096\n" });
    const host = world.run(["true"], (c) => {
      c.linux.namespaces = c.linux.namespaces.filter((n) => n.type !== "network");
      c.mounts = c.mounts.filter((m) => m.type !== "sysfs");
      c.linux.sysctl = { "net.ipv4.ip_forward": "1" };
    });
    expect(host).toMatchObject({ code: 1, stderr: expect.stringContaining("net.ipv4.ip_forward") });
  });

  it("have the host name, domain name and personality", () => {
    expect(world.run(["sh", "-c", "hostname; cat /proc/sys/kernel/domainname; cat /proc/self/personality"], (c) => ((c.hostname = "h1"), (c.domainname = "d1"), (c.linux.personality = { domain: "LINUX32" }))).stdout).toMatch(/^h1\nd1\n00000008\n$/);
  });

  it("have the priority of the scheduler and of I/O", () => {
    expect(probe((c) => ((c.process.scheduler = { policy: "SCHED_BATCH", nice: 7 }), (c.process.ioPriority = { class: "IOPRIO_CLASS_IDLE", priority: 0 }))).priority).toBe(7);
  });

  it("fail clearly where a security module is asked for that this kernel has not", () => {
    expect(world.run(["true"], (c) => (c.process.selinuxLabel = "system_u:system_r:svirt_t:s0"))).toMatchObject({ code: 1, stderr: expect.stringContaining("SELinux") });
    expect(world.run(["true"], (c) => (c.process.apparmorProfile = "nosuch"))).toMatchObject({ code: 1, stderr: expect.stringContaining("AppArmor") });
  });
});

describe("seccomp", () => {
  const allow = (...names: string[]) => ({ names, action: "SCMP_ACT_ALLOW" });
  const chmod = 90, getpriority = 140, personality = 135; // x86-64
  const onX64 = process.arch === "x64" ? it : it.skip;
  const filtered = (nnp: boolean, call: (number | string)[], seccomp: object) =>
    world.run(["probe", "syscall", ...call.map(String)], (c) => ((c.process.noNewPrivileges = nnp), (c.linux.seccomp = seccomp)));

  for (const nnp of [true, false]) {
    onX64(`applies rules, their errno and their arguments (no_new_privs ${nnp})`, () => {
      const profile = {
        defaultAction: "SCMP_ACT_ALLOW",
        architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"],
        syscalls: [
          { names: ["chmod", "not_a_call_yet"], action: "SCMP_ACT_ERRNO", errnoRet: 77 },
          { names: ["personality"], action: "SCMP_ACT_ERRNO", args: [{ index: 0, value: 8, op: "SCMP_CMP_EQ" }] },
        ],
      };
      expect(filtered(nnp, [chmod, 0, 0], profile).stdout).toBe("77\n");
      expect(filtered(nnp, [personality, 8], profile).stdout).toBe("1\n");
      expect(filtered(nnp, [personality, "0xffffffff"], profile).stdout).toBe("0\n");
      expect(filtered(nnp, [getpriority, 0, 0], profile).stdout).toBe("0\n");
    });
  }

  it("a profile that does not know what a start itself needs at its end starts all the same", () => {
    const refused = { names: ["close_range", "prctl", "setresuid", "capset", "openat2", "fsconfig", "pidfd_open"], action: "SCMP_ACT_ERRNO" };
    const { code, stdout, stderr } = world.run(["echo", "runs"], (c) => (c.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [refused] }));
    expect([code, stdout], stderr).toEqual([0, "runs\n"]);
  });

  onX64("answers ENOSYS to system calls newer than the profile, EPERM to older ones it leaves out", () => {
    const base = ["read", "write", "exit", "exit_group", "execve", "brk", "mmap", "munmap", "mprotect", "arch_prctl", "set_tid_address", "set_robust_list", "prlimit64", "readlinkat", "readlink", "getrandom", "newfstatat", "fstat", "writev", "rseq", "ioctl", "close", "close_range", "rt_sigprocmask", "rt_sigaction", "uname", "access", "lseek", "sendto", "futex"];
    const profile = { defaultAction: "SCMP_ACT_ERRNO", syscalls: [allow(...base)] };
    expect(filtered(true, [400 + 60, 0, 0], profile)).toMatchObject({ stdout: "38\n", stderr: "" });
    expect(filtered(true, [getpriority, 0, 0], profile).stdout).toBe("1\n");
  });

  onX64("also holds for processes that are executed later, and is kept compiled", () => {
    const id = world.sleeping((c) => (c.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["chmod"], action: "SCMP_ACT_ERRNO", errnoRet: 99 }] }));
    expect(world.call(["exec", id, "probe", "syscall", String(chmod), "0", "0"]).stdout).toBe("99\n");
    expect(world.call(["exec", id, "probe", "syscall", String(chmod), "0", "0"]).stdout).toBe("99\n");
  });

  it("refuses what it cannot compile, by name", () => {
    expect(filtered(true, [1], { defaultAction: "SCMP_ACT_WHAT" })).toMatchObject({ code: 1, stderr: expect.stringContaining("SCMP_ACT_WHAT") });
    expect(filtered(true, [1], { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["chmod"], action: "SCMP_ACT_ERRNO", args: [{ index: 9, value: 1, op: "SCMP_CMP_EQ" }] }] })).toMatchObject({ code: 1, stderr: expect.stringContaining("syscalls[0]") });
    expect(filtered(true, [1], { defaultAction: "SCMP_ACT_ALLOW", flags: ["X"] })).toMatchObject({ code: 1, stderr: expect.stringContaining("flags") });
  });
});

describe("terminals", () => {
  it("are the container's own, its controlling terminal, on /dev/console too, of the size that was asked for", () => {
    const bundle = world.bundle((c) => {
      c.process.terminal = true;
      c.process.consoleSize = { height: 40, width: 100 };
      c.process.args = ["sh", "-c", "test -t 0 && test -t 1 && stty size && readlink /proc/self/fd/0 && echo hi > /dev/tty && stat -c %t:%T /dev/console"];
    });
    const out = world.call(["run", "-b", bundle, "tty"]);
    expect(out).toMatchObject({ code: 0, stdout: "40 100\n/dev/pts/0\nhi\n88:0\n" });
  });

  it("go to the console socket when nobody stays", async () => {
    // A file descriptor arrives by SCM_RIGHTS, which Node cannot take: a small receiver prints what it reads from it.
    const socket = join(world.directory, "console.sock");
    const receiver = spawn("python3", ["-c", "import socket,os,sys\ns=socket.socket(socket.AF_UNIX);s.bind(sys.argv[1]);s.listen(1);print('listening',flush=True)\nc,_=s.accept();d,f,_,_=socket.recv_fds(c,100,1)\nprint(os.read(f[0],100).decode().strip())", socket]);
    await once(receiver.stdout, "data");
    const bundle = world.bundle((c) => ((c.process.terminal = true), (c.process.args = ["sh", "-c", "echo from-the-terminal; sleep 1000"])));
    expect(world.leave(["create", "-b", bundle, "--console-socket", socket, "console"])).toMatchObject({ code: 0, stderr: "" });
    expect(world.call(["start", "console"]).code).toBe(0);
    let text = "";
    receiver.stdout.on("data", (part: Buffer) => (text += part.toString()));
    await once(receiver, "close");
    expect(text.trim()).toBe("from-the-terminal");
    expect(world.leave(["create", "-b", bundle, "console2"])).toMatchObject({ code: 1, stderr: expect.stringContaining("--console-socket") });
  });
});

