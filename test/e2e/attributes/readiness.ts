import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { service } from "./scene.ts";
import type { Scene } from "./scene.ts";

/** When a service is ready, what follows when it is unhealthy, and what runs before it. */
export const readiness: Scene = {
  title: "readiness",
  files: {
    "stack.yaml": `name: readily
services:
  web:
    image: busybox:1
    command: [sh, -c, "mkdir /www; echo well > /www/h; httpd -p 80 -h /www; echo ready now; touch /made; exec sleep 100000"]
    volumes: ["./out:/out"]
    pre_start:
      - command: [sh, -c, 'echo "$$(id -u) $$PWD $$X $$(ls /etc/debian_version) $$(grep CapEff /proc/self/status)" >> /out/before']
        image: debian:bookworm-slim
        user: daemon
        working_dir: /var
        environment: {X: one}
        privileged: true
        per_replica: true
    scale: 2
    ready:
      - {tcp: 80, timeout: 1m, interval: 50ms}
      - http: {port: 80, path: /h, status: 200-299, body: ^we..\\b}
      - log: ^ready .*
      - exec: [test, -e, /made]
      - file: /made
  job: {image: "busybox:1", command: ["true"], ready: {exit: 0}}
  sick:
    image: busybox:1
    command: [sleep, "100000"]
    healthcheck: {test: "echo ill >> /seen; exit 1", interval: 50ms, retries: 1}
    on_unhealthy: {action: stop, after: 3, max: 1}
  mended:
    image: busybox:1
    command: [sleep, "100000"]
    healthcheck: {test: [CMD, test, -e, /mended], interval: 50ms, retries: 1}
    on_unhealthy: {run: [touch, /mended]}
`,
    "out/keep": "",
  },
  before: (machine) => chmodSync(join(machine.directory, "out"), 0o777),
  checks: [
    {
      of: service("ready", "ready.tcp", "ready.http", "ready.http.port", "ready.http.path", "ready.http.status", "ready.http.body", "ready.log", "ready.exec", "ready.file", "ready.exit", "ready.timeout", "ready.interval"),
      seen: "`up --wait` returns, and all of them have held",
      look: async (w) => {
        await w.machine.ok("up", "-d", "--wait", "web", "job");
        const health = JSON.parse(readFileSync(join(w.container("web").directory, "health.json"), "utf8")) as { ready: { held: boolean[] } };
        expect(health.ready.held).toEqual([true, true, true, true, true]);
        expect(w.container("web").record.ready?.[0]).toEqual({ kind: "tcp", port: 80, timeout: 60_000, interval: 50 });
      },
    },
    {
      of: service("on_unhealthy", "on_unhealthy.action", "on_unhealthy.after", "on_unhealthy.max"),
      seen: "stopped because of it, after so many verdicts",
      look: async (w) => {
        const sick = await w.machine.until("it was stopped", (all) => all.find((c) => c.record.service === "sick" && c.state?.status === "exited"));
        expect(sick.state?.endedBy).toBe("health");
        expect(sick.record.onUnhealthy).toMatchObject({ action: "stop", after: 3, max: 1 });
      },
    },
    {
      of: service("on_unhealthy.run"),
      seen: "what the command made",
      look: async (w) => {
        await w.machine.ok("up", "-d", "--wait", "mended");
        expect((await w.machine.json<{ readonly Health: string }>("ps", "mended"))[0]?.Health).toBe("healthy");
      },
    },
    {
      of: service("pre_start", ...["command", "image", "user", "working_dir", "environment", "privileged", "per_replica"].map((name) => `pre_start.[].${name}`)),
      seen: "what it wrote before each replica started",
      look: (w) => {
        const lines = w.machine.read("out/before").trim().split("\n");
        expect(lines).toEqual(Array.from({ length: 2 }, (): unknown => expect.stringMatching(/^1 \/var one \/etc\/debian_version CapEff:\s+[0-9a-f]+$/)));
      },
    },
  ],
};
