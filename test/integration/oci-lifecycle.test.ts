import { existsSync, openSync, readFileSync, writeFileSync, chmodSync, mkdirSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { OciWorld, bind, set } from "./oci/bundle.ts";
import type { Change } from "./oci/bundle.ts";

const world = new OciWorld();
afterAll(() => {
  world.close();
  expect(world.cgroups()).toEqual([]);
});

/** A zombie that its parent has not yet looked at is not alive. */
const alive = (pid: number): boolean => existsSync(`/proc/${pid}/exe`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));

describe("the life of a container", () => {
  it("creates, starts, shows, kills and deletes, and leaves nothing", () => {
    const bundle = world.bundle((c) => (c.process.args = ["sleep", "1000"]));
    const pidFile = join(world.directory, "pid");
    expect(world.leave(["create", "--bundle", bundle, "--pid-file", pidFile, "life"])).toMatchObject({ code: 0, stderr: "" });
    const created = world.state("life");
    expect(created).toMatchObject({ ociVersion: "1.3.0", id: "life", status: "created", bundle });
    expect(Number(readFileSync(pidFile, "utf8"))).toBe(created.pid);
    expect(world.call(["start", "life"]).code).toBe(0);
    expect(world.state("life").status).toBe("running");
    expect(readFileSync(`/proc/${created.pid}/cmdline`, "utf8")).toBe("sleep\0" + "1000\0");
    expect(world.call(["kill", "life", "KILL"]).code).toBe(0);
    expect(world.call(["delete", "--force", "life"]).code).toBe(0);
    expect(alive(created.pid)).toBe(false);
    expect(world.call(["state", "life"])).toMatchObject({ code: 1, stderr: expect.stringContaining("does not exist") });
    expect(existsSync(join(world.root, "life"))).toBe(false);
  });

  it("does not execute anything before start, and deletes what was never started", () => {
    const bundle = world.bundle((c) => (c.process.args = ["touch", "/ran"]));
    expect(world.leave(["create", "--bundle", bundle, "unstarted"]).code).toBe(0);
    expect(world.call(["delete", "unstarted"]).code).toBe(0);
    expect(existsSync(join(bundle, "rootfs/ran"))).toBe(false);
  });

  it("keeps to the configuration it was created with", () => {
    const bundle = world.bundle((c) => (c.process.args = ["sh", "-c", "echo first > /out"]));
    expect(world.leave(["create", "--bundle", bundle, "fixed"]).code).toBe(0);
    world.configure(bundle, (c) => (c.process.args = ["sh", "-c", "echo second > /out"]));
    const { pid } = world.state("fixed");
    expect(world.call(["start", "fixed"]).code).toBe(0);
    while (existsSync(`/proc/${pid}`)) if (world.state("fixed").status === "stopped") break;
    world.call(["delete", "--force", "fixed"]);
    expect(readFileSync(join(bundle, "rootfs/out"), "utf8")).toBe("first\n");
  });

  it("refuses a second container of the same id, a second start, and operations that do not fit the state", () => {
    const id = world.sleeping();
    const bundle = world.bundle();
    expect(world.leave(["create", "--bundle", bundle, id])).toMatchObject({ code: 1, stderr: expect.stringContaining("exists already") });
    expect(world.state(id).status).toBe("running");
    expect(world.call(["start", id])).toMatchObject({ code: 1, stderr: expect.stringContaining("running") });
    expect(world.call(["delete", id])).toMatchObject({ code: 1, stderr: expect.stringContaining("--force") });
    expect(world.call(["resume", id]).code).toBe(1);
    expect(world.call(["kill", id, "NOSUCH"])).toMatchObject({ code: 1, stderr: expect.stringContaining("NOSUCH") });
    expect(world.call(["delete", "--force", id]).code).toBe(0);
    expect(world.call(["delete", id]).code).toBe(1);
    expect(world.call(["delete", "--force", id]).code).toBe(0);
  });

  it("refuses ids that are paths", () => {
    const bundle = world.bundle();
    for (const id of ["../x", "a/b", "..", ".hidden", "", "a b"]) expect(world.leave(["create", "--bundle", bundle, id]).code, id).toBe(1);
  });

  it("gives the program's exit code, 128+n for signals, 127 and 126 for what cannot be executed", () => {
    expect(world.run(["sh", "-c", "exit 42"]).code).toBe(42);
    expect(world.run(["sh", "-c", "kill -9 $$; true"]).code).toBe(0); // PID 1 is immune to itself
    expect(world.run(["sh", "-c", "(kill -TERM $$) & sleep 0; exit 7"]).code).toBe(7);
    const missing = world.run(["nosuchprogram"]);
    expect(missing).toMatchObject({ code: 127, stderr: expect.stringContaining("executable file not found in $PATH") });
    expect(world.run(["/no/such/file"])).toMatchObject({ code: 127, stderr: expect.stringContaining("no such file or directory") });
    expect(world.run(["/etc"])).toMatchObject({ code: 126 });
    const plain = world.bundle((c) => (c.process.args = ["/etc/plain"]));
    writeFileSync(join(plain, "rootfs/etc/plain"), "#!/bin/sh\n", { mode: 0o644 });
    expect(world.call(["run", "-b", plain, "plain"])).toMatchObject({ code: 126, stderr: expect.stringContaining("permission denied") });
    writeFileSync(join(plain, "rootfs/etc/plain"), "#!/no/interpreter\n");
    chmodSync(join(plain, "rootfs/etc/plain"), 0o755);
    expect(world.call(["run", "-b", plain, "plain"])).toMatchObject({ code: 127, stderr: expect.stringContaining("interpreter") });
    writeFileSync(join(plain, "rootfs/etc/plain"), "garbage");
    expect(world.call(["run", "-b", plain, "plain"])).toMatchObject({ code: 126, stderr: expect.stringContaining("exec format error") });
  });

  it("passes signals on in the foreground", async () => {
    const bundle = world.bundle((c) => (c.process.args = ["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"]));
    const child = world.start(["run", "-b", bundle, "foreground"]);
    await once(child.stdout!, "data");
    child.kill("SIGTERM");
    const [code] = (await once(child, "exit")) as [number];
    expect(code).toBe(9);
  });

  it("executes further processes with the container's rights, and reports their code", () => {
    const id = world.sleeping((c) => (c.process.env = ["PATH=/bin", "A=1"]));
    const report = world.report(world.call(["exec", id, "probe"]));
    expect(report.caps.effective).toBe("0000000020000420");
    expect(report).toMatchObject({ nnp: 1, cwd: "/", umask: 0o22 });
    expect(world.call(["exec", id, "sh", "-c", "exit 3"]).code).toBe(3);
    expect(world.call(["exec", id, "nosuch"]).code).toBe(127);
    expect(world.call(["exec", "--env", "A=2", "--env", "B=3", id, "env"]).stdout.split("\n")).toEqual(expect.arrayContaining(["A=2", "B=3"]));
    expect(world.call(["exec", "--cwd", "/etc", "--user", "5:6", id, "sh", "-c", "pwd; id"]).stdout).toBe("/etc\nuid=5 gid=6\n");
    expect(world.call(["exec", "--user", "nobody", id, "id"])).toMatchObject({ code: 255, stderr: expect.stringContaining("unable to find user nobody") });
    expect(world.call(["exec", id, "ps"]).stdout).toMatch(/ 1 .*sleep 1000/);
    expect(world.call(["pause", id]).code).toBe(0);
    expect(world.state(id).status).toBe("paused");
    expect(world.call(["exec", id, "true"])).toMatchObject({ code: 255, stderr: expect.stringContaining("paused") });
    expect(world.call(["resume", id]).code).toBe(0);
    expect(world.state(id).status).toBe("running");
    expect(world.call(["exec", id, "true"]).code).toBe(0);
  });

  it("kills a paused container", () => {
    const id = world.sleeping();
    expect(world.call(["pause", id]).code).toBe(0);
    expect(world.call(["delete", "--force", id]).code).toBe(0);
  });

  it("lists containers and their processes", () => {
    const id = world.sleeping();
    const all = JSON.parse(world.call(["list", "--format", "json"]).stdout) as { id: string; status: string }[];
    expect(all.find((c) => c.id === id)).toMatchObject({ status: "running" });
    expect(world.call(["list", "-q"]).stdout.split("\n")).toContain(id);
    expect(JSON.parse(world.call(["ps", "--format", "json", id]).stdout)).toEqual([world.state(id).pid]);
  });

  it("passes on the descriptors that were asked for, and no other", () => {
    const file = openSync("/etc/hostname", "r");
    const out = world.call(["run", "--preserve-fds", "1", "-b", world.bundle((c) => (c.process.args = ["probe"])), "fds"], { stdio: ["ignore", "pipe", "pipe", file, file, file] });
    expect(world.report(out).fds.map((f) => f[0])).toEqual([0, 1, 2, 3]);
    const without = world.call(["run", "-b", world.bundle((c) => (c.process.args = ["probe"])), "fds"], { stdio: ["ignore", "pipe", "pipe", ...Array<number>(50).fill(file)] });
    expect(world.report(without).fds.map((f) => f[0])).toEqual([0, 1, 2]);
    expect(world.call(["run", "--preserve-fds", "9", "-b", world.bundle(), "fds"]).code).toBe(1);
  });

  it("says what it cannot do", () => {
    expect(world.call(["--systemd-cgroup", "list"])).toMatchObject({ code: 1, stderr: expect.stringContaining("Delegate=yes") });
    expect(world.call(["checkpoint", "x"])).toMatchObject({ code: 1, stderr: expect.stringContaining("not supported") });
    expect(world.call(["frobnicate"])).toMatchObject({ code: 1, stderr: expect.stringContaining("frobnicate") });
    expect(world.call(["run", "--no-such-option", "x"])).toMatchObject({ code: 1, stderr: expect.stringContaining("--no-such-option") });
    const features = JSON.parse(world.call(["features"]).stdout) as { hooks: string[]; linux: { cgroup: object } };
    expect(features.hooks).toContain("startContainer");
    expect(features.linux.cgroup).toMatchObject({ v1: true, v2: true, systemd: false });
  });

  it("writes its errors to the log as JSON", () => {
    const log = join(world.directory, "log.json");
    world.call(["--log", log, "--log-format", "json", "start", "none"]);
    expect(JSON.parse(readFileSync(log, "utf8"))).toMatchObject({ level: "error", msg: expect.stringContaining("none") });
  });
});

describe("hooks", () => {
  const hook = (name: string, script = "") => ({ path: "/bin/sh", args: ["sh", "-c", `cat > ${world.directory}/hook-${name}; ${script}`], env: ["PATH=/bin"] });

  it("run at their points, with the state on standard input", () => {
    const bundle = world.bundle((c) => {
      c.process.args = ["sh", "-c", "cat /from-start-hook"];
      c.annotations = { "org.example": "x" };
      c.hooks = {
        prestart: [hook("prestart")],
        createRuntime: [hook("createRuntime")],
        createContainer: [hook("createContainer", "readlink /proc/self/ns/uts > " + world.directory + "/hook-uts")],
        startContainer: [{ path: "/bin/sh", args: ["sh", "-c", "cat > /from-start-hook"], env: ["PATH=/bin"] }],
        poststart: [hook("poststart")],
        poststop: [hook("poststop")],
      };
    });
    const out = world.call(["run", "-b", bundle, "hooked"]);
    expect(out).toMatchObject({ code: 0, stderr: "" });
    const seen = (name: string) => JSON.parse(readFileSync(join(world.directory, `hook-${name}`), "utf8")) as { pid?: number };
    expect(seen("prestart")).toMatchObject({ id: "hooked", status: "created", bundle, annotations: { "org.example": "x" } });
    expect(seen("createRuntime").pid).toBeGreaterThan(1);
    expect(seen("createContainer")).toMatchObject({ status: expect.stringMatching(/creat/) });
    expect(JSON.parse(out.stdout)).toMatchObject({ id: "hooked", status: "created" });
    expect(seen("poststart")).toMatchObject({ status: "running" });
    expect(seen("poststop")).toMatchObject({ status: "stopped" });
  });

  it.each(["prestart", "createRuntime", "createContainer", "startContainer", "poststart"])("a failing %s stops the container", (kind) => {
    const bundle = world.bundle((c) => {
      c.process.args = ["sleep", "1000"];
      c.hooks = { [kind]: [{ path: "/bin/false", env: ["PATH=/bin"] }], poststop: [hook(`poststop-${kind}`)] };
    });
    const out = world.leave(["run", "--detach", "-b", bundle, "failing"]);
    expect(out.code).toBe(1);
    expect(out.stderr).toContain(kind);
    expect(world.call(["state", "failing"]).code).toBe(1);
    expect(existsSync(join(world.directory, `hook-poststop-${kind}`))).toBe(true);
  });

  it("a hook that takes too long is ended", () => {
    const bundle = world.bundle((c) => (c.hooks = { prestart: [{ path: "/bin/sleep", args: ["sleep", "1000"], timeout: 1 }] }));
    expect(world.call(["run", "-b", bundle, "slow"])).toMatchObject({ code: 1, stderr: expect.stringContaining("did not end within 1 s") });
  });
});

describe("bad configurations", () => {
  it.each<[string, Change, string]>([
    ["process.cwd", set("process.cwd", "relative"), "process.cwd"],
    ["process.args", set("process.args", []), "process.args"],
    ["a namespace", (c) => c.linux.namespaces.push({ type: "nonsense" }), "nonsense"],
    ["a namespace twice", (c) => c.linux.namespaces.push({ type: "pid" }), "twice"],
    ["the version", set("ociVersion", "2.0.0"), "ociVersion"],
    ["a type", set("hostname", 5), "hostname must be a string"],
    ["a rlimit", set("process.rlimits", [{ type: "RLIMIT_X", soft: 1, hard: 1 }]), "RLIMIT_X"],
    ["mappings without user namespace", set("linux.uidMappings", [{ containerID: 0, hostID: 0, size: 1 }]), "uidMappings"],
    ["intelRdt", set("linux.intelRdt", { closID: "a" }), "intelRdt"],
    ["a sysctl of the machine", set("linux.sysctl", { "kernel.panic": "1" }), "kernel.panic"],
    ["a mount source", (c) => c.mounts.push(bind("/no/such/source", "/x")), "/no/such/source"],
    ["a file system", (c) => c.mounts.push({ destination: "/x", type: "nosuchfs", source: "none" }), "nosuchfs"],
    ["a mount option", (c) => c.mounts.push({ destination: "/x", type: "tmpfs", source: "tmpfs", options: ["frob=1"] }), "frob"],
  ])("%s: refused with its name, and nothing is left", (_what, change, named) => {
    const bundle = world.bundle(change);
    mkdirSync(join(bundle, "rootfs/x"));
    const out = world.call(["run", "-b", bundle, "bad"]);
    expect(out.code).toBe(1);
    expect(out.stderr).toContain(named);
    expect(existsSync(join(world.root, "bad"))).toBe(false);
  });
});
