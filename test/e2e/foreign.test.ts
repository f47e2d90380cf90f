/** `runtime: runc`: what keeps the container running is killed; the next command finds its way. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });
afterEach(async () => {
  await used.current.ok("down", "-v", "-t", "1");
  expect(await used.current.remains()).toEqual([]);
});

const file = (more = "") => `services:
  web:
    image: busybox:1
    runtime: runc
    restart: always
    stop_grace_period: 1s
    command: [sh, -c, "echo begun; trap 'echo told; exit 0' TERM USR1; while :; do sleep 0.05; done"]
    ${more}
`;
const name = "project-web-1";
const guardians = () => used.current.sweep.processes().filter(({ what }) => what.includes("stack-agent") || / monitor /.test(what));

/** Agent and monitor at once, so that none of them brings the other back. */
function killGuardians(): void {
  const alive = guardians();
  expect(alive.length).toBeGreaterThanOrEqual(2);
  for (const { pid } of alive) process.kill(pid, "SIGKILL");
}

test("with agent and monitor killed it runs on, is taken over by the next command, and is logged, entered and stopped as before", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file());
  await machine.ok("up", "-d");
  const pid = machine.pid(name);
  killGuardians();
  expect(readFileSync(`/proc/${pid}/cmdline`, "utf8"), "it runs on").toContain("begun");
  await machine.ok("up", "-d");
  expect(machine.pid(name), "nothing right is touched").toBe(pid);
  expect(await machine.ok("exec", "-T", "web", "echo", "inside")).toBe("inside\n");
  await machine.ok("stop");
  expect(machine.container(name).state).toMatchObject({ status: "exited", exitCode: 0 });
  expect((await machine.ok("logs", "--no-log-prefix", "web")).trim().split("\n")).toEqual(["begun", "told"]);
});

test("taken over, it is restarted by its policy, and recreated when the file changes", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file());
  await machine.ok("up", "-d");
  killGuardians();
  await machine.ok("up", "-d");
  const pid = machine.pid(name);
  process.kill(pid, "SIGKILL");
  await machine.until("another process runs", (all) => all.some(({ state }) => state?.status === "running" && state.pid !== pid && state.restarts === 1));
  killGuardians();
  machine.write("compose.yaml", file("environment: {A: changed}"));
  await machine.ok("up", "-d");
  expect(await machine.ok("exec", "-T", "web", "sh", "-c", "echo $A")).toBe("changed\n");
});

test("a part of a volume is found in the volume at each start, whatever link a container has put there meanwhile", async () => {
  const machine = used.current;
  const outside = join(machine.scratch, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "secret"), "the host's own");
  machine.write(
    "compose.yaml",
    `services:
  writer: {image: "busybox:1", init: true, command: [sh, -c, "mkdir -p /all/part; echo kept > /all/part/file; sleep 1000"], volumes: ["data:/all"]}
  web:
    image: busybox:1
    runtime: runc
    command: [sh, -c, "ls /part; cat /part/file; sleep 1000"]
    stop_signal: SIGKILL
    volumes: [{type: volume, source: data, target: /part, volume: {subpath: part}}]
volumes: {data: {}}
`,
  );
  await machine.ok("up", "-d", "writer");
  await machine.ok("exec", "-T", "writer", "sh", "-c", "until [ -e /all/part/file ]; do :; done");
  await machine.ok("up", "-d", "web");
  expect(await machine.ok("exec", "-T", "web", "cat", "/part/file")).toBe("kept\n");
  await machine.ok("exec", "-T", "writer", "sh", "-c", `mv /all/part /all/old; ln -s ${outside} /all/part`);
  const { output } = await machine.stack("restart", "web");
  expect(output).not.toContain("secret");
  expect((await machine.stack("exec", "-T", "web", "cat", "/part/secret")).stdout).toBe("");
  expect(await machine.ok("logs", "web")).not.toContain("secret");
  await machine.ok("exec", "-T", "writer", "sh", "-c", "rm /all/part; mv /all/old /all/part");
  await machine.ok("up", "-d", "web");
  expect(await machine.ok("exec", "-T", "web", "cat", "/part/file")).toBe("kept\n");
});

test("with agent, monitor and container killed, the next command starts it again, and `down` leaves nothing", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file());
  await machine.ok("up", "-d");
  const pid = machine.pid(name);
  killGuardians();
  process.kill(pid, "SIGKILL");
  await machine.ok("up", "-d");
  expect(machine.pid(name)).not.toBe(pid);
  expect(await machine.ok("exec", "-T", "web", "echo", "inside")).toBe("inside\n");
  killGuardians();
});
