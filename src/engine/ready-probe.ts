import { getSystemErrorMap } from "node:util";
import type { ReadyProbeRun } from "../health/index.ts";
import { readLog } from "../logs/index.ts";
import type { HealthSpec, MonitorClient, ProbeRequest, ReadySpec } from "../runtime/index.ts";
import { probeOf } from "./probe.ts";

/** One attempt's patience where the file says nothing, milliseconds. */
const attemptMs = 5000;
/** Of a line of the log no more is matched: a pattern is to see lines, not whatever a program dumps. */
const longestLine = 65_536;

type Attempt = ReadyProbeRun["attempt"];
type Kind<K extends ReadySpec["kind"]> = Extract<ReadySpec, { kind: K }>;

export interface ProbedRun {
  readonly monitor: MonitorClient;
  /** First log file. */
  readonly log: string;
  /** Microseconds since the epoch when this run began. */
  readonly since: number;
  /** Whose lines of the log count; absent: all. */
  readonly process?: string;
}

/** What is asked for, in the words of the file. */
export function probeText(probe: ReadySpec): string {
  switch (probe.kind) {
    case "tcp":
      return `tcp ${probe.port}`;
    case "http":
      return `http ${probe.port}${probe.path}`;
    case "log":
      return `log /${probe.pattern}/`;
    case "exec":
      return `exec ${probe.command.join(" ")}`;
    case "file":
      return `file ${probe.path}`;
    case "exit":
      return `exit ${probe.code}`;
  }
}

/**
 * How each probe is tried: ports from inside the container's network namespace, files through its root, commands by its
 * monitor, its log as it is written. What is decided by the container's end (`exit`) is not tried here.
 */
export function readyProbeRun(probe: ReadySpec, run: ProbedRun): ReadyProbeRun {
  const attempt = attemptOf(probe, run);
  return {
    ...(probe.timeout === undefined ? {} : { timeoutMs: probe.timeout }),
    ...(probe.interval === undefined ? {} : { intervalMs: probe.interval }),
    attempt: async (signal) => {
      const { ok, why } = await attempt(signal);
      return { ok, why: ok ? "" : `${probeText(probe)}: ${why}` };
    },
  };
}

function attemptOf(probe: ReadySpec, run: ProbedRun): Attempt {
  switch (probe.kind) {
    case "tcp":
      return async (signal) => {
        const { connected, errno } = await run.monitor.probe({ kind: "tcp", port: probe.port, timeoutMs: attemptMs }, signal);
        return { ok: connected, why: errorText(errno) };
      };
    case "http":
      return httpAttempt(probe, run);
    case "file":
      return async (signal) => {
        const request: ProbeRequest = { kind: "file", path: probe.path };
        const { errno } = await run.monitor.probe(request, signal);
        return { ok: errno === 0, why: errorText(errno) };
      };
    case "exec":
      return execAttempt(probe, run);
    case "log":
      return logAttempt(probe, run);
    case "exit":
      // Told by the container's end alone: never in vain, never fulfilled here.
      return (signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve({ ok: false, why: "still running" }), { once: true }));
  }
}

function httpAttempt(probe: Kind<"http">, run: ProbedRun): Attempt {
  const wanted = probe.body === undefined ? undefined : new RegExp(probe.body);
  return async (signal) => {
    const { connected, errno, status, body } = await run.monitor.probe({ kind: "http", port: probe.port, path: probe.path, timeoutMs: attemptMs }, signal);
    if (!connected) return { ok: false, why: errorText(errno) };
    if (status === 0) return { ok: false, why: errno === 0 ? "the answer is not HTTP" : `no answer: ${errorText(errno)}` };
    if (!probe.status.some(([low, high]) => status >= low && status <= high)) return { ok: false, why: `status ${status}` };
    return wanted === undefined || wanted.test(body) ? { ok: true, why: "" } : { ok: false, why: `status ${status}, but the body does not match /${probe.body ?? ""}/` };
  };
}

function execAttempt(probe: Kind<"exec">, run: ProbedRun): Attempt {
  const spec: HealthSpec = { test: ["CMD", ...probe.command], timeoutMs: attemptMs, intervalMs: 0, retries: 1, startPeriodMs: 0, startIntervalMs: 0 };
  const execute = probeOf(run.monitor, spec);
  return async (signal) => {
    const { ok, exitCode, output, timedOut } = await execute(signal);
    const said = output.trim();
    return { ok, why: `${timedOut ? "took too long" : `exited with ${exitCode}`}${said === "" ? "" : `: ${said}`}` };
  };
}

/** One attempt reads the log from the beginning of the run for as long as it takes; long lines were put together again. */
function logAttempt(probe: Kind<"log">, run: ProbedRun): Attempt {
  const pattern = new RegExp(probe.pattern);
  return async (signal) => {
    const found = new AbortController();
    try {
      for await (const lines of readLog(run.log, { since: run.since, ...(run.process === undefined ? {} : { process: run.process }), follow: true, signal: AbortSignal.any([signal, found.signal]) }))
        if (lines.some(({ text }) => pattern.test(text.slice(0, longestLine)))) return { ok: true, why: "" };
    } finally {
      found.abort();
    }
    return { ok: false, why: "no such line" };
  };
}

function errorText(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[1] ?? `error ${errno}`;
}
