import { afterEach, describe, expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });

afterEach(async () => {
  await used.current.ok("down", "-v", "-t", "0");
});

describe("hooks", () => {
  test("pre_start runs before the service in a container of its own, with its volumes and what the hook says; post_start and pre_stop in it", async () => {
    const machine = used.current;
    machine.write(
      "compose.yaml",
      `services:
  web:
    image: busybox:1
    command: [sh, -c, "echo main >> /data/order; exec sleep 1000"]
    user: "1000"
    volumes: ["data:/data"]
    pre_start:
      - command: [sh, -c, 'chmod 777 /data; echo "first $$(id -u) $$PWD $$WHO" >> /data/order; chmod 666 /data/order']
        user: "0"
        working_dir: /tmp
        environment: {WHO: hook}
      - command: [sh, -c, "echo second >> /data/order; grep CapEff /proc/self/status >> /data/order"]
        user: "0"
        privileged: true
    post_start:
      - command: [sh, -c, 'echo "post $$(id -u) $$PWD $$WHO" >> /data/order']
        user: "0"
        working_dir: /etc
        environment: {WHO: after}
    pre_stop:
      - command: [sh, -c, 'echo "stopping $$(id -u)" >> /data/order']
volumes: {data: {}}
`,
    );
    await machine.ok("up", "-d");
    expect((await machine.ok("ps", "-aq")).trim().split("\n")).toHaveLength(1);
    await machine.ok("stop", "-t", "0");
    const order = (await machine.ok("run", "--rm", "--no-deps", "web", "cat", "/data/order")).trim().split("\n");
    expect(order).toEqual(["first 0 /tmp hook", "second", expect.stringMatching(/^CapEff:\s+000001ff/), "main", "post 0 /etc after", "stopping 1000"]);
  });

  test("a pre_start hook that fails keeps the service from starting, says why, and leaves nothing of itself", async () => {
    const machine = used.current;
    machine.write("compose.yaml", `services: {web: {image: "busybox:1", command: [sleep, "1000"], pre_start: [{command: [sh, -c, "echo no schema; exit 3"]}]}}\n`);
    const { code, output } = await machine.stack("up", "-d");
    expect(code).toBe(1);
    expect(output).toContain("project-web-1: pre_start hook `sh -c echo no schema; exit 3` exited with 3");
    expect(output).toContain("| no schema");
    expect(machine.containers.map(({ record, state }) => [record.name, state?.status ?? "created"])).toEqual([["project-web-1", "created"]]);
  });

  test("per_replica runs it once for each", async () => {
    const machine = used.current;
    machine.write("compose.yaml", `services: {web: {image: "busybox:1", command: [sleep, "1000"], scale: 3, volumes: ["data:/data"], pre_start: [{command: [sh, -c, "echo x >> /data/n"], per_replica: true}, {command: [sh, -c, "echo once >> /data/n"]}]}}\nvolumes: {data: {}}\n`);
    await machine.ok("up", "-d");
    expect(await machine.ok("exec", "web", "cat", "/data/n")).toBe("x\nx\nx\nonce\n");
  });
});

test("depends_on.restart: what depends on a service is restarted with it, by `restart` and when it is recreated, and says so", async () => {
  const machine = used.current;
  const file = (value: string): string => `services:
  db: {image: "busybox:1", command: [sleep, "1000"], environment: {A: "${value}"}, init: true}
  web: {image: "busybox:1", command: [sleep, "1000"], depends_on: {db: {condition: service_started, restart: true}}}
  other: {image: "busybox:1", command: [sleep, "1000"], depends_on: [db]}
`;
  machine.write("compose.yaml", file("1"));
  await machine.ok("up", "-d");
  const pids = () => ["web", "other"].map((name) => machine.pid(`project-${name}-1`));
  const [web, other] = pids();
  await machine.ok("restart", "-t", "1", "db");
  const [after, same] = pids();
  expect(after).not.toBe(web);
  expect(same).toBe(other);
  machine.write("compose.yaml", file("2"));
  expect(await machine.ok("plan")).toMatch(/start-container project-web-1 +\(db is recreated\)/);
  await machine.ok("up", "-d", "-t", "1");
  expect(pids()[0]).not.toBe(after);
  expect(pids()[1]).toBe(other);
});
