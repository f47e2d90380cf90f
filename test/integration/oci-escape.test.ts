import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, openSync, closeSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { OciWorld, bind, grant, runtimeBinary } from "./oci/bundle.ts";
import type { Change, Report } from "./oci/bundle.ts";

// One test for each way out of a container that has worked somewhere; the names are those of the advisories.

const world = new OciWorld();
const outside = mkdtempSync(join(tmpdir(), "stack-outside-"));
afterAll(() => {
  world.close();
  rmSync(outside, { recursive: true });
  expect(world.cgroups()).toEqual([]);
});

const hash = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
const EROFS = "30";

describe("the runtime's own file (CVE-2019-5736)", () => {
  it("cannot be written through an entrypoint that is /proc/self/exe", () => {
    const before = hash(runtimeBinary);
    const bundle = world.bundle((c) => (c.process.args = ["/etc/entry"]));
    writeFileSync(join(bundle, "rootfs/etc/entry"), "#!/proc/self/exe\n", { mode: 0o755 });
    world.call(["run", "-b", bundle, "selfexe"]);
    expect(hash(runtimeBinary)).toBe(before);
  });

  it("is read-only for a process that is executed in and looks at its own file", () => {
    const id = world.sleeping((c) => {
      grant(c, "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN");
    });
    const before = hash(runtimeBinary);
    // Looks for a process that runs the runtime's file while further ones are executed, and tries to write to it.
    const hunter = `for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do for p in /proc/[0-9]*; do
      case "$(readlink $p/exe)" in */busybox|*/probe|"") ;; *) probe open-write $p/exe >> /found;; esac; done; done`;
    const running = world.start(["exec", id, "sh", "-c", hunter], "ignore");
    for (let i = 0; i < 60 && running.exitCode === null; i++) world.call(["exec", id, "/bin/true"]);
    running.kill("SIGKILL");
    const rootfs = join(world.state(id).bundle, "rootfs/found");
    const found = existsSync(rootfs) ? readFileSync(rootfs, "utf8").split("\n").filter((l) => l !== "") : [];
    expect(found.filter((errno) => errno === "0")).toEqual([]);
    expect(hash(runtimeBinary)).toBe(before);
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
      const { rootfs } = hostile((r) => symlinkSync(target, join(r, "dev")), (c) => (c.mounts = c.mounts.filter((m) => !m.destination.startsWith("/dev"))));
      // Inside of the root, if anywhere.
      expect(existsSync(join(rootfs, "dev", "null")) && statSync(join(rootfs, "dev")).dev === statSync(outside).dev && readdirSync(outside).length > before.length).toBe(false);
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
    for (let i = 0; i < 40; i++) world.call(["run", "-b", bundle, `race-${i}`]);
    world.call(["delete", "--force", swapper]);
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
    expect(world.run(["probe", "keys"]).stdout).not.toBe("0\n");
  });

  it("signals and traces of processes that are not its own", () => {
    const out = world.run(["sh", "-c", "ls /proc | grep -c '^[0-9]'"]);
    expect(Number(out.stdout)).toBeLessThan(5);
  });
});
