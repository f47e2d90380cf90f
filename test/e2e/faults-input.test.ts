import { chmodSync, chownSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { repository, useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });

/** The one block that an error is: its text, and that nothing was made. */
async function refused(args: readonly string[], file?: string) {
  const machine = used.current;
  if (file !== undefined) machine.write("compose.yaml", file);
  const result = await machine.stack(...args);
  expect(result.code, result.output).not.toBe(0);
  expect(result.stderr, "no stack traces for a user").not.toMatch(/^\s+at .*\.(js|ts):\d+/m);
  expect(await machine.remains(), "nothing half made").toEqual([]);
  return result;
}

describe("a file that is wrong", () => {
  test("is refused with everything that is wrong at once, each with its line quoted", async () => {
    const { stderr, code } = await refused(
      ["up", "-d"],
      `services:
  web:
    imge: nginx:1
    ports: ["80:80:80:80:80"]
  db:
    image: postgres:15
    healthcheck:
      interval: soon
`,
    );
    expect(code).toBe(1); // as Docker Compose
    expect(stderr).toMatch(/compose\.yaml:3:5/);
    expect(stderr).toMatch(/did you mean `image`/i);
    expect(stderr).toMatch(/compose\.yaml:4:\d+/);
    expect(stderr).toMatch(/compose\.yaml:8:\d+/);
    expect(stderr).toContain("interval: soon");
  });

  test("is refused with line and column when it is not YAML", async () => {
    const { stderr } = await refused(["up", "-d"], "services:\n  web:\n    image: busybox:1\n   command: [sleep\n");
    expect(stderr).toMatch(/compose\.yaml:\d+:\d+/);
  });

  test("is refused for a dependency cycle, which is shown", async () => {
    const { stderr } = await refused(
      ["up", "-d"],
      `services:
  a: {image: "busybox:1", depends_on: [b]}
  b: {image: "busybox:1", depends_on: [c]}
  c: {image: "busybox:1", depends_on: [a]}
`,
    );
    expect(stderr).toMatch(/cycle/i);
    expect(stderr).toMatch(/a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c|a → b → c → a/);
  });

  test("is refused for networks, volumes and services that it names and does not define", async () => {
    const { stderr } = await refused(
      ["up", "-d"],
      `services:
  web:
    image: busybox:1
    networks: [fornt]
    volumes: ["dta:/data"]
    depends_on: [databse]
  database: {image: "busybox:1"}
networks: {front: {}}
volumes: {data: {}}
`,
    );
    for (const [wrong, right] of [["fornt", "front"], ["dta", "data"], ["databse", "database"]]) {
      expect(stderr).toContain(wrong);
      expect(stderr.toLowerCase()).toContain(`did you mean \`${right}\``);
    }
  });

  test("is refused for a key of ours in a Compose file, with the way to write it", async () => {
    const { stderr } = await refused(["config"], "services:\n  web:\n    rootfs: /\n    command: [sleep, inf]\n");
    expect(stderr).toContain("x-stack");
  });

  test("does not hang or swell on anchors that explode", async () => {
    const lines = ["x-0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"];
    for (let n = 1; n < 12; n += 1) lines.push(`x-${n}: &a${n} [${Array(9).fill(`*a${n - 1}`).join(", ")}]`);
    const result = await refused(["config"], `${lines.join("\n")}\nservices:\n  web: {image: "busybox:1"}\n`);
    expect(result.ms).toBeLessThan(10_000);
    expect(result.stderr).toMatch(/alias/i);
  });
});

describe("a command line that is wrong", () => {
  const file = "services:\n  web: {image: 'busybox:1', command: [sleep, '1000']}\n";

  test("names the service that does not exist, and one that it may have meant", async () => {
    const { stderr } = await refused(["up", "-d", "wbe"], file);
    expect(stderr).toContain("wbe");
    expect(stderr).toContain("web");
  });

  test("says which stack files it looked for when there is none", async () => {
    const machine = used.current;
    mkdirSync(`${machine.directory}/empty`, { recursive: true });
    const result = await machine.start(["up", "-d"], { cwd: "/" }).ended;
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("compose.yaml");
    expect(result.stderr).toContain("stack.yaml");
  });

  test("knows its commands and flags", async () => {
    expect((await refused(["upp"], file)).stderr).toMatch(/up/);
    expect((await refused(["up", "--detatch"], file)).stderr).toContain("--detach");
    expect((await refused(["up", "--no-recreate", "--force-recreate"], file)).stderr).toMatch(/--no-recreate|--force-recreate/);
  });
});

describe("a process that cannot start", () => {
  const run = (command: string, more = "") => `services:\n  web:\n    image: busybox:1\n    command: ${command}\n${more}`;

  test("is 127 when the command does not exist, named", async () => {
    const machine = used.current;
    machine.write("compose.yaml", run("[no-such-program, -x]"));
    const attached = await machine.stack("up", "--exit-code-from", "web");
    expect(attached.code, attached.output).toBe(127);
    expect(attached.output).toContain("no-such-program");
    expect((await machine.stack("run", "--rm", "web", "nor-this")).code).toBe(127);
    await machine.ok("down", "-v");
    expect(await machine.remains()).toEqual([]);
  });

  test("is 126 when the file is not executable", async () => {
    const machine = used.current;
    chmodSync(machine.write("script.sh", "#!/bin/sh\n", 0o644), 0o644);
    machine.write("compose.yaml", run("[/script.sh]", "    volumes: ['./script.sh:/script.sh:ro']\n"));
    const result = await machine.stack("run", "--rm", "web");
    expect(result.code, result.output).toBe(126);
    expect(result.output).toContain("/script.sh");
    await machine.ok("down", "-v");
    expect(await machine.remains()).toEqual([]);
  });

  test("is told apart from a missing interpreter", async () => {
    const machine = used.current;
    machine.write("lost.sh", "#!/opt/missing/interpreter\n", 0o755);
    machine.write("compose.yaml", run("[/script.sh]", "    volumes: ['./lost.sh:/script.sh:ro']\n"));
    const result = await machine.stack("run", "--rm", "web");
    expect(result.code, result.output).toBe(127);
    expect(result.output).toMatch(/interpreter|loader/);
    await machine.ok("down", "-v");
  });

  test("is refused for a user that the image does not have", async () => {
    const machine = used.current;
    machine.write("compose.yaml", run("[sleep, '5']", "    user: nobody-of-this-name\n"));
    const result = await machine.stack("up", "-d");
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("nobody-of-this-name");
    await machine.ok("down", "-v");
    expect(await machine.remains()).toEqual([]);
  });

  test("passes exit statuses and signals through `run` and `exec`", async () => {
    const machine = used.current;
    machine.write("compose.yaml", run("[sleep, '1000']"));
    expect((await machine.stack("run", "--rm", "web", "sh", "-c", "exit 42")).code).toBe(42);
    expect((await machine.stack("run", "--rm", "web", "sh", "-c", "kill -9 $$")).code).toBe(137);
    await machine.ok("up", "-d");
    expect((await machine.stack("exec", "-T", "web", "sh", "-c", "exit 7")).code).toBe(7);
    expect((await machine.stack("exec", "-T", "web", "missing")).code).toBe(127);
    expect((await machine.start(["exec", "-T", "web", "cat"], { input: "through and back\n" }).ended).stdout).toBe("through and back\n");
    await machine.ok("down", "-t", "1");
  });
});

test("a socket that is not there is no directory to be made: who is meant to listen is named", async () => {
  const machine = used.current;
  const socket = join(machine.scratch, "docker.sock");
  machine.write("compose.yaml", `name: sockets\nservices:\n  proxy: {image: "busybox:1", command: [sleep, "1000"], volumes: ["${socket}:/var/run/docker.sock:ro"]}\n`);
  const { code, output } = await machine.stack("up", "-d");
  expect(code).toBe(1);
  expect(output).toContain(`nobody listens at ${socket}`);
  expect(output).toContain("Docker's, which stack neither needs nor imitates");
  expect(existsSync(socket)).toBe(false);
  await machine.ok("down");
});

test("a sysctl of the whole machine is refused with where it is set", async () => {
  const machine = used.current;
  machine.write("compose.yaml", `name: sysctls\nservices:\n  search: {image: "busybox:1", command: [sleep, "1000"], sysctls: {vm.max_map_count: 262144}}\n`);
  const { code, output } = await machine.stack("up", "-d");
  expect(code).toBe(1);
  expect(output).toContain("Set it on the host (`sysctl -w vm.max_map_count=…`)");
  await machine.ok("down");
});

test("without root a command that needs it says so, and those that look at files work", async () => {
  const machine = used.current;
  machine.write("compose.yaml", `name: rights\nservices:\n  a: {image: "busybox:1"}\n`);
  chmodSync(machine.scratch, 0o755);
  const home = join(machine.scratch, "nobody");
  mkdirSync(home, { mode: 0o777 });
  chownSync(home, 65534, 65534);
  const asNobody = (...args: readonly string[]) => machine.command(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", process.execPath, join(repository, "dist/stack.js"), ...args], { env: { STACK_ROOT: join(home, "root"), HOME: home } }).ended;
  expect(await asNobody("up", "-d")).toMatchObject({ code: 1, output: expect.stringMatching(/containers need root[^]*sudo/) as string });
  expect(await asNobody("config", "--services")).toMatchObject({ code: 0, stdout: "a\n" });
});
