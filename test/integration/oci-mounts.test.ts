import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { OciWorld, bind, grant } from "./oci/bundle.ts";
import type { Config } from "./oci/bundle.ts";

const world = new OciWorld();
afterAll(() => {
  world.close();
  expect(world.cgroups()).toEqual([]);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(world.directory);
});

let count = 0;
function directory(): string {
  const path = join(world.directory, `source-${++count}`);
  mkdirSync(path);
  return path;
}

describe("the root and what the kernel shows", () => {
  it("has proc, sys, dev and its links, and nothing of the host's mounts", () => {
    const out = world.run(["sh", "-c", "mount; ls -l /dev; ls /dev/pts"]);
    expect(out.code).toBe(0);
    for (const line of ["proc on /proc type proc (rw,nosuid,nodev,noexec", "sysfs on /sys type sysfs (ro", "devpts on /dev/pts", "mqueue on /dev/mqueue", "proc on /proc/sys type proc (ro"]) expect(out.stdout).toContain(line);
    expect(out.stdout.split("\n").filter((l) => / on \/ /.test(l))).toHaveLength(1);
    for (const entry of ["fd -> /proc/self/fd", "stdin -> /proc/self/fd/0", "ptmx -> pts/ptmx"]) expect(out.stdout).toContain(entry);
    for (const device of [/crw-rw-rw-.* 1, +3 .*null/, /crw-rw-rw-.* 1, +9 .*urandom/, /crw-rw-rw-.* 5, +0 .*tty/]) expect(out.stdout).toMatch(device);
  });

  it("is read-only if asked for, with the mounts still writable", () => {
    const out = world.run(["sh", "-c", "touch /x; touch /dev/shm/x && echo shm"], (c) => (c.root.readonly = true));
    expect(out.stdout).toBe("shm\n");
    expect(out.stderr).toContain("Read-only file system");
  });

  it("masks and write-protects paths; missing ones do not matter", () => {
    const bundle = world.bundle((c) => {
      c.process.args = ["sh", "-c", "cat /etc/secret; ls /etc/hidden; touch /etc/fixed/x; touch /etc/fixed/deep/y; echo 1 > /proc/sys/kernel/panic; cat /proc/keys; ls /proc/acpi; echo done"];
      c.linux.maskedPaths.push("/etc/secret", "/etc/hidden", "/no/such", "/etc/secret/below");
      c.linux.readonlyPaths.push("/etc/fixed", "/no/such");
    });
    for (const name of ["hidden", "fixed/deep"]) mkdirSync(join(bundle, "rootfs/etc", name), { recursive: true });
    writeFileSync(join(bundle, "rootfs/etc/hidden/file"), "x");
    writeFileSync(join(bundle, "rootfs/etc/secret"), "secret");
    const out = world.call(["run", "-b", bundle, "masked"]);
    expect(out.stdout).toBe("done\n");
    expect(out.stderr.match(/Read-only file system/g)).toHaveLength(3);
  });

  it("makes devices with their mode and owner", () => {
    const out = world.run(["stat", "-c", "%F %a %u:%g %t:%T", "/dev/fuse", "/dev/net/tun", "/dev/pipe", "/dev/null"], (c) => {
      c.linux.devices = [
        { path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o640, uid: 5, gid: 6 },
        { path: "/dev/net/tun", type: "c", major: 10, minor: 200 },
        { path: "/dev/pipe", type: "p", fileMode: 0o600 },
        { path: "/dev/null", type: "c", major: 1, minor: 3, fileMode: 0o600, uid: 9 },
      ];
    });
    expect(out.stdout.split("\n")).toEqual(["character special file 640 5:6 a:e5", "character special file 666 0:0 a:c8", "fifo 600 0:0 0:0", "character special file 600 9:0 1:3", ""]);
  });
});

describe("mounts", () => {
  it("binds directories and files, makes their targets, and keeps what the options say", () => {
    const source = directory();
    writeFileSync(join(source, "file"), "content\n");
    const out = world.run(["sh", "-c", "cat /a/b/file /single; touch /a/b/new; touch /ro/new; mount | grep -E ' on /(a|ro|single)'"], (c) =>
      c.mounts.push(bind(source, "/a/b", "nosuid", "noexec"), bind(source, "/ro", "ro"), bind(join(source, "file"), "/single", "nodev")));
    expect(out.stdout).toContain("content\ncontent\n");
    expect(out.stderr).toContain("Read-only file system");
    expect(existsSync(join(source, "new"))).toBe(true);
    expect(out.stdout).toMatch(/on \/a\/b type .* \(rw,nosuid,noexec/);
    expect(out.stdout).toMatch(/on \/ro type .* \(ro/);
  });

  it("does not put a directory on a file or a file on a directory", () => {
    const source = directory();
    expect(world.run(["true"], (c) => c.mounts.push(bind(source, "/etc/file")))).toMatchObject({ code: 0 });
    const bundle = world.bundle((c) => c.mounts.push(bind(source, "/etc/file")));
    writeFileSync(join(bundle, "rootfs/etc/file"), "");
    expect(world.call(["run", "-b", bundle, "mixed"])).toMatchObject({ code: 1, stderr: expect.stringContaining("a directory onto a file") });
  });

  it("makes a whole tree read-only with rro, only its top with ro", () => {
    const outer = directory();
    const script = `mkdir -p ${outer}/sub && mount -t tmpfs none ${outer}/sub && exec "$@"`;
    for (const [option, expected] of [["ro", "sub"], ["rro", ""]] as const) {
      const bundle = world.bundle((c) => {
        c.process.args = ["sh", "-c", "touch /m/x 2>/dev/null && echo top; touch /m/sub/x 2>/dev/null && echo sub; true"];
        c.mounts.push({ destination: "/m", type: "bind", source: outer, options: ["rbind", option] });
      });
      const out = world.inNamespace(script, ["run", "-b", bundle, `rro-${option}`]);
      expect(out).toMatchObject({ code: 0, stdout: expected === "" ? "" : `${expected}\n` });
    }
  });

  it("does not let mounts of the container appear on the host", () => {
    const shared = directory();
    const bundle = world.bundle((c) => {
      c.process.args = ["sh", "-c", "mount -t tmpfs none /shared && touch /shared/inside"];
      grant(c, "CAP_SYS_ADMIN");
      c.mounts.push(bind(shared, "/shared"));
    });
    const script = `mount --bind ${shared} ${shared} && mount --make-shared ${shared} && "$@" && ls ${shared}`;
    expect(world.inNamespace(script, ["run", "-b", bundle, "private"])).toMatchObject({ code: 0, stdout: "" });
    world.configure(bundle, (c) => c.mounts.at(-1)?.options?.push("rshared"));
    expect(world.inNamespace(script, ["run", "-b", bundle, "shared"])).toMatchObject({ code: 0, stdout: "inside\n" });
  });

  it("gives tmpfs the mode of what it covers, and copies that with tmpcopyup", () => {
    const bundle = world.bundle((c) => {
      c.process.args = ["sh", "-c", "stat -c %a:%u /kept /given; cat /kept/file; ls -l /kept; cat /ro/file; touch /ro/x"];
      c.mounts.push({ destination: "/kept", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"] });
      c.mounts.push({ destination: "/ro", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup", "ro"] });
      c.mounts.push({ destination: "/given", type: "tmpfs", source: "tmpfs", options: ["mode=0700", "uid=7"] });
    });
    for (const name of ["kept", "ro"]) {
      mkdirSync(join(bundle, "rootfs", name), { mode: 0o751 });
      writeFileSync(join(bundle, "rootfs", name, "file"), `of ${name}\n`);
      symlinkSync("/etc/passwd", join(bundle, "rootfs", name, "link"));
    }
    const out = world.call(["run", "-b", bundle, "tmpfs"]);
    expect(out.stdout).toContain("751:0\n700:7\nof kept\n");
    expect(out.stdout).toContain("link -> /etc/passwd");
    expect(out.stdout).toContain("of ro\n");
    expect(out.stderr).toContain("Read-only file system");
  });

  it("resolves targets inside the root, through absolute and climbing links", () => {
    const source = directory();
    writeFileSync(join(source, "here"), "");
    const bundle = world.bundle((c) => {
      c.process.args = ["ls", "/real"];
      c.mounts.push(bind(source, "/abs/sub"), bind(source, "/climb"));
    });
    const rootfs = join(bundle, "rootfs");
    mkdirSync(join(rootfs, "real"));
    symlinkSync("/real", join(rootfs, "abs"));
    symlinkSync("../../../../../../real", join(rootfs, "climb"));
    const out = world.call(["run", "-b", bundle, "links"]);
    expect(out).toMatchObject({ code: 0, stdout: "here\n" });
    expect(readdirSync(join(rootfs, "real"))).toEqual(["sub"]);
    expect(existsSync("/real")).toBe(false);
  });

  it("maps the owners of an idmapped mount", () => {
    const source = directory();
    writeFileSync(join(source, "file"), "");
    const out = world.run(["stat", "-c", "%u:%g", "/mapped/file"], (c) =>
      c.mounts.push({ ...bind(source, "/mapped", "idmap"), uidMappings: [{ containerID: 0, hostID: 5000, size: 10 }], gidMappings: [{ containerID: 0, hostID: 6000, size: 10 }] }));
    // Not every file system can (overlayfs and network ones may not): then it must say so.
    if (out.code === 0) expect(out.stdout).toBe("5000:6000\n");
    else expect(out.stderr).toContain("mount /mapped");
  });

  it("shows the container its own cgroup, read-only", () => {
    const out = world.run(["sh", "-c", "cat /proc/self/cgroup; mount | grep cgroup; find /sys/fs/cgroup -name cgroup.procs | head -1"]);
    expect(out.code).toBe(0);
    for (const line of out.stdout.split("\n").filter((l) => /^\d+:/.test(l))) expect(line).toMatch(/:\/$/);
    expect(out.stdout).toMatch(/type (cgroup|cgroup2) \(ro,nosuid,nodev,noexec/);
    const joined = world.run(["sh", "-c", "find /sys/fs/cgroup -name cgroup.procs | head -1"], (c) => (c.linux.namespaces = c.linux.namespaces.filter((n) => n.type !== "cgroup")));
    expect(joined).toMatchObject({ code: 0, stdout: expect.stringContaining("cgroup.procs") });
  });

  it("works without pivot_root", () => {
    expect(world.call(["run", "--no-pivot", "-b", world.bundle((c) => (c.process.args = ["ls", "/"])), "nopivot"])).toMatchObject({ code: 0, stdout: expect.stringContaining("proc\n") });
  });

  it("without pivot_root the host's root stays covered: a /proc without masks cannot be had in a user namespace", () => {
    const script = "unshare -U -m -p -f sh -c 'mount -t proc none /proc && cat /proc/sysrq-trigger'; echo $?";
    expect(world.call(["run", "--no-pivot", "-b", world.bundle((c) => (c.process.args = ["sh", "-c", script])), "covered"])).toMatchObject({
      code: 0,
      stdout: "1\n",
      stderr: expect.stringMatching(/permission denied/),
    });
  });

  it("leaves the root file system's owner and mode alone", () => {
    const bundle = world.bundle((c) => (c.process.args = ["true"]));
    const before = statSync(join(bundle, "rootfs"));
    world.call(["run", "-b", bundle, "untouched"]);
    expect(statSync(join(bundle, "rootfs")).mode).toBe(before.mode);
  });
});

describe("user namespaces", () => {
  const mapped = (c: Config) => {
    c.linux.namespaces.push({ type: "user" });
    c.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
    c.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
  };
  it("map ids, own the other namespaces, and have devices and all mounts", () => {
    const bundle = world.bundle((c) => {
      mapped(c);
      c.process.args = ["sh", "-c", "id; cat /proc/self/uid_map; echo x > /dev/null && echo null; mount | grep -c .; cat /proc/sys/kernel/msgmax; touch /made && stat -c %u /made; ls /dev/pts; ls /proc/acpi; cat /proc/keys"];
      c.linux.sysctl = { "kernel.msgmax": "4096" };
      c.linux.devices = [{ path: "/dev/null", type: "c", major: 1, minor: 3 }];
      c.process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 64, hard: 64 }];
    });
    world.ownRootfs(bundle, 100000);
    const out = world.call(["run", "-b", bundle, "userns"]);
    expect(out.stderr).toBe("");
    expect(out.stdout).toMatch(/^uid=0 gid=0\n +0 +100000 +65536\nnull\n\d+\n4096\n0\nptmx\n$/);
  });

  it("can be executed into and joined", () => {
    const bundle = world.bundle((c) => {
      mapped(c);
      c.process.args = ["sleep", "1000"];
    });
    world.ownRootfs(bundle, 100000);
    expect(world.leave(["run", "--detach", "-b", bundle, "userns-exec"])).toMatchObject({ code: 0 });
    expect(world.report(world.call(["exec", "userns-exec", "probe"]))).toMatchObject({ uid: [0, 0] });
    const pid = world.state("userns-exec").pid;
    const other = world.bundle((c) => {
      for (const n of c.linux.namespaces) if (["network", "ipc"].includes(n.type)) n.path = `/proc/${pid}/ns/${n.type === "network" ? "net" : n.type}`;
      c.linux.namespaces.push({ type: "user", path: `/proc/${pid}/ns/user` });
      c.process.args = ["cat", "/proc/self/uid_map"];
    });
    world.ownRootfs(other, 100000);
    expect(world.call(["run", "-b", other, "joining"])).toMatchObject({ code: 0, stdout: expect.stringMatching(/0 +100000/) });
  });
});
