import { chmodSync, cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadNative } from "../../src/native/index.ts";
import { repository, useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });

test("an agent ends with the last container, without being asked", async () => {
  const machine = used.current;
  machine.write("compose.yaml", 'services: {job: {image: "busybox:1", command: sleep 0.3}}\n');
  await machine.ok("up", "-d");
  const native = loadNative();
  // Held as long as the agent lives.
  native.close(await native.lockWait(join(machine.root, "projects", "project", "agent.lock"), "shared").promise);
  expect(machine.containers.map((c) => c.state?.status)).toEqual(["exited"]);
  await machine.ok("down");
  expect(await machine.remains()).toEqual([]);
});

test("what an agent compiled serves the next one, and a damaged copy of it hinders nothing", async () => {
  const machine = used.current;
  machine.write("compose.yaml", 'services: {web: {image: "busybox:1", command: sleep 1000}}\n');
  const upAndDown = async (): Promise<void> => {
    await machine.ok("up", "-d");
    await machine.ok("down", "-t", "0");
    expect(await machine.remains()).toEqual([]);
  };
  await upAndDown();
  const lib = readdirSync(join(machine.root, "bin")).map((hash) => join(machine.root, "bin", hash, "lib"))[0] ?? "";
  const code = (): string[] => readdirSync(lib).filter((name) => name.startsWith("agent.cjs.") && name.endsWith(".used"));
  expect(code()).toHaveLength(1);
  const [name = ""] = code();
  for (const damage of ["", "nonsense", readFileSync(join(lib, name)).subarray(0, 1000)]) {
    writeFileSync(join(lib, name), damage);
    await upAndDown();
    expect(readFileSync(join(lib, name)).length).toBeGreaterThan(100_000);
  }
});

test("a command that fails before it needs its agent leaves none behind", async () => {
  const machine = used.current;
  machine.write("compose.yaml", 'services: {web: {image: "busybox:1", command: sleep 1000}}\n');
  await machine.ok("up", "-d");
  await machine.ok("down", "-t", "0");
  for (const argv of [["up", "--nonsense"], ["up", "-d", "nobody"], ["-f", "nowhere.yaml", "up"]]) expect((await machine.stack(...argv)).code).not.toBe(0);
  expect(await machine.remains()).toEqual([]);
});

test("monitors are forks of one process of the agent's, which goes with it; without it they are started one by one", async () => {
  const machine = used.current;
  machine.write("compose.yaml", 'services: {a: {image: "busybox:1", command: sleep 1000}, b: {image: "busybox:1", command: sleep 1000}}\n');
  const servers = (): readonly number[] => machine.sweep.processes().flatMap(({ pid, what }) => (what.includes("fork-server") ? [pid] : []));
  await machine.ok("up", "-d", "a");
  expect(servers()).toHaveLength(1);
  const { id } = machine.container("project-a-1").record;
  // Whoever looks for a container's monitor finds it by its command line.
  expect(machine.sweep.processes().filter(({ what }) => what.includes("monitor --dir") && what.includes(id))).toHaveLength(1);
  for (const pid of servers()) process.kill(pid, "SIGKILL");
  await machine.ok("up", "-d", "b");
  expect(machine.containers.map((c) => c.state?.status)).toEqual(["running", "running"]);
  await machine.ok("up", "-d", "--force-recreate");
  expect(servers()).toHaveLength(1);
  await machine.ok("down", "-t", "0");
  expect(await machine.remains()).toEqual([]);
});

test("an image without /proc, /sys, /dev and files of /etc costs a container nothing of its own", async () => {
  const machine = used.current;
  machine.write("compose.yaml", 'services: {web: {image: "busybox:1", command: sleep 1000}}\n');
  await machine.ok("up", "-d");
  expect(readdirSync(join(machine.root, "containers", machine.container("project-web-1").record.id, "upper"))).toEqual([]);
  expect(await machine.ok("exec", "-T", "web", "sh", "-c", "hostname -i; stat -c %a / /etc /etc/hosts")).toMatch(/^\d+\.\d+\.\d+\.\d+\n755\n755\n644\n$/);
  await machine.ok("down", "-t", "0");
});

test("an agent of another version hands over, and the containers run on", async () => {
  const machine = used.current;
  machine.write("compose.yaml", 'services: {web: {image: "busybox:1", command: sleep 1000}}\n');
  await machine.ok("up", "-d");
  const pid = machine.pid("project-web-1");
  const before = machine.read("../root/projects/project/agent.json");
  const newer = join(machine.scratch, "newer");
  cpSync(join(repository, "dist"), newer, { recursive: true });
  writeFileSync(join(newer, ".hash"), "another version");
  const { code, output } = await machine.command([join(newer, "stack"), "up", "-d"]).ended;
  expect(code, output).toBe(0);
  expect(machine.read("../root/projects/project/agent.json")).not.toBe(before);
  expect(machine.pid("project-web-1")).toBe(pid);
  await machine.ok("down", "-t", "0");
  expect(await machine.remains()).toEqual([]);
});

test("what cannot be healed at once is tried again, also when nothing else of the project runs", async () => {
  const machine = used.current;
  machine.write("compose.yaml", 'services: {web: {image: "busybox:1", command: sleep 1000, restart: always}}\n');
  await machine.ok("up", "-d");
  const { id, state } = machine.container("project-web-1");
  const programs = readdirSync(join(machine.root, "bin")).map((hash) => join(machine.root, "bin", hash, "native/stack-runtime"));
  for (const program of programs) chmodSync(program, 0o644);
  for (const { pid, what } of machine.sweep.processes()) if (what.includes("fork-server") || (what.includes("monitor --dir") && what.includes(id))) process.kill(pid, "SIGKILL");
  process.kill(state?.pid ?? 0, "SIGKILL");
  await expect.poll(() => readFileSync(join(machine.root, "agent.log"), "utf8"), { timeout: 10_000 }).toContain("healing-failed");
  for (const program of programs) chmodSync(program, 0o755);
  await machine.until("it runs again", (all) => all.some((c) => c.state?.status === "running" && c.state.pid !== state?.pid));
  await machine.ok("down", "-t", "0");
  expect(await machine.remains()).toEqual([]);
});

test("containers that were killed with their monitors keep the ports that they had of a range", async () => {
  const machine = used.current;
  machine.write("compose.yaml", 'services: {web: {image: "busybox:1", command: sleep 1000, restart: always, ports: ["8060-8062:80"], deploy: {replicas: 3}}}\n');
  await machine.ok("up", "-d");
  const ports = async (): Promise<unknown> => Object.fromEntries(await Promise.all(["1", "2", "3"].map(async (index) => [index, await machine.ok("port", "--index", index, "web", "80")])));
  const before = await ports();
  const pids = machine.containers.map((c) => c.state?.pid ?? 0);
  const monitors = machine.sweep.processes().flatMap(({ pid, what }) => (what.includes("monitor --dir") ? [pid] : []));
  expect(monitors).toHaveLength(3);
  for (const pid of [...monitors, ...pids.toReversed()]) process.kill(pid, "SIGKILL");
  await machine.until("they run again", (all) => all.length === 3 && all.every((c) => c.state?.status === "running" && !pids.includes(c.state.pid)));
  expect(await ports()).toEqual(before);
  await machine.ok("down", "-t", "0");
  expect(await machine.remains()).toEqual([]);
});
