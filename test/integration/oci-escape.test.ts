import { createHash } from "node:crypto";
import { execFileSync, spawn } from "node:child_process";
import { closeSync, copyFileSync, existsSync, lstatSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { alive, MonitorWorld, binary as monitorBinary } from "./monitor/container.ts";
import type { TestContainer } from "./monitor/container.ts";
import { OciWorld, bind, grant, runtimeBinary } from "./oci/bundle.ts";
import type { Change, Config, Report } from "./oci/bundle.ts";

// One test for each way out of a container that has worked somewhere; the names are those of the advisories.

const world = new OciWorld();
const outside = mkdtempSync(join(tmpdir(), "stack-outside-"));
afterAll(() => {
  world.close();
  rmSync(outside, { recursive: true });
  expect(world.cgroups()).toEqual([]);
});

const hash = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
const [EPERM, ESRCH, EACCES, EROFS, ENOKEY] = ["1", "3", "13", "30", "126"];

/** What a container with our init as PID 1 logs that runs `script`, with the probe at hand. */
async function underInit(script: string, ...capabilities: string[]): Promise<string> {
  const monitors = new MonitorWorld();
  try {
    copyFileSync(world.probe, join(monitors.rootfs, "bin/probe"));
    const container: TestContainer = monitors.container({ args: ["sh", "-c", script] });
    const config = JSON.parse(readFileSync(join(container.directory, "config.json"), "utf8")) as Config;
    grant(config, ...capabilities);
    container.write("config.json", config);
    await container.started();
    expect(await container.untilExited()).toMatchObject({ exitCode: 0 });
    return container.text();
  } finally {
    await monitors.dispose();
  }
}

describe("the runtime's own file (CVE-2019-5736)", () => {
  it("cannot be written through an entrypoint that is /proc/self/exe", () => {
    const before = hash(runtimeBinary);
    const bundle = world.bundle((c) => (c.process.args = ["/etc/entry"]));
    writeFileSync(join(bundle, "rootfs/etc/entry"), "#!/proc/self/exe\n", { mode: 0o755 });
    world.call(["run", "-b", bundle, "selfexe"]);
    expect(hash(runtimeBinary)).toBe(before);
  });

  it("is read-only for who waits in the container until it is executed in there, and then until nobody executes it", () => {
    const id = world.sleeping((c) => {
      grant(c, "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN");
    });
    // A file that nothing else executes: what is executed cannot be written anyway.
    const copy = join(outside, "stack-runtime");
    copyFileSync(runtimeBinary, copy);
    const before = hash(copy);
    expect(world.leave(["exec", "--detach", id, "probe", "hunt-exe", "/bin/", "/found"])).toMatchObject({ code: 0 });
    const results = join(world.state(id).bundle, "rootfs/found");
    const found = (): readonly string[] => (existsSync(results) ? readFileSync(results, "utf8").split("\n").filter((l) => l !== "") : []);
    for (let i = 0; i < 300 && found().length < 5; i++) expect(world.call(["exec", id, "true"], { through: [copy] }).code).toBe(0);
    world.call(["delete", "--force", id]);
    expect(found().length, "processes of the runtime's that were seen").toBeGreaterThanOrEqual(1);
    for (const line of found()) expect([`${EROFS} 1`, `${EPERM} 1`]).toContain(line);
    expect(hash(copy)).toBe(before);
    rmSync(copy);
  });

  it("is read-only as the file of our init too, even for who may trace it", async () => {
    const before = hash(monitorBinary);
    const [errno, readonly] = (await underInit("probe exe 1", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN")).trim().split(" ");
    // The init is executing it at the moment; afterwards the mount or the seal holds.
    expect(errno).toMatch(/^(1|26|30)$/);
    expect(readonly).toBe("1");
    expect(hash(monitorBinary)).toBe(before);
    // Whoever may not cannot even open it.
    expect(await underInit("probe exe 1")).toBe(`cannot open: ${EACCES}\n`);
  });
});

describe("descriptors and the working directory (CVE-2016-9962, CVE-2024-21626)", () => {
  it("a working directory in a leaked descriptor of the host is refused, at run and at exec", () => {
    const leaked = openSync("/", "r");
    const stdio = ["ignore", "pipe", "pipe", ...Array<number>(20).fill(leaked)] as ["ignore", "pipe", "pipe", ...number[]];
    const id = world.sleeping();
    for (let fd = 3; fd < 40; fd++) {
      const bundle = world.bundle((c) => ((c.process.cwd = `/proc/self/fd/${fd}`), (c.process.args = ["ls", "/proc/self/cwd/"])));
      const out = world.call(["run", "-b", bundle, "leak"], { stdio });
      expect(out.stdout, `run ${fd}`).toBe("");
      expect(out.code, `run ${fd}`).not.toBe(0);
      if (fd % 4 !== 0) continue;
      const exec = world.call(["exec", "--cwd", `/proc/self/fd/${fd}`, id, "ls", "/proc/self/cwd/"], { stdio });
      expect(exec.stdout, `exec ${fd}`).toBe("");
      expect(exec.code, `exec ${fd}`).not.toBe(0);
    }
    closeSync(leaked);
  });

  it("neither PID 1 nor an executed process holds anything of the host's", () => {
    const leaked = openSync("/", "r");
    const stdio = ["ignore", "pipe", "pipe", ...Array<number>(50).fill(leaked)] as ["ignore", "pipe", "pipe", ...number[]];
    const bundle = world.bundle((c) => (c.process.args = ["sh", "-c", "probe; ls -l /proc/1/fd"]));
    const out = world.call(["run", "-b", bundle, "clean"], { stdio });
    expect((JSON.parse(out.stdout.split("\n")[0] ?? "") as Report).fds.map((f) => f[0])).toEqual([0, 1, 2]);
    const id = world.sleeping();
    expect(world.report(world.call(["exec", id, "probe"], { stdio })).fds.map((f) => f[0])).toEqual([0, 1, 2]);
    closeSync(leaked);
  });
});

describe("links in the image", () => {
  const hostile = (make: (rootfs: string) => void, change: Change = () => undefined) => {
    const bundle = world.bundle((c) => ((c.process.args = ["true"]), change(c)));
    make(join(bundle, "rootfs"));
    return { rootfs: join(bundle, "rootfs"), out: world.call(["run", "-b", bundle, "hostile"]) };
  };

  it("/proc or /sys as a link is refused (CVE-2019-19921, CVE-2023-27561, CVE-2023-28642)", () => {
    for (const name of ["proc", "sys"]) {
      const { out } = hostile((rootfs) => {
        mkdirSync(join(rootfs, "elsewhere"));
        symlinkSync("/elsewhere", join(rootfs, name));
      });
      expect(out).toMatchObject({ code: 1, stderr: expect.stringContaining("symbolic link") });
    }
  });

  it("/dev as a link leads nowhere outside (CVE-2026-41579, CVE-2026-47766)", () => {
    const before = readdirSync(outside);
    for (const target of [outside, `../../../../../../../../..${outside}`]) {
      const without: Change = (c) => (c.mounts = c.mounts.filter((m) => !m.destination.startsWith("/dev")));
      // The devices are where it leads to in the root, whether that exists already or is made, and nowhere else.
      for (const exists of [false, true]) {
        const { out, rootfs } = hostile((r) => {
          if (exists) mkdirSync(join(r, outside), { recursive: true });
          symlinkSync(target, join(r, "dev"));
        }, without);
        expect(out).toMatchObject({ code: 0, stderr: "" });
        expect(lstatSync(join(rootfs, outside, "null")).isCharacterDevice()).toBe(true);
      }
    }
    expect(readdirSync(outside)).toEqual(before);
  });

  it("targets that are made never lie outside (CVE-2024-45310)", () => {
    const source = mkdtempSync(join(outside, "source-"));
    const before = readdirSync(outside);
    hostile((rootfs) => symlinkSync(outside, join(rootfs, "out")), (c) => {
      c.mounts.push(bind(source, "/out/made/dir"), bind("/etc/hostname", "/out/made/file"));
      c.linux.devices = [{ path: "/out/device", type: "c", major: 1, minor: 3 }];
      c.process.cwd = "/out/cwd";
      c.linux.maskedPaths.push("/out/made");
    });
    expect(readdirSync(outside)).toEqual(before);
  });

  it("a device of the image in the place of /dev/null is not taken for it (CVE-2025-31133)", () => {
    const { out } = hostile(() => undefined, (c) => {
      c.mounts.push(bind("/dev/zero", "/dev/null"));
    });
    expect(out).toMatchObject({ code: 1, stderr: expect.stringContaining("/dev/null exists and is something else") });
    // Masks use the host's, so whatever the image has there does not matter.
    const masked = world.run(["cat", "/proc/keys"], (c) => c.linux.maskedPaths.push("/etc/passwd"));
    expect(masked).toMatchObject({ code: 0, stdout: "" });
  });

  it("mounts inside /proc are refused but for the known few, also through a link", () => {
    const file = join(outside, "meminfo");
    writeFileSync(file, "fake\n");
    expect(world.run(["cat", "/proc/meminfo"], (c) => c.mounts.push(bind(file, "/proc/meminfo"))).stdout).toBe("fake\n");
    expect(world.run(["true"], (c) => c.mounts.push(bind(file, "/proc/self/attr/exec")))).toMatchObject({ code: 1 });
    expect(world.run(["true"], (c) => c.mounts.push(bind(file, "/proc/sys/kernel/core_pattern")))).toMatchObject({ code: 1, stderr: expect.stringContaining("inside /proc") });
    expect(world.run(["true"], (c) => c.mounts.push(bind(outside, "/proc")))).toMatchObject({ code: 1 });
    const { out } = hostile((rootfs) => symlinkSync("/proc/sys", join(rootfs, "x")), (c) => c.mounts.push(bind(outside, "/x/kernel")));
    expect(out).toMatchObject({ code: 1, stderr: expect.stringContaining("inside /proc") });
  });
});

describe("a part of a directory that other containers write to", () => {
  const volume = (make: (directory: string) => void) => {
    const directory = mkdtempSync(join(outside, "volume-"));
    mkdirSync(join(directory, "inside"));
    writeFileSync(join(directory, "inside/own"), "");
    make(directory);
    return directory;
  };
  const mounted = (directory: string, within: string) =>
    world.run(["ls", "/part"], (c) => {
      c.mounts.push(bind(join(directory, "sub"), "/part"));
      if (within !== "") c.annotations = { "run.stack.within": JSON.stringify({ "/part": within }) };
    });

  it("is not left through a link, absolute, climbing, or by the way", () => {
    const secret = mkdtempSync(join(outside, "secret-"));
    writeFileSync(join(secret, "key"), "");
    const links = [secret, `../../../../../../../../..${secret}`, "/proc/self/root" + secret];
    for (const target of links) {
      const directory = volume((d) => symlinkSync(target, join(d, "sub")));
      expect(mounted(directory, "")).toMatchObject({ code: 0, stdout: "key\n" }); // what it would be without
      const refused = mounted(directory, directory);
      expect(refused).toMatchObject({ code: 1, stdout: "" });
      expect(refused.stderr).toContain(join(directory, "sub"));
    }
  });

  it("may be reached by links that stay in it", () => {
    const directory = volume((d) => symlinkSync("/inside", join(d, "sub")));
    expect(mounted(directory, directory)).toMatchObject({ code: 0, stdout: "own\n" });
  });

  it("is a part of it", () => {
    const directory = volume((d) => mkdirSync(join(d, "sub")));
    expect(mounted(directory, join(directory, "su"))).toMatchObject({ code: 1 });
    expect(mounted(directory, join(directory, "inside"))).toMatchObject({ code: 1, stderr: expect.stringContaining("no part of") });
  });
});

describe("races", () => {
  it("a mount target that changes into a link under way never leads outside (CVE-2021-30465)", () => {
    const shared = mkdtempSync(join(outside, "shared-"));
    mkdirSync(join(shared, "target"));
    symlinkSync(outside, join(shared, "link"));
    const source = mkdtempSync(join(outside, "source-"));
    const swapper = world.sleeping((c) => {
      c.process.args = ["probe", "swap-loop", "/shared/target", "/shared/link", "2000000000"];
      c.mounts.push(bind(shared, "/shared"));
    });
    const before = readdirSync(outside).sort();
    const bundle = world.bundle((c) => {
      c.process.args = ["true"];
      c.mounts.push(bind(shared, "/shared"), bind(source, "/shared/target/made"));
    });
    // Both are met: the directory, and the link, which leads to a place in the container's own root.
    const inDirectory = () => existsSync(join(shared, "target/made")) || existsSync(join(shared, "link/made"));
    const throughLink = () => existsSync(join(bundle, "rootfs", outside, "made"));
    for (let i = 0; i < 300 && (i < 60 || !inDirectory() || !throughLink()); i++) world.call(["run", "-b", bundle, `race-${i}`]);
    world.call(["delete", "--force", swapper]);
    expect([inDirectory(), throughLink()]).toEqual([true, true]);
    expect(readdirSync(outside).sort()).toEqual(before);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(outside);
  });
});

describe("what the kernel must refuse in there", () => {
  it("devices that were not given (and making them is no help)", () => {
    const out = world.run(["probe", "device", "b", "254", "0"], (c) => {
      grant(c, "CAP_MKNOD");
    });
    expect(out.stdout).toBe("mknod=0 open=1\n");
    const given = world.run(["probe", "device", "c", "1", "5"], (c) => {
      grant(c, "CAP_MKNOD");
    });
    expect(given.stdout).toBe("mknod=0 open=0\n");
  });

  it("writes to what is read-only: release_agent, sysrq, sysctls", () => {
    const out = world.run(["sh", "-c", `for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern $(find /sys/fs/cgroup -name release_agent) $(find /sys/fs/cgroup -name cgroup.procs | head -1); do test -e $f && probe open-write $f; done; true`], (c) => {
      grant(c, "CAP_DAC_OVERRIDE");
    });
    for (const errno of out.stdout.trim().split("\n")) expect(errno).toBe(EROFS);
  });

  it("keys of whoever started the container", () => {
    const serial = (rootfs: string): string => join(rootfs, "etc/serial");
    const command = ["sh", "-c", "probe keys $(cat /etc/serial)"];
    // The key is one that its owner finds and reads.
    const control = join(outside, "serial");
    expect(execFileSync(world.probe, ["with-key", control, "sh", "-c", `"$0" keys $(cat ${control})`, world.probe], { encoding: "utf8" })).toBe("0 0\n");
    const bundle = world.bundle((c) => {
      c.process.args = command;
      delete c.linux.seccomp; // keyctl(2) itself is not in question
    });
    const rootfs = join(bundle, "rootfs");
    const ran = world.call(["run", "-b", bundle, "keys"], { through: [world.probe, "with-key", serial(rootfs), runtimeBinary] });
    expect(ran).toMatchObject({ code: 0, stdout: `${ENOKEY} ${EACCES}\n` });
    const id = world.sleeping((c) => delete c.linux.seccomp);
    const inside = join(world.state(id).bundle, "rootfs");
    const executed = world.call(["exec", id, ...command], { through: [world.probe, "with-key", serial(inside), runtimeBinary] });
    expect(executed).toMatchObject({ code: 0, stdout: `${ENOKEY} ${EACCES}\n` });
  });

  it("signals to processes that are not its own", () => {
    const out = world.run(["sh", "-c", "ls /proc | grep -c '^[0-9]'"]);
    expect(Number(out.stdout)).toBeLessThan(5);
    const victim = spawn("sleep", ["1000"], { stdio: "ignore" });
    const kill = (pid: number | string) => `probe syscall 62 ${pid} 9; probe ptrace ${pid}`;
    // Of its own it may do both.
    const own = world.run(["sh", "-c", "sleep 1000 & probe ptrace $!; probe syscall 62 $! 9"], (c) => {
      grant(c, "CAP_SYS_PTRACE", "CAP_KILL");
      delete c.linux.seccomp;
    });
    const others = world.run(["sh", "-c", kill(victim.pid ?? 0)], (c) => {
      grant(c, "CAP_SYS_PTRACE", "CAP_KILL");
      delete c.linux.seccomp;
    });
    const survived = alive(victim.pid ?? 0);
    victim.kill("SIGKILL");
    expect(own.stdout).toBe("0\n0\n");
    expect(others.stdout).toBe(`${ESRCH}\n${ESRCH}\n`);
    expect(survived).toBe(true);
  });

  it("traces of our init by root in the container, and signals that would end it", async () => {
    // Its own child it may trace, so it is not that tracing is forbidden.
    const text = await underInit("sleep 1000 & probe ptrace $!; probe ptrace 1; probe syscall 62 1 9; cat /proc/1/environ 2>&1; true");
    const [child, init, killed, environment] = text.split("\n");
    expect([child, init]).toEqual(["0", EPERM]);
    // kill(2) succeeds, but PID 1 is not touched by what comes from inside.
    expect(killed).toBe("0");
    expect(environment).toMatch(/denied|not permitted/);
  });
});
