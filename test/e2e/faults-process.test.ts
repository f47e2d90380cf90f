import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { until } from "../integration/monitor/container.ts";
import { onTerminal } from "../support/terminal.ts";
import { useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });

const file = `services:
  first:
    image: node:20
    init: true
    command: &server [node, -e, 'require("http").createServer((q, r) => r.end("here")).listen(80, () => console.log("ready"))']
    ports: ["8060:80"]
    restart: always
    healthcheck: {test: [CMD, node, -e, "fetch('http://127.0.0.1/').then(() => 0)"], interval: 5s, start_period: 10s, start_interval: 200ms}
  second:
    image: busybox:1
    command: [sh, -c, "echo up; sleep 1000"]
    init: true
    restart: always
    depends_on: {first: {condition: service_healthy}}
    volumes: ["data:/data"]
  third: {image: "busybox:1", command: [sleep, "1000"]}
volumes: {data: {}}
`;
const agents = () => used.current.sweep.processes().filter((p) => p.what.includes("stack-agent"));
const monitors = () => used.current.sweep.processes().filter((p) => / monitor /.test(p.what));

/** Whatever happened before: `up` succeeds, `down` succeeds, nothing stays. */
async function recovers() {
  const machine = used.current;
  await machine.ok("up", "-d", "--wait");
  expect((await machine.network.http("http://127.0.0.1:8060/")).body).toBe("here");
  await machine.ok("down", "-v", "-t", "1");
  expect(await machine.remains()).toEqual([]);
}

describe("Ctrl-C", () => {
  test("at any moment of `up` leaves a state from which `up` and `down` succeed", async () => {
    const machine = used.current;
    machine.write("compose.yaml", file);
    // The moments are spread over the course of the command; the delay is what is tested, not waited for.
    for (const ms of [5, 40, 90, 140, 200, 280, 400, 700]) {
      const up = machine.start(["up", "-d", "--wait"]);
      await delay(ms);
      up.signal("SIGINT");
      const { code, output } = await up.ended;
      expect([0, 130, null], output).toContain(code);
      await machine.ok("down", "-v", "-t", "1");
      expect(await machine.remains(), `after ${ms} ms`).toEqual([]);
    }
    await recovers();
  });

  test("on an attached `up` stops the stack, and says so", async () => {
    const machine = used.current;
    const up = onTerminal(machine, ["up"]);
    await up.until("ready");
    await machine.until("all run", (all) => all.length === 3 && all.every((c) => c.state?.status === "running"));
    up.write("\x03");
    const { output } = await up.ended;
    expect(output).toMatch(/stopp/i);
    expect(machine.containers.filter((c) => c.state?.status === "running")).toEqual([]);
    await machine.ok("down", "-v");
    expect(await machine.remains()).toEqual([]);
  });
});

describe("something that does not want to stop", () => {
  const stubborn = useMachine({ images: true });
  const deaf = `services:\n  web: {image: "busybox:1", init: true, stop_grace_period: 1h, command: [sh, -c, "trap '' TERM INT; echo deaf; while :; do sleep 1; done"]}\n`;

  test("ends at once with a second Ctrl-C", async () => {
    const machine = stubborn.current;
    machine.write("compose.yaml", deaf);
    const up = onTerminal(machine, ["up"]);
    await up.until("deaf");
    up.write("\x03");
    await up.until(/Gracefully/);
    up.write("\x03");
    await up.ended;
    expect(machine.containers.map((c) => c.state?.status)).toEqual(["exited"]);
  });

  test("gives way to `kill` and to a shorter `stop`, while another command still waits", async () => {
    const machine = stubborn.current;
    for (const sooner of [["kill"], ["stop", "-t", "0"], ["down", "-t", "0"]]) {
      await machine.ok("up", "-d");
      const stop = machine.start(["stop"]);
      await stop.until(/Stopping/);
      await machine.ok(...sooner);
      expect([0, 130]).toContain((await stop.ended).code); // done, or told that another command took over
    }
    expect(await machine.remains()).toEqual([]);
  });
});

describe("the agent", () => {
  test("may be killed: containers run on, are logged, restarted and reached; the next command finds them", async () => {
    const machine = used.current;
    await machine.ok("up", "-d", "--wait");
    const pids = machine.containers.map((c) => c.state?.pid);
    for (const { pid } of agents()) process.kill(pid, "SIGKILL");
    expect((await machine.network.http("http://127.0.0.1:8060/")).body).toBe("here");
    expect(machine.containers.map((c) => c.state?.pid)).toEqual(pids);
    const before = machine.container("project-first-1").state?.restarts ?? 0;
    process.kill(machine.pid("project-first-1"), "SIGKILL");
    await machine.until("restarted without an agent, or by the next one", (all) => all.some((c) => c.record.name === "project-first-1" && c.state?.status === "running" && c.state.restarts > before));
    await machine.ok("up", "-d", "--wait");
    expect(machine.container("project-third-1").state?.pid).toBe(pids[2]);
    await machine.ok("down", "-v", "-t", "1");
    expect(await machine.remains()).toEqual([]);
  });

  test("may be killed at any moment of `up`", async () => {
    const machine = used.current;
    for (const ms of [60, 150, 250, 400]) {
      const up = machine.start(["up", "-d", "--wait"]);
      await delay(ms);
      for (const { pid } of agents()) process.kill(pid, "SIGKILL");
      const { code, output } = await up.ended;
      if (code !== 0) expect(output).toMatch(/agent/i);
      await recovers();
    }
  });
});

describe("a monitor", () => {
  test("may be killed: the stack is whole again after the next `up`", async () => {
    const machine = used.current;
    await machine.ok("up", "-d", "--wait");
    for (const { pid } of monitors()) process.kill(pid, "SIGKILL");
    await machine.ok("ps", "-a");
    await recovers();
  });

  test("may be killed together with the agent and every container", async () => {
    const machine = used.current;
    await machine.ok("up", "-d", "--wait");
    for (const { pid } of machine.sweep.processes()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        continue; // it went with one that was killed before
      }
    }
    const listed = await machine.ok("ps", "-a");
    expect(listed).not.toMatch(/\bUp\b/);
    await recovers();
  });
});

describe("what was written and not yet logged", () => {
  test.each([true, false])("survives the end of monitor and container together (init: %s)", async (init) => {
    const machine = used.current;
    const shared = machine.write("shared/.keep", "").replace(/\/\.keep$/, "");
    const script = `[ -e /shared/done ] && exec sleep 1000; echo first; until [ -e /shared/go ]; do sleep 0.02; done; echo last words; : > /shared/done; exec sleep 1000`;
    machine.write("compose.yaml", JSON.stringify({ services: { talker: { image: "busybox:1", init, command: ["sh", "-c", script], volumes: ["./shared:/shared"], stop_grace_period: "0s" } } }));
    try {
      await machine.ok("up", "-d", "--wait");
      const { monitorPid = 0, pid = 0 } = machine.container("project-talker-1").state ?? {};
      // It sees nothing of what comes, as if it were killed in the moment before.
      process.kill(monitorPid, "SIGSTOP");
      const done = until([shared], () => existsSync(`${shared}/done`), "it has written");
      machine.write("shared/go", "");
      await done;
      process.kill(monitorPid, "SIGKILL");
      process.kill(pid, "SIGKILL");
      await machine.ok("up", "-d", "--wait");
      expect(await machine.ok("logs", "--no-log-prefix", "talker")).toBe("first\nlast words\n");
    } finally {
      await machine.ok("down", "-v", "-t", "0");
      rmSync(shared, { recursive: true });
      machine.write("compose.yaml", file);
    }
  });
});

describe("two commands at once", () => {
  test("two `up` of one project both succeed, and make it once", async () => {
    const machine = used.current;
    const both = await Promise.all([machine.stack("up", "-d", "--wait"), machine.stack("up", "-d", "--wait")]);
    for (const { code, output } of both) expect(code, output).toBe(0);
    expect(machine.containers.map((c) => c.record.name)).toEqual(["project-first-1", "project-second-1", "project-third-1"]);
    const together = await Promise.all([machine.stack("down", "-v", "-t", "1"), machine.stack("down", "-v", "-t", "1")]);
    for (const { code, output } of together) expect(code, output).toBe(0);
    expect(await machine.remains()).toEqual([]);
  });

  test("ten projects come up together, each with addresses of its own", async () => {
    const machine = used.current;
    machine.write("small.yaml", 'services:\n  web: {image: "busybox:1", command: [sleep, "1000"]}\n');
    const projects = Array.from({ length: 10 }, (_, n) => `many${n}`);
    const ups = await Promise.all(projects.map((p) => machine.stack("-p", p, "-f", "small.yaml", "up", "-d")));
    for (const { code, output } of ups) expect(code, output).toBe(0);
    const addresses = machine.containers.flatMap((c) => c.record.networks.map((n) => n.ipv4));
    expect(new Set(addresses).size).toBe(10);
    const downs = await Promise.all(projects.map((p) => machine.stack("-p", p, "-f", "small.yaml", "down", "-t", "0")));
    for (const { code, output } of downs) expect(code, output).toBe(0);
    expect(await machine.remains()).toEqual([]);
  });
});

describe("a restart of the machine", () => {
  /** What a restart leaves: files with another boot's id, and nothing in the kernel. */
  function restart() {
    const machine = used.current;
    for (let round = 0; machine.sweep.processes().length > 0 && round < 1000; round += 1) {
      for (const { pid } of machine.sweep.processes()) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          continue;
        }
      }
    }
    for (const mount of [...machine.sweep.mounts()].reverse()) execFileSync("umount", ["-l", mount]);
    for (const line of machine.sweep.remains({ enter: machine.network.enter, links: machine.links })) {
      if (line.startsWith("cgroup ")) execFileSync("sh", ["-c", 'find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || true', "gone", line.slice(7)]);
      const [file = "", ...enter] = machine.network.enter;
      // The router's namespace may have ended since we looked (its pin went with the mounts), and its uplink with it.
      if (line.startsWith("link ")) execFileSync("sh", ["-c", 'out=$("$@" 2>&1) || case $out in *"Cannot find device"*) ;; *) echo "$out" >&2; exit 1 ;; esac', "del", file, ...enter, "ip", "link", "del", line.slice(5)]);
      if (line.startsWith("nftables table ")) execFileSync(file, [...enter, "nft", "delete", "table", ...line.slice(15).split(" ")]);
    }
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const files = execFileSync("grep", ["-rlF", boot, machine.root, "--include=*.json"], { encoding: "utf8" }).trim().split("\n");
    for (const path of files) {
      writeFileSync(`${path}.new`, readFileSync(path, "utf8").replaceAll(boot, "00000000-0000-4000-8000-000000000000"));
      renameSync(`${path}.new`, path);
    }
  }

  test("leaves stacks that are shown as not running, come up again with their data, and go without a trace", async () => {
    const machine = used.current;
    machine.write("compose.yaml", file);
    await machine.ok("up", "-d", "--wait");
    await machine.ok("exec", "-T", "second", "sh", "-c", "echo kept > /data/file");
    const ids = machine.containers.map((c) => c.id);
    restart();
    expect(await machine.ok("ps", "-a")).not.toMatch(/\bUp\b/);
    await machine.ok("up", "-d", "--wait");
    expect(machine.containers.map((c) => c.id)).toEqual(ids);
    expect(await machine.ok("exec", "-T", "second", "cat", "/data/file")).toBe("kept\n");
    expect((await machine.network.http("http://127.0.0.1:8060/")).body).toBe("here");
    restart();
    await machine.ok("down", "-v");
    expect(await machine.remains()).toEqual([]);
    expect(machine.containers).toEqual([]);
  });
});
