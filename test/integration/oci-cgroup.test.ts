import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { OciWorld } from "./oci/bundle.ts";
import type { Change } from "./oci/bundle.ts";

const world = new OciWorld();
afterAll(() => {
  world.close();
  expect(world.cgroups()).toEqual([]);
});

/** The first of these files (v1 name, v2 name) that the container's cgroup has. */
function file(id: string, ...names: string[]): string {
  for (const directory of world.cgroups().filter((d) => d.endsWith(`/${world.state(id).bundle.split("/").at(-1)}`))) {
    for (const name of names) if (existsSync(join(directory, name))) return readFileSync(join(directory, name), "utf8").trim();
  }
  throw new Error(`no ${names.join(" or ")} for ${id}`);
}

describe("limits", () => {
  it("are in place before the first instruction, and can be changed", () => {
    const id = world.sleeping((c) => {
      Object.assign(c.linux.resources, {
        memory: { limit: 64 << 20, swap: 64 << 20, reservation: 32 << 20 },
        cpu: { shares: 512, quota: 50000, period: 100000, cpus: "0", mems: "0" },
        pids: { limit: 50 },
      });
    });
    expect(file(id, "memory.limit_in_bytes", "memory.max")).toBe(String(64 << 20));
    expect(["512", "59"]).toContain(file(id, "cpu.shares", "cpu.weight"));
    expect(["50000", "50000 100000"]).toContain(file(id, "cpu.cfs_quota_us", "cpu.max"));
    expect(file(id, "cpuset.cpus")).toBe("0");
    expect(file(id, "pids.max")).toBe("50");
    expect(world.call(["update", "--memory", String(128 << 20), "--memory-swap", String(128 << 20), "--pids-limit", "60", "--cpu-quota", "70000", id])).toMatchObject({ code: 0, stderr: "" });
    expect(file(id, "memory.limit_in_bytes", "memory.max")).toBe(String(128 << 20));
    expect(file(id, "pids.max")).toBe("60");
    expect(world.call(["update", "--resources", "-", id], { input: JSON.stringify({ memory: { limit: 32 << 20, swap: 32 << 20 } }) })).toMatchObject({ code: 0, stderr: "" });
    expect(file(id, "memory.limit_in_bytes", "memory.max")).toBe(String(32 << 20));
    expect(world.call(["update", "--pids-limit", "x", id])).toMatchObject({ code: 1, stderr: expect.stringContaining("--pids-limit") });
  });

  it("of memory: the kernel ends what goes beyond, and that is counted", () => {
    const id = world.sleeping((c) => Object.assign(c.linux.resources, { memory: { limit: 32 << 20, swap: 32 << 20 } }));
    const out = world.call(["exec", id, "probe", "eat", String(200 << 20)]);
    expect(out).toMatchObject({ code: 137, stdout: "" });
    const stats = JSON.parse(world.call(["events", "--stats", id]).stdout) as { data: { oomKills: number; memory: { usage: { limit: number } } } };
    expect(stats.data.oomKills).toBeGreaterThanOrEqual(1);
    expect(stats.data.memory.usage.limit).toBe(32 << 20);
  });

  it("of processes: fork fails beyond", () => {
    const out = world.run(["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; echo unreached"], (c) => Object.assign(c.linux.resources, { pids: { limit: 5 } }));
    expect(out.code).not.toBe(0);
    expect(out.stderr).toContain("fork");
  });

  it("that cannot be had are refused by name", () => {
    const out = world.run(["true"], (c) => Object.assign(c.linux.resources, { hugepageLimits: [{ pageSize: "7MB", limit: 1 }] }));
    expect(out).toMatchObject({ code: 1, stderr: expect.stringMatching(/7MB|hugetlb/) });
    expect(world.run(["true"], (c) => Object.assign(c.linux.resources, { memory: { limit: 1 } })).code).not.toBe(0);
    expect(world.run(["true"], (c) => Object.assign(c.linux.resources, { unified: { "../x.y": "1" } }))).toMatchObject({ code: 1 });
  });
});

describe("the CPUs of further processes", () => {
  const cpus = ["grep", "Cpus_allowed_list", "/proc/self/status"];
  const affinity = (initial?: string, final?: string): Change => (c) =>
    (c.process.execCPUAffinity = { ...(initial === undefined ? {} : { initial }), ...(final === undefined ? {} : { final }) });
  const all = availableParallelism();

  it.skipIf(all < 2)("are the final ones; the initial ones hold only before the change to the container's cgroup", () => {
    const allowed = (change: Change): string => world.call(["exec", world.sleeping(change), ...cpus]).stdout.split(/\s+/)[1] ?? "";
    const everywhere = allowed(() => undefined);
    expect(allowed(affinity(undefined, "1"))).toBe("1");
    expect(allowed(affinity("0", "1"))).toBe("1");
    expect(allowed(affinity("0"))).toBe(everywhere);
    // The cgroup does not have CPU 1: before it is joined that can be chosen, after it cannot.
    const confined: Change = (c) => Object.assign(c.linux.resources, { cpu: { cpus: "0", mems: "0" } });
    expect(allowed((c) => (confined(c), affinity("1")(c)))).toBe("0");
    const id = world.sleeping((c) => (confined(c), affinity("1", "1")(c)));
    expect(world.call(["exec", id, ...cpus])).toMatchObject({ stdout: "", stderr: expect.stringContaining("execCPUAffinity.final 1: Invalid argument") });
  });

  it("are refused by name if there are none such, and do not concern the first process", () => {
    for (const [change, message] of [
      [affinity("1023", "0"), "execCPUAffinity.initial 1023: Invalid argument"],
      [affinity("0-x"), "not a list of CPUs: 0-x"],
    ] as const) {
      const id = world.sleeping(change);
      const out = world.call(["exec", id, "true"]);
      expect(out.code).not.toBe(0);
      expect(out.stderr).toContain(message);
    }
    const first = (change: Change): string => world.run(cpus, change).stdout;
    expect(first(affinity("0", "0"))).toBe(first(() => undefined));
  });
});

describe("a cgroup", () => {
  it("is one container's only", () => {
    const id = world.sleeping();
    const bundle = world.bundle((c) => (c.linux.cgroupsPath = `/stack-oci-test-${process.pid}/${world.state(id).bundle.split("/").at(-1)}`));
    expect(world.leave(["create", "-b", bundle, "second"])).toMatchObject({ code: 1, stderr: expect.stringContaining("has processes already") });
    expect(world.state(id).status).toBe("running");
  });

  it("holds processes only in its leaves on the unified hierarchy", () => {
    const id = world.sleeping();
    world.call(["exec", id, "true"]);
    for (const directory of world.cgroups().filter((d) => existsSync(join(d, "init/cgroup.procs")))) expect(readFileSync(join(directory, "cgroup.procs"), "utf8")).toBe("");
  });

  it("dies as a whole: nothing that was forked survives delete", () => {
    const id = world.sleeping();
    world.call(["exec", "--detach", id, "sh", "-c", "for i in 1 2 3 4 5; do (sleep 1000 &) ; done"], { stdio: "ignore" });
    const before = JSON.parse(world.call(["ps", "--format", "json", id]).stdout) as number[];
    expect(before.length).toBeGreaterThan(0);
    expect(world.call(["delete", "--force", id]).code).toBe(0);
    expect(before.filter((pid) => existsSync(`/proc/${pid}/exe`) && /^State:\t[^ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8")))).toEqual([]);
  });
});
