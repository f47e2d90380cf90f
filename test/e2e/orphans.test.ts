/** Which containers a command means that names no service: what Docker Compose 2.40 was seen to do with the same files. */
import { afterEach, expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });
const idle = (profile = ""): string => `{image: "busybox:1", command: sleep 1000, stop_signal: SIGKILL${profile === "" ? "" : `, profiles: [${profile}]`}}`;
const file = (...services: readonly string[]): string => `name: whose\nservices:\n  a: ${idle()}\n  b: ${idle("p")}\n${services.map((name) => `  ${name}: ${idle()}\n`).join("")}`;

/** `a`, the service `b` of an inactive profile, and `gone`, which is no longer in the file, run. */
async function three(): Promise<void> {
  const machine = used.current;
  machine.write("compose.yaml", file("gone"));
  await machine.ok("--profile", "p", "up", "-d");
  machine.write("compose.yaml", file());
}

async function states(...args: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const rows = await used.current.json<{ Name: string; State: string }>(...args, "ps", "-a");
  return Object.fromEntries(rows.map(({ Name, State }) => [Name, State] as const).sort());
}

afterEach(async () => {
  await used.current.ok("-p", "whose", "down", "-v", "-t", "0");
  expect(await used.current.remains()).toEqual([]);
});

test("commands that name no service mean those of active services", async () => {
  await three();
  const machine = used.current;
  const others = { "whose-b-1": "running", "whose-gone-1": "running" };
  await machine.ok("pause");
  expect(await states()).toEqual({ "whose-a-1": "paused", ...others });
  await machine.ok("unpause");
  await machine.ok("restart", "-t", "0");
  await machine.ok("stop");
  expect(await states()).toEqual({ "whose-a-1": "exited", ...others });
  expect((await machine.stack("rm", "-f", "-s")).output).toContain("Going to remove whose-a-1\n");
  expect(await states()).toEqual(others);
  expect((await machine.stack("kill")).output).toBe("no container to kill\n");
  expect(await states()).toEqual(others);
  await machine.ok("kill", "--remove-orphans");
  expect(await states()).toEqual({ "whose-b-1": "exited", "whose-gone-1": "exited" });
});

test("with the project's name alone they mean whatever there is", async () => {
  await three();
  const machine = used.current;
  await machine.ok("-p", "whose", "stop");
  expect(await states()).toEqual({ "whose-a-1": "exited", "whose-b-1": "exited", "whose-gone-1": "exited" });
  await machine.ok("-p", "whose", "start");
  expect(await states()).toMatchObject({ "whose-a-1": "running", "whose-b-1": "running" });
  await machine.ok("-p", "whose", "down");
  expect(await states()).toEqual({});
});

test("`down` takes the containers of active profiles, says which it keeps and how to take them too, and --remove-orphans takes what the file has not", async () => {
  await three();
  const machine = used.current;
  const id = (await machine.ok("run", "-d", "--name", "worker", "a", "sleep", "1000")).trim();
  expect(id).toMatch(/^[0-9a-f]{64}$|^[0-9a-f]+$/);
  await machine.ok("run", "--name", "ended", "a", "true");
  const first = await machine.stack("down");
  expect(first.code, first.output).toBe(0);
  expect(first.output).toMatch(/profiles are not active are kept \(whose-b-1\): give --profile p/);
  expect(first.output).toMatch(/One-off containers that run are kept \(worker\): --remove-orphans/);
  expect(first.output).toMatch(/orphan containers \(whose-gone-1\)/);
  expect(await states()).toEqual({ worker: "running", "whose-b-1": "running", "whose-gone-1": "running" });
  await machine.ok("down", "--remove-orphans");
  expect(await states()).toEqual({ "whose-b-1": "running" });
  await machine.ok("--profile", "p", "down");
  expect(await states()).toEqual({});
});

test("COMPOSE_PROFILES and --profile \"*\" activate for `down` as for `up`", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file());
  await machine.ok("--profile", "*", "up", "-d");
  const down = await machine.start(["down"], { env: { COMPOSE_PROFILES: "p" } }).ended;
  expect(down.code, down.output).toBe(0);
  expect(await states()).toEqual({});
});

test("`ps` shows orphans and inactive services unless told not to", async () => {
  await three();
  const machine = used.current;
  expect(await states()).toHaveProperty("whose-gone-1");
  expect(await states()).toHaveProperty("whose-b-1");
  expect((await machine.ok("ps", "-a", "--orphans=false", "--format", "{{.Name}}")).trim()).toBe("whose-a-1");
  expect((await machine.ok("--profile", "p", "ps", "-a", "--orphans=false", "--format", "{{.Name}}")).trim().split("\n")).toEqual(["whose-a-1", "whose-b-1"]);
});

test("`run --remove-orphans` takes the orphans and nothing else, and makes no other service's containers", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file("gone"));
  await machine.ok("up", "-d", "gone");
  machine.write("compose.yaml", file("other"));
  await machine.ok("run", "--rm", "--remove-orphans", "a", "true");
  expect(await states()).toEqual({});
});
