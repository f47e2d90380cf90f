import { describe, expect, it } from "vitest";
import type { HostPath } from "../core/index.ts";
import { id, image, refusal, service } from "./fixtures.ts";
import type { NetworkSpec } from "./formats.ts";
import { bringsOwnInit, usesInit } from "./init.ts";
import type { ServiceInput } from "./input.ts";
import { logWarnings, toHealthSpec, toMonitorSpec } from "./monitor-spec.ts";
import { parseSignal, signalName } from "./signals.ts";

const network: NetworkSpec = { mode: "none", interfaces: [], dns: false, ports: [] };
const spec = (members: Partial<ServiceInput> = {}, of = image) =>
  toMonitorSpec({
    id,
    name: "shop-web-1",
    service: service(members),
    image: of,
    directory: "/r/containers/x" as HostPath,
    rootfs: { kind: "directory", path: "/x" },
    populate: [],
    network,
    labels: { tier: "front" },
  });

describe("the monitor's task", () => {
  it("of a plain service", () => {
    expect(spec()).toMatchInlineSnapshot(`
      {
        "id": "0123456789abcccccccccccccccccccccccccccccccccccccccccccccccccccc",
        "init": true,
        "log": {
          "attributes": {},
          "bufferSize": 1048576,
          "driver": "json-file",
          "maxFiles": 5,
          "maxSize": 20971520,
          "mode": "blocking",
          "path": "/r/containers/x/log/container.log",
        },
        "name": "shop-web-1",
        "network": {
          "dns": false,
          "interfaces": [],
          "mode": "none",
          "ports": [],
        },
        "populate": [],
        "restart": {
          "delayMs": 100,
          "factor": 2,
          "firstDelayMs": 0,
          "jitter": 0,
          "maxAttempts": 0,
          "maxDelayMs": 60000,
          "policy": "no",
          "resetAfterMs": 10000,
        },
        "rootfs": {
          "kind": "directory",
          "path": "/x",
        },
        "runtime": "",
        "stdin": false,
        "stop": {
          "graceMs": 10000,
          "signal": 15,
        },
        "tty": false,
        "version": 1,
      }
    `);
  });
  it("stops with the service's signal, the image's, or SIGTERM", () => {
    expect(spec({ stop_signal: "SIGINT", stop_grace_period: 1500.4 }, { ...image, stopSignal: "SIGQUIT" }).stop).toEqual({ signal: 2, graceMs: 1500 });
    expect(spec({}, { ...image, stopSignal: "SIGRTMIN+3" }).stop.signal).toBe(37);
  });
  it("limits restarts only with on-failure", () => {
    expect(spec({ restart: { policy: "on-failure", max_attempts: 3 } }).restart).toMatchObject({ policy: "on-failure", maxAttempts: 3 });
    expect(spec({ restart: { policy: "always" } }).restart).toMatchObject({ policy: "always", maxAttempts: 0 });
  });
  it("names a foreign runtime, which has no place for our init", () => {
    expect(spec({ runtime: "runc", init: true })).toMatchObject({ runtime: "runc", init: false });
    expect(spec({ runtime: "stack" })).toMatchObject({ runtime: "", init: true });
  });
});

describe("logs", () => {
  const log = (options: Record<string, string | null>, driver?: string, members: Partial<ServiceInput> = {}) => spec({ ...members, logging: { options, ...(driver === undefined ? {} : { driver }) } }).log;
  it("are rotated as the options say, and never grow without end unless asked to", () => {
    expect(log({})).toMatchObject({ driver: "json-file", maxSize: 20 << 20, maxFiles: 5, mode: "blocking" });
    expect(log({ "max-size": "10m" })).toMatchObject({ maxSize: 10 << 20, maxFiles: 1 });
    expect(log({ "max-size": "1.5k", "max-file": "3" })).toMatchObject({ maxSize: 1536, maxFiles: 3 });
    expect(log({ "max-size": "-1" })).toMatchObject({ maxSize: 0 });
    expect(log({ mode: "non-blocking", "max-buffer-size": "4m" }, "local")).toMatchObject({ driver: "local", mode: "non-blocking", bufferSize: 4 << 20 });
    expect(refusal(() => log({ "max-size": "lots" }))[0]).toBe("usage");
    expect(refusal(() => log({ "max-file": "0" }))[0]).toBe("usage");
  });
  it("carry the labels and variables that were chosen", () => {
    expect(log({ labels: "tier,none", env: "LANG,A" }, undefined, { environment: { A: "1", LANG: null } }).attributes).toEqual({ tier: "front", A: "1" });
  });
  it("of a driver that is not here go to files, with a warning", () => {
    expect(log({}, "syslog").driver).toBe("json-file");
    expect(logWarnings(service({ logging: { driver: "syslog", options: { a: "b" } } }))).toEqual(['Service "web": logging driver "syslog" does not exist here; logs are kept in files (stack logs)']);
    expect(logWarnings(service({ logging: { options: { tag: "x", "max-size": "1m" } } }))).toEqual(['Service "web": logging.options.tag has no effect']);
  });
});

describe("init", () => {
  it.each([
    [["/sbin/init"], true],
    [["/lib/systemd/systemd", "--unit=x"], true],
    [["/init"], true], // s6-overlay
    [["/usr/bin/tini", "--", "app"], true],
    [["dumb-init", "app"], true],
    [["/usr/bin/python3", "/usr/bin/supervisord", "-n"], true],
    [["supervisord", "-n"], true],
    [["busybox", "init"], true],
    [["nginx"], false],
    [["python3", "app.py"], false],
    [["/bin/sh", "-c", "init"], false],
    [[], false],
  ])("%j brings its own: %s", (args, own) => {
    expect(bringsOwnInit(args)).toBe(own);
  });
  it("is ours unless the service, the image, the runtime or a shared pid namespace says otherwise", () => {
    expect(usesInit({}, ["app"])).toBe(true);
    expect(usesInit({ init: false }, ["app"])).toBe(false);
    expect(usesInit({ init: true }, ["/init"])).toBe(true);
    expect(usesInit({ init: true, pid: "host" }, ["app"])).toBe(false);
    expect(usesInit({ pid: "service:db" }, ["app"])).toBe(false);
  });
});

describe("signals", () => {
  it.each([["SIGTERM", 15], ["term", 15], ["9", 9], ["SIGRTMIN", 34], ["RTMIN+3", 37], ["SIGRTMAX-1", 63], ["64", 64]])("%s is %i", (text, signal) => {
    expect(parseSignal(text)).toBe(signal);
  });
  it.each(["", "0", "65", "SIG", "FLY", "RTMIN-1", "RTMIN+31", "constructor", "1.5"])("%j is none", (text) => {
    expect(refusal(() => parseSignal(text))[0]).toBe("usage");
  });
  it("have names", () => {
    expect([15, 9, 34, 37, 64].map(signalName)).toEqual(["SIGTERM", "SIGKILL", "SIGRTMIN", "SIGRTMIN+3", "SIGRTMIN+30"]);
  });
});

describe("the health check of service and image together", () => {
  const own = { test: ["CMD", "check"], intervalMs: 1000, retries: 7 };
  it("is the image's test with the service's times, and Docker's defaults", () => {
    expect(toHealthSpec({ disable: false, interval: 5000 }, own)).toEqual({ test: ["CMD", "check"], intervalMs: 5000, timeoutMs: 30000, retries: 7, startPeriodMs: 0, startIntervalMs: 5000 });
    expect(toHealthSpec({ disable: false, test: { kind: "shell", command: "x" } }, own)?.test).toEqual(["CMD-SHELL", "x"]);
    expect(toHealthSpec({ disable: false, test: { kind: "exec", command: ["x", "y"] } }, undefined)?.test).toEqual(["CMD", "x", "y"]);
  });
  it("is none where one of them says so", () => {
    expect(toHealthSpec({ disable: true }, own)).toBeUndefined();
    expect(toHealthSpec({ disable: false, test: { kind: "none" } }, own)).toBeUndefined();
    expect(toHealthSpec(undefined, { test: ["NONE"] })).toBeUndefined();
    expect(toHealthSpec({ disable: false, interval: 1 }, undefined)).toBeUndefined();
    expect(toHealthSpec(undefined, undefined)).toBeUndefined();
  });
});
