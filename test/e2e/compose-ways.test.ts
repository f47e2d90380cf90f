/** Scenarios of people's scripts, each seen to end the same with Docker Compose 2.40 on the same file. */
import { afterEach, expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });
const shell = (text: string): string => `[sh, -c, ${JSON.stringify(text)}]`;
const names = (text: string): readonly string[] => text.trim().split("\n");

afterEach(async () => {
  await used.current.ok("down", "-v", "-t", "0", "--remove-orphans");
  expect(await used.current.remains()).toEqual([]);
});

const pair = `name: ways
services:
  db: {image: "busybox:1", init: true, command: [sleep, "1000"]}
  app: {image: "busybox:1", command: ${shell("echo app says so; echo app complains >&2; exit 3")}, depends_on: [db]}
`;

test("an attached `up` of one service ends with it; what it depends on runs on and decides nothing", async () => {
  const machine = used.current;
  machine.write("compose.yaml", pair);
  const plain = await machine.stack("up", "app");
  expect(plain.code, plain.output).toBe(0);
  expect(plain.stdout).toContain("app-1 exited with code 3");
  expect(plain.stdout).not.toContain("app complains");
  const { code, output } = await machine.stack("up", "--attach-dependencies", "app");
  expect(code, output).toBe(0);
  expect(names(await machine.ok("ps", "--services"))).toEqual(["db"]);
});

test("--exit-code-from and --abort-on-container-exit of a named service do not mind its dependencies' ends", async () => {
  const machine = used.current;
  machine.write(
    "compose.yaml",
    `name: ways
services:
  migrate: {image: "busybox:1", command: "true"}
  tests: {image: "busybox:1", command: ${shell("exit 4")}, depends_on: {migrate: {condition: service_completed_successfully}}}
`,
  );
  for (const flag of ["--exit-code-from=tests", "--abort-on-container-exit", "--abort-on-container-failure"]) {
    const { code, output } = await machine.stack("up", flag, "tests");
    expect(code, `${flag}\n${output}`).toBe(4);
  }
});

test("`logs` writes all to standard output, as scripts that pipe it expect", async () => {
  const machine = used.current;
  machine.write("compose.yaml", pair);
  await machine.stack("up", "app");
  const { stdout, stderr } = await machine.stack("logs", "app");
  expect([...names(stdout)].sort()).toEqual(["app-1  | app complains", "app-1  | app says so"]);
  expect(stderr).toBe("");
});

test("`up` and `scale` tell which containers run already, `restart` says Restarting", async () => {
  const machine = used.current;
  machine.write("compose.yaml", pair.replace(/ {2}app:[^]*/, ""));
  await machine.ok("up", "-d");
  expect((await machine.stack("up", "-d")).output).toContain(" Container ways-db-1  Running\n");
  const scaled = (await machine.stack("scale", "db=2")).output;
  expect(scaled).toContain(" Container ways-db-1  Running\n");
  expect(scaled).toContain(" Container ways-db-2  Started\n");
  const restarted = (await machine.stack("restart", "-t", "0", "db")).output;
  expect([...names(restarted)].map((line) => line.trim()).sort()).toEqual([1, 2].flatMap((n) => [`Container ways-db-${n}  Restarting`, `Container ways-db-${n}  Started`]));
});

test("pausing what is paused, and unpausing what is not, fails", async () => {
  const machine = used.current;
  machine.write("compose.yaml", pair.replace(/ {2}app:[^]*/, ""));
  await machine.ok("up", "-d");
  await machine.ok("pause", "db");
  expect(await machine.stack("pause", "db")).toMatchObject({ code: 1, output: expect.stringContaining("already paused") as string });
  await machine.ok("unpause", "db");
  expect(await machine.stack("unpause", "db")).toMatchObject({ code: 1, output: expect.stringContaining("not paused") as string });
});

test("`ps` lists what a service and its image expose, once, and not what is published", async () => {
  const machine = used.current;
  machine.write("compose.yaml", `name: ways\nservices:\n  db: {image: "busybox:1", init: true, command: [sleep, "1000"], expose: ["99", "3000-3002", "53/udp", "80"], ports: ["127.0.0.1:8093:80"]}\n`);
  await machine.ok("up", "-d");
  expect((await machine.ok("ps", "--format", "{{.Ports}}")).trim()).toBe("53/udp, 127.0.0.1:8093->80/tcp, 99/tcp, 3000-3002/tcp");
  const [row] = await machine.json<{ Publishers: readonly { URL: string; TargetPort: number; PublishedPort: number; Protocol: string }[] }>("ps");
  expect(row?.Publishers).toContainEqual({ URL: "", TargetPort: 99, PublishedPort: 0, Protocol: "tcp" });
});

test("`run` makes volumes that the file has not, shows the command's output with --quiet, and is found by `exec` and `port`", async () => {
  const machine = used.current;
  machine.write("compose.yaml", pair);
  const kept = await machine.stack("run", "--rm", "--no-deps", "-v", "ways-extra:/kept", "app", "sh", "-c", "echo kept > /kept/file");
  expect(kept.code, kept.output).toBe(0);
  expect((await machine.ok("run", "--rm", "--no-deps", "--quiet", "-v", "ways-extra:/kept", "app", "cat", "/kept/file")).trim()).toBe("kept");
  await machine.ok("run", "-d", "--no-deps", "-p", "127.0.0.1:8094:80", "--name", "by-run", "app", "sleep", "1000");
  expect((await machine.ok("exec", "-T", "app", "hostname")).trim()).not.toBe("");
  expect((await machine.ok("port", "app", "80")).trim()).toBe("127.0.0.1:8094");
  await machine.ok("down", "-t", "0", "--remove-orphans");
  machine.write("compose.yaml", `${pair.replace("depends_on", 'volumes: ["ways-extra:/kept"], depends_on')}volumes: {ways-extra: {name: ways-extra}}\n`);
});
