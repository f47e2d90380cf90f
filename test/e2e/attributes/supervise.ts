import { readFileSync } from "node:fs";
import { join } from "node:path";
import { kill } from "node:process";
import { expect } from "vitest";
import type { ProcessState, SupervisedProcess } from "../../../src/runtime/formats.ts";
import { service } from "./scene.ts";
import type { Scene, World } from "./scene.ts";

const process = (...names: readonly string[]): readonly string[] => service(...names.map((name) => `processes.*.${name}`));
const declared = (w: World, of: string, name: string): SupervisedProcess | undefined => {
  const spec = JSON.parse(readFileSync(join(w.container(of).directory, "monitor.json"), "utf8")) as { supervision: { processes: SupervisedProcess[] } };
  return spec.supervision.processes.find((p) => p.name === name);
};
const stateOf = (w: World, of: string, name: string): ProcessState | undefined => w.container(of).state?.supervision?.processes?.find((p) => p.name === name);
const until = (w: World, of: string, name: string, status: string): Promise<unknown> =>
  w.machine.until(`${of}:${name} is ${status}`, (all) => all.find((c) => c.record.service === of && c.state?.supervision?.processes?.some((p) => p.name === name && p.status === status) === true));
const starts = (w: World, of: string): readonly unknown[] => {
  const lines = readFileSync(join(w.container(of).directory, "events.log"), "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((e) => e["type"] === "process-start").map((e) => e["process"]);
};

/** Several processes in one container, and daemons that it starts by itself. */
export const supervise: Scene = {
  title: "supervise",
  files: {
    "stack.yaml": `name: watched
services:
  web:
    rootfs: /
    network_mode: none
    environment: {A: outer, B: outer}
    processes:
      prep: {command: [sh, -c, 'echo prepared > /tmp/page'], oneshot: true}
      http: {command: [busybox, httpd, -f, -p, "8080", -h, /tmp], essential: true, ready: [{tcp: 8080}, {http: {port: 8080, path: /page, status: 200-299}}]}
      worker:
        command: sleep 100000
        user: daemon
        environment: {A: inner}
        working_dir: /usr
        restart: on-failure:4
        restart_policy: {first_delay: 10ms, delay: 20ms, factor: 3, max_delay: 2s, jitter: 0.2, reset_after: 5s}
        stop_signal: SIGQUIT
        stop_grace_period: 3s
        depends_on: {http: ready}
      files: {command: [sh, -c, 'touch /tmp/there; exec sleep 100000'], ready: {file: /tmp/there, exec: [test, -e, /tmp/page], timeout: 20s, interval: 50ms}}
      told: {command: [sh, -c, 'echo told up; exec sleep 100000'], depends_on: [http], ready: [{log: ^told up$}, {http: {port: 8080, path: /page, body: ^prepared}}]}
      job: {command: [sh, -c, 'exit 3'], oneshot: true, restart: "no", ready: {exit: 3}}
  ender:
    rootfs: /
    network_mode: none
    processes:
      short: {command: [sh, -c, 'exit 9'], restart: "no", essential: true}
      long: {command: [sleep, '100000']}
  legacy:
    rootfs: /
    network_mode: none
    command: [sh, -c, '(setsid sleep 77777 &) ; while :; do sleep 100000; done']
    expect: [sleep, gonedaemon]
    on_orphan_exit: log
`,
  },
  checks: [
    {
      of: [...service("processes"), ...process("command", "oneshot", "depends_on", "ready", "ready.tcp", "ready.http", "ready.http.port", "ready.http.path", "ready.http.status", "ready.http.body", "ready.log", "ready.file", "ready.exec", "ready.exit")],
      seen: "their order and states; `ps --processes`, `top` and `logs` name them",
      look: async (w) => {
        await until(w, "web", "worker", "running");
        await until(w, "web", "files", "running");
        await until(w, "web", "told", "running");
        const order = starts(w, "web");
        expect(order.indexOf("prep")).toBeLessThan(order.indexOf("http"));
        expect(order.indexOf("http")).toBeLessThan(order.indexOf("worker"));
        expect(stateOf(w, "web", "job")).toMatchObject({ status: "exited", exitCode: 3, ready: true });
        const rows = await w.machine.json<{ Process: string; State: string }>("ps", "--processes", "--format", "json", "web");
        expect(Object.fromEntries(rows.map((row) => [row.Process, row.State]))).toEqual({ prep: "exited", http: "running", worker: "running", files: "running", told: "running", job: "exited" });
        expect(await w.machine.ok("top", "web")).toMatch(/worker +daemon .*sleep 100000/);
      },
    },
    {
      of: process("user", "environment", "working_dir"),
      seen: "what `exec web:worker` finds in its place",
      look: async (w) => {
        await until(w, "web", "worker", "running");
        expect((await w.machine.ok("exec", "-T", "web:worker", "sh", "-c", 'id -un; echo "$A $B"; pwd')).trim().split("\n")).toEqual(["daemon", "inner outer", "/usr"]);
      },
    },
    {
      of: process("restart", "restart_policy", "restart_policy.first_delay", "restart_policy.delay", "restart_policy.factor", "restart_policy.max_delay", "restart_policy.jitter", "restart_policy.reset_after", "stop_signal", "stop_grace_period", "ready.timeout", "ready.interval"),
      seen: "the policy that init follows; a killed one runs again",
      look: async (w) => {
        expect(declared(w, "web", "worker")).toMatchObject({
          restart: { policy: "on-failure", maxAttempts: 4, firstDelayMs: 10, delayMs: 20, factor: 3, maxDelayMs: 2000, jitter: 0.2, resetAfterMs: 5000 },
          stop: { signal: 3, graceMs: 3000 },
        });
        expect(declared(w, "web", "files")?.ready.map((probe) => [probe.timeoutMs, probe.intervalMs])).toEqual([[20_000, 50], [20_000, 50]]);
        await until(w, "web", "worker", "running");
        await w.machine.ok("restart", "web:worker");
        expect(stateOf(w, "web", "worker")).toMatchObject({ status: "running", restarts: 1, signal: 3 });
        await w.machine.ok("stop", "web:worker");
        expect(stateOf(w, "web", "worker")).toMatchObject({ status: "stopped", pid: 0 });
        await w.machine.ok("start", "web:worker");
        expect(stateOf(w, "web", "worker")).toMatchObject({ status: "running" });
      },
    },
    {
      of: process("essential"),
      seen: "the container's end, with its exit code",
      look: async (w) => {
        await w.machine.until("ender ended", (all) => all.find((c) => c.record.service === "ender" && c.state?.status === "exited"));
        expect(w.container("ender").state).toMatchObject({ exitCode: 9 });
      },
    },
    {
      of: service("expect", "on_orphan_exit"),
      seen: "a missing daemon makes it unhealthy, with the reason; an end is noticed and named",
      look: async (w) => {
        await w.machine.until("legacy has a problem", (all) => all.find((c) => c.record.service === "legacy" && (c.state?.supervision?.problem ?? "") !== ""));
        expect(w.container("legacy").state?.supervision?.problem).toBe("gonedaemon, which is expected, has not started");
        expect(await w.machine.ok("ps", "legacy")).toContain("(unhealthy)");
        const init = w.pid("legacy");
        const daemon = readFileSync(`/proc/${init}/task/${init}/children`, "utf8").trim().split(" ").find((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8") === "sleep\x0077777\x00");
        kill(Number(daemon), "SIGTERM");
        await w.machine.until("the end is noticed", (all) => all.find((c) => (c.state?.supervision?.orphans ?? []).length > 0));
        expect(w.container("legacy").state?.supervision?.orphans?.[0]).toMatchObject({ name: "sleep", signal: 15 });
      },
    },
  ],
};
