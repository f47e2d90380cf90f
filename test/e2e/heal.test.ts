import { existsSync, readFileSync, readdirSync, rmSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";

// What changes behind the back of `stack` is found without anybody asking, and put right; what is right stays.

const used = useMachine({ images: true });

const file = `
services:
  web:
    image: busybox:1
    command: sleep infinity
    restart: always
    stop_grace_period: 0s
    deploy: {replicas: 2}
  db:
    image: busybox:1
    command: sleep infinity
    restart: always
    mem_limit: 64m
    stop_grace_period: 0s
    volumes: [data:/data]
volumes: {data: {}}
`;

const ids = (): Readonly<Record<string, string>> => Object.fromEntries(used.current.containers.map((c) => [c.record.name, c.id]));
const others = (name: string): Readonly<Record<string, string>> => Object.fromEntries(Object.entries(ids()).filter(([known]) => known !== name));

/** Until another container of the name runs. */
function renewed(name: string, old: string): Promise<string> {
  return used.current.until(`${name} is there again`, (all) => all.find((c) => c.record.name === name && c.id !== old && c.state?.status === "running")?.id);
}

function killMonitorOf(id: string): void {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    let command = "";
    try {
      command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      continue; // it ended while we looked
    }
    if (command.includes("monitor") && command.includes(id)) process.kill(Number(pid), "SIGKILL");
  }
}

/** The file that holds a container's memory limit, whatever version of control groups this machine has. */
function memoryLimitOf(pid: number): string {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n").map((line) => line.split(":"));
  const v1 = lines.find(([, controllers = ""]) => controllers.split(",").includes("memory"));
  if (v1 !== undefined) return join("/sys/fs/cgroup/memory", v1[2] ?? "", "memory.limit_in_bytes");
  const path = lines.find(([, controllers]) => controllers === "")?.[2] ?? "";
  return join("/sys/fs/cgroup", path.replace(/\/init$/, ""), "memory.max");
}

function untilContent(path: string, wanted: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(path, () => {
      look();
    });
    const look = (): void => {
      if (readFileSync(path, "utf8").trim() !== wanted) return;
      watcher.close();
      resolve();
    };
    look();
  });
}

test("a container whose files somebody has removed is made again, and nothing is left of the old one", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file);
  await machine.ok("up", "-d");
  const before = ids();
  const pid = machine.pid("project-web-1");
  rmSync(machine.container("project-web-1").directory, { recursive: true });
  await renewed("project-web-1", before["project-web-1"]!);
  expect(machine.sweep.processes().filter((p) => p.pid === pid)).toEqual([]);
  expect(others("project-web-1")).toEqual(Object.fromEntries(Object.entries(before).filter(([name]) => name !== "project-web-1")));
  expect(await machine.ok("exec", "-T", "db", "nslookup", "-type=a", "web")).toContain("Name");
});

test("a container that died with its monitor is started again", async () => {
  const machine = used.current;
  const { id } = machine.container("project-web-2");
  const pid = machine.pid("project-web-2");
  killMonitorOf(id);
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // with its monitor
  }
  await machine.until("web-2 runs again", (all) => all.some((c) => c.id === id && c.state?.status === "running" && c.state.pid !== pid));
});

test("a volume that somebody has removed is made again, with the container that used it", async () => {
  const machine = used.current;
  const old = machine.container("project-db-1").id;
  const untouched = others("project-db-1");
  rmSync(join(machine.root, "volumes", "project_data"), { recursive: true });
  await renewed("project-db-1", old);
  await machine.ok("exec", "-T", "db", "touch", "/data/there");
  expect(existsSync(join(machine.root, "volumes", "project_data", "_data", "there"))).toBe(true);
  expect(others("project-db-1")).toEqual(untouched);
});

test("a limit that somebody has changed is set again, and the plan says so until it is", async () => {
  const machine = used.current;
  const { id } = machine.container("project-db-1");
  const path = memoryLimitOf(machine.pid("project-db-1"));
  writeFileSync(path, String(128 * 1024 * 1024));
  await untilContent(path, String(64 * 1024 * 1024));
  expect(machine.container("project-db-1").id).toBe(id);
  expect((await machine.stack("plan", "--exit-code")).code).toBe(0);
});

test("diff and status tell what differs, and what is wrong although nothing differs", async () => {
  const machine = used.current;
  expect(await machine.ok("diff", "--exit-code")).toBe("no differences\n");
  expect(await machine.ok("status", "--exit-code")).toBe("project: converged, 3 of 3 containers running\n");
  machine.write("compose.yaml", file.replace("mem_limit: 64m", "environment: {DEBUG: '1'}\n    mem_limit: 64m").replace("volumes: {data: {}}", "  more: {image: 'busybox:1', command: sleep infinity}\nvolumes: {data: {}}"));
  const diff = await machine.stack("diff", "--exit-code");
  expect(diff.code).toBe(2);
  expect(diff.stdout).toBe('~ container project-db-1\n    environment.DEBUG: (not set) → "1"\n+ container project-more-1\n    no existing container\n');
  const status = await machine.stack("status", "--exit-code", "--format", "json");
  expect(status.code).toBe(2);
  expect(JSON.parse(status.stdout)).toMatchObject({ project: "project", converged: false, running: 3, containers: 3, reasons: [{ what: "container project-db-1" }, { what: "container project-more-1" }] });
  machine.write("compose.yaml", file);
});

test("what a command has stopped or removed stays so, also when something else is healed and the agent is a new one", async () => {
  const machine = used.current;
  await machine.ok("stop", "db");
  await machine.ok("up", "-d", "--scale", "web=1", "web");
  const agent = machine.sweep.processes().find((p) => p.what.startsWith("stack-agent "));
  process.kill(agent!.pid, "SIGKILL");
  const old = machine.container("project-web-1").id;
  rmSync(machine.container("project-web-1").directory, { recursive: true });
  await renewed("project-web-1", old);
  expect(machine.containers.map((c) => [c.record.name, c.state?.status])).toEqual([["project-db-1", "exited"], ["project-web-1", "running"]]);
});
