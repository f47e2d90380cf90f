import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });
const sleeper = 'image: busybox:1, init: true, command: [sleep, "1000"]';

afterEach(async () => {
  await used.current.ok("down", "-v", "-t", "1", "--remove-orphans");
  expect(await used.current.remains()).toEqual([]);
});

const list = (path: string): readonly string[] => readdirSync(join(used.current.root, path)).sort();

describe("an image that cannot be had", () => {
  test("leaves no network, no volume and no container, and what runs runs on", async () => {
    const machine = used.current;
    machine.write("compose.yaml", `services:\n  web: {${sleeper}, volumes: ["data:/data"]}\n  lost: {image: "127.0.0.1:1/nobody:1"}\nvolumes: {data: {}}\n`);
    const first = await machine.stack("up", "-d");
    expect(first.code, first.output).toBe(1);
    expect(first.stderr).toContain("127.0.0.1:1/nobody:1");
    expect(await machine.remains({ volumes: true })).toEqual([]);
    expect(list("layers").filter((name) => name.endsWith(".use")).map((name) => name.slice(0, -4)).filter((layer) => !list("layers").includes(layer))).toEqual([]);

    machine.write("compose.yaml", `services:\n  web: {${sleeper}}\n`);
    await machine.ok("up", "-d");
    const { pid } = machine.container("project-web-1").state!;
    machine.write("compose.yaml", `services:\n  web: {${sleeper}, environment: {A: b}}\n  lost: {image: "127.0.0.1:1/nobody:1"}\n`);
    expect((await machine.stack("up", "-d")).code).toBe(1);
    expect(machine.containers.map((c) => [c.record.name, c.state?.pid])).toEqual([["project-web-1", pid]]);
  });
});

describe("start", () => {
  test("of what has no container says so, with status 1", async () => {
    const machine = used.current;
    machine.write("compose.yaml", `services:\n  w: {${sleeper}}\n  v: {${sleeper}}\n`);
    for (const args of [["start"], ["start", "w"]]) {
      const { code, stderr } = await machine.stack(...args);
      expect(code).toBe(1);
      expect(stderr).toMatch(/service "[vw]" has no container to start/);
    }
    await machine.ok("create", "w");
    const { code, stderr } = await machine.stack("start");
    expect(code).toBe(0);
    expect(stderr).toContain('service "v" has no container to start');
    expect(machine.container("project-w-1").state?.status).toBe("running");
  });
});

describe("configs and secrets", () => {
  const file = (content: string): string => `services:
  web:
    ${sleeper.replaceAll(", ", "\n    ").replace('[sleep\n    "1000"]', '[sleep, "1000"]')}
    configs: [inline, {source: plain, target: /plain}]
    secrets: [key, token]
configs:
  inline: {content: ${content}}
  plain: {file: ./plain.txt}
secrets:
  key: {file: ./key.txt}
  token: {environment: TOKEN}
`;

  test("that hold something else make the container anew, and the plan says which; nothing else does", async () => {
    const machine = used.current;
    const up = async (token: string, ...args: string[]) => {
      const result = await machine.start(args, { env: { TOKEN: token } }).ended;
      expect(result.code, result.output).toBe(0);
      return result.stdout;
    };
    const id = () => machine.container("project-web-1").record.id;
    machine.write("compose.yaml", file("one"));
    machine.write("plain.txt", "one");
    machine.write("key.txt", "one");
    await up("one", "up", "-d");
    const first = id();
    await up("one", "up", "-d");
    expect(id()).toBe(first);
    for (const [what, change] of [
      ["config inline", () => machine.write("compose.yaml", file("two"))],
      ["config plain", () => machine.write("plain.txt", "two")],
      ["secret key", () => machine.write("key.txt", "two")],
      ["secret token", () => undefined],
    ] as const) {
      const before = id();
      change();
      const token = what === "secret token" ? "two" : "one";
      expect(await up(token, "plan"), what).toContain(`${what}: content changed`);
      await up(token, "up", "-d", "-t", "1");
      expect(id(), what).not.toBe(before);
      expect(await up(token, "plan"), what).not.toContain("changed");
    }
    expect(await machine.ok("exec", "-T", "web", "sh", "-c", "cat /inline /plain /run/secrets/key /run/secrets/token")).toBe("twotwotwotwo");
  });

  test("that are external are refused before anything is made", async () => {
    const machine = used.current;
    machine.write("compose.yaml", `services:\n  web: {${sleeper}, secrets: [key]}\nsecrets: {key: {external: true}}\n`);
    const { code, stderr } = await machine.stack("up", "-d");
    expect(code).toBe(1);
    expect(stderr).toContain('unsupported external secret "key"');
    expect(stderr).toContain("environment:");
    expect(await machine.remains()).toEqual([]);
  });
});

describe("commands in another mount namespace than the first", () => {
  test("use the same router: what one makes reaches what the other made", async () => {
    const machine = used.current;
    const apart = async (...args: string[]) => {
      const result = await machine.command(["unshare", "--mount", "--propagation", "private", process.execPath, join(import.meta.dirname, "../../dist/stack.js"), ...args]).ended;
      expect(result.code, result.output).toBe(0);
    };
    machine.write("compose.yaml", `services:\n  a: {${sleeper}}\n`);
    machine.write("second.yaml", `services:\n  b: {${sleeper}, networks: [project]}\nnetworks: {project: {name: project_default, external: true}}\n`);
    await apart("up", "-d");
    await machine.ok("-p", "second", "-f", "second.yaml", "up", "-d");
    await machine.ok("-p", "second", "-f", "second.yaml", "exec", "-T", "b", "ping", "-c", "1", "-W", "5", "a");
    await machine.ok("exec", "-T", "a", "ping", "-c", "1", "-W", "5", "second-b-1");
    await apart("-p", "second", "-f", "second.yaml", "down", "-t", "1");
    await machine.ok("exec", "-T", "a", "true");
  });
});

describe("stop", () => {
  test("cut short by a kill does not say that the time was over", async () => {
    const machine = used.current;
    machine.write("compose.yaml", `services:\n  web:\n    image: busybox:1\n    init: true\n    command: [sh, -c, "trap 'echo asked' TERM; echo ready; while :; do sleep 0.1; done"]\n`);
    await machine.ok("up", "-d");
    const logs = machine.start(["logs", "-f", "--no-log-prefix"]);
    await logs.until("ready");
    const stop = machine.start(["stop", "-t", "60"]);
    await logs.until("asked");
    await machine.ok("kill");
    const { code, output } = await stop.ended;
    expect(code, output).toBe(0);
    expect(output).not.toMatch(/did not stop within/);
    expect(output).toContain("killed by another command");
    await logs.ended;
  });
});
