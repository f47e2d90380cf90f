import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MonitorWorld } from "./monitor/container.ts";
import type { TestContainer } from "./monitor/container.ts";

let world: MonitorWorld;
beforeEach(() => {
  world = new MonitorWorld();
});
afterEach(() => world.dispose());

async function running(spec: Parameters<MonitorWorld["container"]>[0]["spec"] = {}): Promise<TestContainer> {
  const container = world.container({ args: ["sleep", "1000"], spec, env: ["COLOUR=red", "KEPT=yes"] });
  await container.started();
  return container;
}

describe("exec", () => {
  test("runs a command with its two streams and its exit code", async () => {
    const container = await running();
    const connection = await container.connect();
    expect(await connection.request("exec", { args: ["sh", "-c", "echo out; echo err >&2; exit 3"], tty: false, stdin: false })).toMatchObject({ pid: expect.any(Number) as number });
    expect(await connection.streams()).toEqual({ stdout: "out\n", stderr: "err\n", last: { exit: { code: 3, signal: 0 } } });
  });

  test("standard input reaches the command, and its end does too", async () => {
    const container = await running();
    const connection = await container.connect();
    await connection.request("exec", { args: ["cat"], tty: false, stdin: true });
    connection.frame(0, "one\n");
    connection.frame(0, "two\n");
    connection.frame(0, "");
    expect(await connection.streams()).toMatchObject({ stdout: "one\ntwo\n", last: { exit: { code: 0 } } });
  });

  test("a megabyte goes through both ways, unchanged", async () => {
    const container = await running();
    const connection = await container.connect();
    await connection.request("exec", { args: ["cat"], tty: false, stdin: true });
    const sent = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => 33 + (i % 90)));
    for (let at = 0; at < sent.length; at += 65536) connection.frame(0, sent.subarray(at, at + 65536));
    connection.frame(0, "");
    const { stdout, last } = await connection.streams();
    expect(stdout.length).toBe(sent.length);
    expect(stdout === sent.toString()).toBe(true);
    expect(last).toEqual({ exit: { code: 0, signal: 0 } });
  });

  test("a client that does not read makes the command wait, not the monitor", async () => {
    const container = await running();
    const slow = await container.connect();
    await slow.request("exec", { args: ["yes"], tty: false, stdin: false });
    slow.pause();
    expect(await container.request("state")).toMatchObject({ ok: true });
    const reply = await container.request<{ output: string }>("exec", { args: ["echo", "fine"], tty: false, stdin: false, capture: 100 });
    expect(reply.output).toBe("fine\n");
    slow.close();
  });

  test("environment is added, user and directory are the request's", async () => {
    const container = await running();
    const reply = await container.request<{ output: string }>("exec", {
      args: ["sh", "-c", "echo $COLOUR $KEPT $NEW $HOME; id; pwd"],
      env: ["COLOUR=blue", "NEW=1"],
      user: "web",
      cwd: "/tmp",
      tty: false,
      stdin: false,
      capture: 4096,
    });
    expect(reply.output).toBe("blue yes 1 /home/web\nuid=1000(web) gid=1000(web) groups=50(log),1000(web)\n/tmp\n");
  });

  test("root has what the container may have, other users nothing, privileged all", async () => {
    const container = await running();
    const effective = async (fields: object): Promise<bigint> => {
      const { output } = await container.request<{ output: string }>("exec", { args: ["sh", "-c", "while read k v; do [ $k = CapEff: ] && echo $v; done < /proc/self/status"], tty: false, stdin: false, capture: 4096, ...fields });
      return BigInt(`0x${output.trim()}`);
    };
    expect(await effective({ user: "web" })).toBe(0n);
    const mine = await effective({ user: "0" });
    expect(mine).toBe(await effective({}));
    const all = await effective({ privileged: true });
    expect(all & mine).toBe(mine);
    expect(all > mine).toBe(true);
  });

  test("captures the last bytes of both streams, and what ends too late is ended", async () => {
    const container = await running();
    const capture = { tty: false, stdin: false, capture: 10 };
    expect(await container.request("exec", { args: ["sh", "-c", "echo 0123456789abc; exit 4"], ...capture })).toMatchObject({ exitCode: 4, signal: 0, timedOut: false, output: "456789abc\n" });
    expect(await container.request("exec", { args: ["sh", "-c", "echo x; sleep 1000 & wait"], ...capture, timeoutMs: 100 })).toMatchObject({ exitCode: 137, signal: 9, timedOut: true, output: "x\n" });
    const { output } = await container.request<{ output: string }>("exec", { args: ["ps"], tty: false, stdin: false, capture: 65536 });
    expect(output.match(/sleep 1000/g)).toHaveLength(1);
  });

  test("what is not UTF-8 is captured with replacement characters", async () => {
    const container = await running();
    expect(await container.request("exec", { args: ["printf", "a\\377b"], tty: false, stdin: false, capture: 100 })).toMatchObject({ output: "a\u{fffd}b" });
  });

  test.each([
    { args: ["nosuch"], errno: 2 },
    { args: ["/etc/passwd"], errno: 13 },
  ])("a command that cannot be executed says why: $args", async ({ args, errno }) => {
    const container = await running();
    await expect(container.request("exec", { args, tty: false, stdin: false })).rejects.toMatchObject({ failure: { errno } });
  });

  test("an unknown user is named", async () => {
    const container = await running();
    await expect(container.request("exec", { args: ["true"], user: "nobody-here", tty: false, stdin: false })).rejects.toThrow(/nobody-here/);
  });

  test("a terminal has the size that was asked for, and changes it", async () => {
    const container = await running();
    const connection = await container.connect();
    await connection.request("exec", { args: ["sh"], tty: true, stdin: true, rows: 33, cols: 101 });
    connection.frame(0, "stty size\n");
    await connection.untilOutput("33 101");
    connection.frame(3, JSON.stringify({ resize: { rows: 44, cols: 122 } }));
    connection.frame(0, "stty size\n");
    await connection.untilOutput("44 122");
    connection.frame(0, "exit 5\n");
    expect((await connection.streams()).last).toEqual({ exit: { code: 5, signal: 0 } });
  });

  test("a signal frame reaches the command", async () => {
    const container = await running();
    const connection = await container.connect();
    await connection.request("exec", { args: ["sleep", "1000"], tty: false, stdin: false });
    connection.frame(3, JSON.stringify({ signal: 15 }));
    expect((await connection.streams()).last).toEqual({ exit: { code: 143, signal: 15 } });
  });

  test("commands end with the container, and their clients are told", async () => {
    const container = await running();
    const connection = await container.connect();
    await connection.request("exec", { args: ["sleep", "1000"], tty: false, stdin: false });
    const stop = container.request("stop");
    expect((await connection.streams()).last).toEqual({ exit: { code: 137, signal: 9 } });
    await stop;
  });
});

describe("attach", () => {
  test("everybody who attached sees the output; the container's end is the last frame", async () => {
    const container = world.container({ args: ["sh", "-c", "read line; echo got $line; echo oops >&2; read line; exit 2"], spec: { stdin: true } });
    await container.started();
    const writer = await container.connect();
    await writer.request("attach", { stdin: true, stdout: true, stderr: true });
    const reader = await container.connect();
    await reader.request("attach", { stdin: false, stdout: true, stderr: false });
    writer.frame(0, "hello\n");
    await reader.untilOutput("got hello\n");
    writer.frame(0, "");
    expect(await writer.streams()).toMatchObject({ stdout: "got hello\n", stderr: "oops\n", last: { state: { status: "exited", exitCode: 2 } } });
    expect(await reader.streams()).toMatchObject({ stderr: "", last: { state: { exitCode: 2 } } });
  });

  test("an incomplete line is seen at once, and is in the log when the container has ended", async () => {
    const container = world.container({ args: ["sh", "-c", "read go; printf 'name? '; read name; echo hello $name"], spec: { stdin: true } });
    await container.started();
    const connection = await container.connect();
    await connection.request("attach", { stdin: true, stdout: true, stderr: true });
    connection.frame(0, "go\n");
    await connection.untilOutput("name? ");
    expect(container.text()).toBe("");
    connection.frame(0, "joe\n");
    await connection.streams();
    expect(container.text()).toBe("name? hello joe\n");
  });

  test("who does not read is dropped, and the container goes on", async () => {
    const container = world.container({ args: ["sh", "-c", "read go; seq 400000; echo done"], spec: { stdin: true, log: { driver: "none" } } });
    await container.started();
    const slow = await container.connect();
    await slow.request("attach", { stdin: true, stdout: true, stderr: true });
    slow.frame(0, "go\n");
    slow.pause();
    expect((await container.untilExited()).exitCode).toBe(0);
    slow.resume();
    const { last } = await slow.streams();
    expect(last).toBeUndefined();
  });

  test("a container with a terminal: size, echo, resize, end of input", async () => {
    const container = world.container({ args: ["sh"], spec: { tty: true, stdin: true } });
    await container.started();
    const connection = await container.connect();
    await connection.request("attach", { stdin: true, stdout: true, stderr: true, rows: 20, cols: 77 });
    connection.frame(0, "stty size\n");
    await connection.untilOutput("20 77");
    await container.request("resize", { rows: 21, cols: 78 });
    connection.frame(0, "stty size\n");
    await connection.untilOutput("21 78");
    connection.frame(0, "exit 9\n");
    expect((await connection.streams()).last).toMatchObject({ state: { exitCode: 9 } });
    expect(container.text()).toContain("21 78\r\n");
  });

  test("Ctrl-C in a terminal reaches the command in front", async () => {
    const container = world.container({ args: ["sh", "-c", "trap 'echo interrupted; exit 0' INT; echo ready; while :; do sleep 0.05; done"], spec: { tty: true, stdin: true } });
    await container.started();
    const connection = await container.connect();
    await connection.request("attach", { stdin: true, stdout: true, stderr: true });
    await container.untilLog("ready");
    connection.frame(0, "\x03");
    await connection.untilOutput("interrupted");
    expect((await container.untilExited()).exitCode).toBe(0);
  });

  test("who attaches first to an interactive container sees what was written before, once", async () => {
    const container = world.container({ args: ["sh", "-c", "printf 'prompt> '; read x; echo $x"], spec: { stdin: true } });
    await container.started();
    const probe = await container.connect();
    await probe.request("attach", { stdin: false, stdout: true, stderr: true, replay: true });
    await probe.untilOutput("prompt> ");
    const later = await container.connect();
    await later.request("attach", { stdin: true, stdout: true, stderr: true, replay: true });
    later.frame(0, "yes\n");
    expect((await later.streams()).stdout).toBe("yes\n");
  });

  test("a process that is to wait for somebody to attach has the terminal's size from the start, and loses nothing", async () => {
    for (let i = 0; i < 5; i++) {
      const container = world.container({ args: ["sh", "-c", "stty size; echo done"], spec: { tty: true, stdin: true, startOnAttach: true } });
      await container.started();
      const connection = await container.connect();
      await connection.request("attach", { stdin: true, stdout: true, stderr: true, rows: 40, cols: 120 });
      expect(await connection.streams()).toMatchObject({ stdout: "40 120\r\ndone\r\n", last: { state: { exitCode: 0 } } });
    }
  });

  test("a command that cannot be executed after somebody attached is told in the last frame", async () => {
    writeFileSync(`${world.rootfs}/script`, "#!/no/such/interpreter\n", { mode: 0o755 });
    const container = world.container({ args: ["/script"], spec: { startOnAttach: true, restart: { policy: "always" } } });
    await container.started();
    const connection = await container.connect();
    await connection.request("attach", { stdin: false, stdout: true, stderr: true });
    expect(await connection.streams()).toMatchObject({ stdout: "", last: { state: { exitCode: 127, endedBy: "start-failure", error: { stage: "exec", errno: 2 } } } });
  });

  test("a container that waits for somebody to attach can be stopped", async () => {
    const container = world.container({ args: ["sleep", "1000"], spec: { startOnAttach: true } });
    await container.started();
    expect(await container.request("stop")).toMatchObject({ state: { status: "exited" } });
  });

  test("resize without a terminal says so", async () => {
    const container = await running();
    await expect(container.request("resize", { rows: 1, cols: 1 })).rejects.toThrow(/no terminal/);
  });
});

describe("the socket", () => {
  test("answers who has ended its requests but still listens", async () => {
    const container = world.container({ args: ["sh", "-c", "trap 'sleep 0.2; exit 0' TERM; echo ready; while :; do sleep 0.02; done"] });
    await container.started();
    await container.untilLog("ready");
    const connection = await container.connect();
    connection.write({ v: 1, op: "stop" });
    connection.end();
    expect(await connection.line()).toMatchObject({ ok: true, state: { status: "exited", exitCode: 0 } });
  });

  test("refuses what it does not know, and goes on", async () => {
    const container = await running();
    const connection = await container.connect();
    await expect(connection.request("dance")).rejects.toThrow(/dance/);
    await expect(connection.request("state", { v: 99 })).rejects.toThrow(/version/);
    expect(await connection.request("state")).toMatchObject({ ok: true });
  });

  test("garbage closes one connection, not the monitor", async () => {
    const container = await running();
    const connection = await container.connect();
    await connection.request("attach", { stdin: true, stdout: true, stderr: true });
    connection.frame(77, "x");
    expect(await connection.nextFrame()).toBeUndefined();
    expect(await container.request("state")).toMatchObject({ ok: true });
  });
});
