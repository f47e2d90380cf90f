import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { MonitorSpec } from "../../../src/runtime/formats.ts";
import { service } from "./scene.ts";
import type { Scene, World } from "./scene.ts";

const SLEEP = "[sleep, '100000']";
const monitor = (w: World, name: string): MonitorSpec => JSON.parse(readFileSync(join(w.container(name).directory, "monitor.json"), "utf8")) as MonitorSpec;
const ended = (w: World, name: string) =>
  w.machine.until(`${name} ended`, (all) => all.find((c) => c.record.service === name && c.state?.status === "exited"));

/** Order, health, restarts, hooks, logs, and where services come from. */
export const life: Scene = {
  title: "life",
  files: {
    ".env": "BASE=base.yaml\n",
    "base.yaml": "services:\n  base:\n    image: debian:bookworm-slim\n    command: [sleep, '100000']\n    environment: {FROM: base}\n",
    "inner/part.yaml": "services:\n  included:\n    image: debian:bookworm-slim\n    command: [sleep, '100000']\n    environment: {WHO: $WHO}\n    volumes: ['./here:/here']\n",
    "inner/part.env": "WHO=the part\n",
    "inner/root/here/mark": "",
    "compose.yaml": `name: lively
include:
  - path: inner/part.yaml
    env_file: inner/part.env
    project_directory: inner/root
services:
  extended:
    extends: {file: $BASE, service: base}
  db:
    image: debian:bookworm-slim
    command: [sh, -c, 'sleep 0.3; touch /ok; exec sleep 100000']
    healthcheck: {test: [CMD, test, -e, /ok], interval: 20s, timeout: 3s, retries: 4, start_period: 30s, start_interval: 100ms}
  unchecked:
    image: debian:bookworm-slim
    command: ${SLEEP}
    healthcheck: {disable: true}
  job:
    image: debian:bookworm-slim
    command: ["true"]
  web:
    image: debian:bookworm-slim
    command: ${SLEEP}
    depends_on:
      db: {condition: service_healthy, restart: true}
      job: {condition: service_completed_successfully}
      hidden: {condition: service_started, required: false}
    post_start:
      - {command: [sh, -c, 'echo "$$(id -u) $$(pwd) $$X $$(grep CapEff /proc/self/status)" > /tmp/post'], user: daemon, working_dir: /tmp, environment: {X: one}, privileged: true}
    pre_stop:
      - {command: [sh, -c, 'echo "$$(id -u) $$(pwd) $$Y $$(grep CapEff /proc/self/status)" > /out/pre'], user: root, working_dir: /var, environment: {Y: two}, privileged: true}
    volumes: ["./out:/out"]
  hidden:
    image: debian:bookworm-slim
    command: ${SLEEP}
    profiles: [debug]
  failing:
    image: debian:bookworm-slim
    command: [sh, -c, 'exit 7']
    restart: on-failure:2
    x-stack:
      restart_policy: {first_delay: 250ms, delay: 10ms, factor: 3, max_delay: 1s, jitter: 0.1, reset_after: 1m}
  deployed:
    image: debian:bookworm-slim
    command: [sh, -c, 'exit 7']
    deploy: {restart_policy: {condition: on-failure, max_attempts: 1}}
  host:
    x-stack: {rootfs: /}
    command: ${SLEEP}
  chatty:
    image: debian:bookworm-slim
    command: [sh, -c, 'i=0; while [ $$i -lt 200 ]; do echo line $$i; i=$$((i+1)); done; exec sleep 100000']
    labels: {team: red}
    logging: {driver: json-file, options: {max-size: 4k, max-file: "2", labels: team}}
  silent:
    image: debian:bookworm-slim
    command: [sh, -c, 'echo never kept; exec sleep 100000']
    logging: {driver: none}
`,
    "attach/compose.yaml": `services:
  heard: {image: "debian:bookworm-slim", command: [sh, -c, "echo heard; sleep 0.2"], network_mode: none}
  unheard: {image: "debian:bookworm-slim", command: [sh, -c, "echo not-shown; exec sleep 100000"], network_mode: none, attach: false}
`,
    "sick/compose.yaml": `services:
  sick: {image: "debian:bookworm-slim", command: ${SLEEP}, network_mode: none, healthcheck: {test: "exit 1", interval: 50ms, retries: 2}}
`,
    "pull/compose.yaml": `services:
  never: {image: "not-here:1", pull_policy: never, network_mode: none}
  foreign: {image: "not-here-either:1", platform: linux/arm64, network_mode: none}
  stale: {image: "debian:bookworm-slim", pull_refresh_after: 1s, pull_policy: refresh, network_mode: none}
`,
  },
  checks: [
    { of: ["name"], seen: "the project's name in that of its containers", look: (w) => expect(w.container("web").record.name).toBe("lively-web-1") },
    {
      of: ["include", "include.[].path", "include.[].env_file", "include.[].project_directory"],
      seen: "its service runs, with its variables and relative to its directory",
      look: (w) => {
        expect(w.environment("included")["WHO"]).toBe("the part");
        expect(w.list("included", "/here")).toEqual(["mark"]);
      },
    },
    { of: ["services"], seen: "they run", look: (w) => expect(w.container("db").state?.status).toBe("running") },
    { of: service("extends", "extends.service", "extends.file"), seen: "the base's members in the container", look: (w) => expect(w.environment("extended")["FROM"]).toBe("base") },
    { of: service("profiles"), seen: "not started without its profile", look: (w) => expect(w.machine.containers.some((c) => c.record.service === "hidden")).toBe(false) },
    {
      of: service("depends_on", "depends_on.*.condition", "depends_on.*.required"),
      seen: "started after the dependency was healthy and the job had ended; an optional one may be absent",
      look: (w) => {
        const started = (name: string) => Date.parse(w.container(name).state?.startedAt ?? "");
        expect(started("web") - started("db")).toBeGreaterThanOrEqual(300);
        expect(Date.parse(w.container("job").state?.finishedAt ?? "")).toBeLessThanOrEqual(started("web"));
      },
    },
    {
      of: service("healthcheck", "healthcheck.test", "healthcheck.start_period", "healthcheck.start_interval", "healthcheck.disable"),
      seen: "healthy long before the first regular interval; none where it is off",
      look: async (w) => {
        const health = await w.machine.json<{ readonly Service: string; readonly Health: string }>("ps");
        expect(health.find((c) => c.Service === "db")?.Health).toBe("healthy");
        expect(health.find((c) => c.Service === "unchecked")?.Health).toBe("");
      },
    },
    {
      of: service("healthcheck.interval", "healthcheck.timeout", "healthcheck.retries"),
      seen: "unhealthy after so many failures; the times in the record",
      look: async (w) => {
        expect(w.container("db").record.health).toMatchObject({ intervalMs: 20_000, timeoutMs: 3000, retries: 4, startPeriodMs: 30_000, startIntervalMs: 100 });
        const sick = ["-f", "sick/compose.yaml", "-p", "sick"];
        const result = await w.machine.stack(...sick, "up", "-d", "--wait");
        expect(result.code).not.toBe(0);
        expect(result.output).toMatch(/unhealthy/);
        await w.machine.ok(...sick, "down", "-t", "0");
      },
    },
    {
      of: service("restart"),
      seen: "the count of restarts",
      look: async (w) => expect((await ended(w, "failing")).state).toMatchObject({ exitCode: 7, restarts: 2 }),
    },
    {
      of: service("restart_policy", ...["first_delay", "delay", "factor", "max_delay", "jitter", "reset_after"].map((n) => `restart_policy.${n}`), "x-stack"),
      seen: "the time before the first restart; the monitor's task has the rest",
      look: async (w) => {
        const failing = await ended(w, "failing");
        const starts = readFileSync(join(failing.directory, "events.log"), "utf8")
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as { readonly t: string; readonly type: string })
          .filter((e) => e.type === "start")
          .map((e) => Date.parse(e.t));
        expect((starts[1] ?? 0) - (starts[0] ?? 0)).toBeGreaterThanOrEqual(220);
        expect(monitor(w, "failing").restart).toEqual({ policy: "on-failure", maxAttempts: 2, firstDelayMs: 250, delayMs: 10, factor: 3, maxDelayMs: 1000, jitter: 0.1, resetAfterMs: 60_000 });
      },
    },
    {
      of: service("deploy.restart_policy", "deploy.restart_policy.condition", "deploy.restart_policy.max_attempts"),
      seen: "the count of restarts",
      look: async (w) => expect((await ended(w, "deployed")).state).toMatchObject({ exitCode: 7, restarts: 1 }),
    },
    { of: service("rootfs"), seen: "the host's programs, without an image", look: (w) => {
        expect(w.container("host").record.image).toBeUndefined();
        expect(w.list("host", "/usr/bin")).toContain("sleep");
      } },
    {
      of: service("logging", "logging.driver", "logging.options"),
      seen: "rotated files with the labels asked for; no file with `none`",
      look: async (w) => {
        await w.machine.ok("stop", "-t", "0", "chatty", "silent");
        const directory = join(w.container("chatty").directory, "log");
        const files = readdirSync(directory).filter((name) => name.startsWith("container.log"));
        expect(files).toHaveLength(2);
        for (const name of files) expect(statSync(join(directory, name)).size).toBeLessThanOrEqual(4096 + 200);
        expect(readFileSync(join(directory, "container.log"), "utf8")).toContain('"attrs":{"team":"red"}');
        expect(await w.logs("chatty")).toContain("line 199");
        expect(await w.logs("silent")).not.toContain("never kept");
      },
    },
    {
      of: service("attach"),
      seen: "its output is not shown by `up`",
      look: async (w) => {
        const { output } = await w.machine.stack("-f", "attach/compose.yaml", "-p", "attach", "up", "--abort-on-container-exit");
        await w.machine.ok("-f", "attach/compose.yaml", "-p", "attach", "down", "-t", "0");
        expect(output).toMatch(/heard-1 +\| heard/);
        expect(output).not.toContain("not-shown");
      },
    },
    {
      of: service("pull_policy", "pull_refresh_after", "platform"),
      seen: "what the plan fetches, why and for which platform; `never` fetches nothing",
      look: async (w) => {
        const pull = ["-f", "pull/compose.yaml", "-p", "pull"];
        const plan = await w.machine.ok(...pull, "plan", "--format", "json");
        expect(plan).toContain("image is older than its pull policy allows");
        expect(plan).toContain("linux/arm64");
        const never = await w.machine.stack(...pull, "up", "-d", "never");
        expect(never.code).not.toBe(0);
        expect(never.stderr).toMatch(/pull policy is "never"/);
        await w.machine.ok(...pull, "down");
      },
    },
    {
      of: service("post_start", "post_start.[].command", "post_start.[].user", "post_start.[].working_dir", "post_start.[].environment", "post_start.[].privileged"),
      seen: "what the command left in the container",
      look: (w) => expect(w.read("web", "/tmp/post")).toMatch(/^1 \/tmp one CapEff:\t0000000000000000\n$/),
    },
    {
      of: service("pre_stop", "pre_stop.[].command", "pre_stop.[].user", "pre_stop.[].working_dir", "pre_stop.[].environment", "pre_stop.[].privileged", "depends_on.*.restart"),
      seen: "what the command left; a dependent restarted with its dependency",
      look: async (w) => {
        const before = w.container("web").state?.startedAt ?? "";
        await w.machine.ok("restart", "db");
        const again = await w.machine.until("web started again", (all) => all.find((c) => c.record.service === "web" && c.state?.status === "running" && c.state.startedAt > before));
        expect(again.state?.status).toBe("running");
        expect(w.machine.read("out/pre")).toMatch(/^0 \/var two CapEff:\t000001ff[0-9a-f]{8}\n$/);
      },
    },
  ],
};
