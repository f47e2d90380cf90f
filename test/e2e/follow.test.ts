import { existsSync, readFileSync, statSync, watch } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Machine } from "../support/machine.ts";
import { useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });

const file = (environment: string): string => `
services:
  web: {image: "busybox:1", command: sleep infinity, environment: {VERSION: "${environment}"}, stop_grace_period: 0s}
  other: {image: "busybox:1", command: sleep infinity, stop_grace_period: 0s}
`;

/** Until the log of the agents has the text `count` times. */
function untilLogged(machine: Machine, text: string, count = 1): Promise<string> {
  const path = join(machine.root, "agent.log");
  return new Promise((resolve) => {
    const watcher = watch(path, () => {
      look();
    });
    const look = (): void => {
      const log = readFileSync(path, "utf8");
      if (log.split(text).length <= count) return;
      watcher.close();
      resolve(log);
    };
    look();
  });
}

function version(machine: Machine): Promise<string> {
  return machine.ok("exec", "-T", "web", "sh", "-c", "echo $VERSION");
}

test("a followed stack is what its file says, a moment after it was saved", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file("1"));
  await machine.ok("up", "-d", "--follow");
  const other = machine.container("project-other-1").id;
  machine.write("compose.yaml", file("2"));
  await untilLogged(machine, "compose.yaml changed: applied");
  expect(await version(machine)).toBe("2\n");
  expect(machine.container("project-other-1").id).toBe(other);
});

test("a file that does not load changes nothing, and says why", async () => {
  const machine = used.current;
  const { id } = machine.container("project-web-1");
  machine.write("compose.yaml", file("3").replace("command", "comand"));
  const log = await untilLogged(machine, "everything runs on as it was");
  expect(log).toContain("comand");
  expect(machine.container("project-web-1").id).toBe(id);
  machine.write("compose.yaml", file("3"));
  await untilLogged(machine, "compose.yaml changed: applied", 2);
  expect(await version(machine)).toBe("3\n");
});

test("a new agent follows on, and applies what was saved while there was none", async () => {
  const machine = used.current;
  const project = join(machine.root, "projects/project");
  const { pid } = JSON.parse(readFileSync(join(project, "agent.json"), "utf8")) as { pid: number };
  process.kill(pid, "SIGKILL");
  machine.write("compose.yaml", file("killed"));
  await untilLogged(machine, "compose.yaml changed: applied", 3);
  expect(await version(machine)).toBe("killed\n");
  machine.write("compose.yaml", file("again"));
  await untilLogged(machine, "compose.yaml changed: applied", 4);
  expect(await version(machine)).toBe("again\n");
  // It holds the environment of whoever asked.
  expect(statSync(join(project, "follow.json")).mode & 0o777).toBe(0o600);
  await machine.ok("stop");
  expect(existsSync(join(project, "follow.json"))).toBe(false);
});

test("the terminal that follows shows what was done, and Ctrl-C ends both", async () => {
  const machine = used.current;
  await machine.ok("down");
  const up = machine.start(["up", "--follow"]);
  await up.until("Attaching to");
  await machine.until("both run", (all) => all.filter((c) => c.state?.status === "running").length === 2);
  machine.write("compose.yaml", file("4"));
  await up.until("compose.yaml changed: applied");
  expect(await version(machine)).toBe("4\n");
  up.signal("SIGINT");
  expect((await up.ended).code).toBe(130);
  await machine.ok("down");
  expect(await machine.remains()).toEqual([]);
});
