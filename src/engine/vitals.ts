import { join } from "node:path";
import { replaceFile } from "../core/index.ts";
import type { Clock, HostPath } from "../core/index.ts";
import { HealthRunner, initialReadiness, nextRemedy, noRemedy, readinessText, ReadinessRunner } from "../health/index.ts";
import type { ProbeReport, Readiness } from "../health/index.ts";
import type { Remedy } from "../reconcile/index.ts";
import type { ContainerRecord, MonitorClient, UnhealthySpec } from "../runtime/index.ts";
import { probeOf } from "./probe.ts";
import { readyProbeRun } from "./ready-probe.ts";
import { healthOf } from "./summary.ts";
import type { HealthRecord } from "./types.ts";

/** Of a failing probe's output, in an error or a reason, characters. */
const reasonLength = 400;
const keptProbes = 5;
/** A probe that says what the one before said changes nothing but times: the record has them so late at most, milliseconds. */
const writtenEveryMs = 10_000;
/** A daemon that is still missing after a remedy gets so much time to come and to be seen (init looks once a second), milliseconds. */
const daemonComesMs = 2500;

export interface VitalsOptions {
  readonly record: ContainerRecord;
  readonly directory: HostPath;
  readonly monitor: MonitorClient;
  readonly clock: Clock;
  /** What `health.json` says; a new agent goes on from there. */
  readonly known: HealthRecord | undefined;
  /** The container's health is another one now. */
  readonly onChange: () => void;
  readonly onWarning: (rule: string, message: string) => void;
  /** Something is to be done about it. Resolves when it is; with what went wrong, in words. Never rejects. */
  readonly onRemedy: (remedy: Remedy) => Promise<string | undefined>;
}

/** Health and readiness of one container, run after run, and what follows when it is unhealthy. */
export class Vitals {
  readonly #options: VitalsOptions;
  #record: HealthRecord | undefined;
  #health: HealthRunner | undefined;
  #readiness: ReadinessRunner | undefined;
  /** Unhealthy verdicts in a row, and since when it was healthy before them. */
  #verdicts = 0;
  /** That is being watched; undefined: none. */
  #run: string | undefined;
  /** When the record was last written. */
  #writtenAt = 0;
  #healthySince: number | undefined;
  #forgetRemedy: (() => void) | undefined;
  /** Something is being done about it: what probes say meanwhile is no news. */
  #treating = false;
  /** What init says of the daemons that it watches; "": nothing is wrong. */
  #daemons = "";

  constructor(options: VitalsOptions) {
    this.#options = options;
    this.#record = options.known;
  }

  get health(): HealthRecord | undefined {
    return this.#record;
  }

  get #wanted(): boolean {
    const { health, ready, onUnhealthy } = this.#options.record;
    return health !== undefined || (ready !== undefined && ready.length > 0) || onUnhealthy !== undefined;
  }

  /** The container runs; `run` is its `startedAt`. Idempotent for one run. */
  begin(run: string): void {
    if (!this.#wanted || this.#run === run) return;
    this.end();
    this.#run = run;
    const { record } = this.#options;
    const before = this.#record;
    const fresh = before?.run !== run;
    this.#verdicts = 0;
    this.#record = fresh
      ? {
          version: 1,
          status: "starting",
          failingStreak: 0,
          run,
          probes: [],
          ...(record.ready === undefined ? {} : { ready: initialReadiness(record.ready.length) }),
          ...(before?.remedy === undefined ? {} : { remedy: before.remedy }),
        }
      : before;
    this.#probe(run, fresh ? undefined : before);
    if (fresh) this.#write();
  }

  #probe(run: string, known: HealthRecord | undefined): void {
    const { record, monitor, clock, directory } = this.#options;
    const startedAt = Date.parse(run);
    if (record.ready !== undefined && record.ready.length > 0) {
      const probed = { monitor, log: join(directory, "log/container.log"), since: startedAt * 1000 };
      this.#readiness = new ReadinessRunner({
        probes: record.ready.map((probe) => readyProbeRun(probe, probed)),
        startedAt,
        ...(known?.ready === undefined ? {} : { state: known.ready }),
        clock,
        onChange: (ready) => this.#ready(ready),
      });
    }
    if (record.health !== undefined) {
      this.#health = new HealthRunner({
        settings: record.health,
        startedAt,
        ...(known === undefined ? {} : { state: { status: known.status, failingStreak: known.failingStreak } }),
        probe: probeOf(monitor, record.health),
        clock,
        onReport: (report) => this.#report(report),
      });
    }
  }

  /** The run has ended, or nobody looks any more. */
  end(): void {
    this.#run = undefined;
    this.#daemons = "";
    this.#health?.stop();
    this.#readiness?.stop();
    this.#forgetRemedy?.();
    this.#health = undefined;
    this.#readiness = undefined;
    this.#forgetRemedy = undefined;
    this.#healthySince = undefined;
  }

  /**
   * What init says of the daemons that are expected: a verdict like any probe's, but a final one: it comes when it changes,
   * and not again and again.
   */
  daemons(problem: string, seen: boolean): void {
    if (this.#run === undefined || problem === this.#daemons) {
      if (seen && problem === "" && this.#options.record.health === undefined) this.#healthySince ??= this.#options.clock.now();
      return;
    }
    this.#daemons = problem;
    if (problem !== "") this.#unhealthy(problem, true);
    else this.#well();
  }

  #ready(ready: Readiness): void {
    this.#update({ ready });
    if (ready.status === "failed") this.#unhealthy(readinessText(ready), true);
  }

  #report(report: ProbeReport): void {
    const before = this.#record;
    if (before === undefined) return;
    const probe = { at: new Date(report.at).toISOString(), exitCode: report.exitCode, output: report.output, timedOut: report.timedOut, tookMs: report.tookMs };
    const last = before.probes.at(-1);
    const news = last?.exitCode !== probe.exitCode || last.output !== probe.output || last.timedOut !== probe.timedOut;
    const change = report.changed || report.state.failingStreak !== before.failingStreak;
    this.#update({ ...report.state, probes: [...before.probes.slice(1 - keptProbes), probe] }, news || change || report.at - this.#writtenAt >= writtenEveryMs);
    if (report.state.status === "unhealthy") this.#unhealthy(report.output.trim() === "" ? `the health check exited with ${report.exitCode}` : report.output.trim());
    else if (report.state.status === "healthy") this.#well();
  }

  #well(): void {
    if (this.#daemons !== "") return;
    this.#verdicts = 0;
    this.#healthySince ??= this.#options.clock.now();
    this.#forgetRemedy?.();
    this.#forgetRemedy = undefined;
  }

  #update(change: Partial<HealthRecord>, write = true): void {
    if (this.#record === undefined) return;
    const before = healthOf(this.#options.record, this.#record);
    this.#record = { ...this.#record, ...change };
    if (write) this.#write();
    if (healthOf(this.#options.record, this.#record).health !== before.health) this.#options.onChange();
  }

  /** `final`: there will be no other verdict of this kind, so that it counts as many as `after` asks for. */
  #unhealthy(said: string, final = false): void {
    const { record, clock, onWarning } = this.#options;
    const spec = record.onUnhealthy;
    if (spec === undefined || spec.action === "none" || this.#record === undefined || this.#forgetRemedy !== undefined || this.#treating) return;
    this.#verdicts = final ? Math.max(this.#verdicts + 1, spec.after) : this.#verdicts + 1;
    const now = clock.now();
    const before = this.#record.remedy ?? noRemedy;
    const healthyMs = this.#healthySince === undefined ? 0 : now - this.#healthySince;
    const decision = nextRemedy(spec, before, this.#verdicts, healthyMs, Math.random());
    this.#healthySince = undefined;
    if (decision.state !== before) this.#update({ remedy: decision.state });
    if (!decision.act) {
      if (!decision.state.gaveUp || before.gaveUp) return;
      onWarning("on-unhealthy", `${record.name} is unhealthy, and was treated ${decision.state.count} times in vain: nothing more is done`);
      this.#options.onChange();
      return;
    }
    this.#forgetRemedy = clock.after(decision.delayMs, () => {
      this.#forgetRemedy = undefined;
      void this.#treat(spec, `unhealthy: ${said.slice(-reasonLength)}`, decision.state.count);
    });
  }

  async #treat(spec: UnhealthySpec, reason: string, count: number): Promise<void> {
    const { record, clock, onRemedy, onWarning } = this.#options;
    const what = spec.action === "run" ? `running \`${(spec.command ?? []).join(" ")}\`` : spec.action;
    onWarning("on-unhealthy", `${record.name} is ${reason.split("\n").at(-1) ?? reason}: ${what} (${count}${spec.max > 0 ? ` of ${spec.max}` : ""})`);
    this.#treating = true;
    this.#verdicts = 0;
    const run = this.#run;
    const failure = await onRemedy({ action: spec.action === "run" ? "run" : spec.action === "stop" ? "stop" : "restart", ...(spec.command === undefined ? {} : { command: spec.command }), reason });
    this.#treating = false;
    if (failure !== undefined) onWarning("on-unhealthy", `${record.name}: ${failure}`);
    // No probe tells again and again that a daemon is missing.
    if (this.#run !== run || this.#daemons === "" || this.#forgetRemedy !== undefined) return;
    this.#forgetRemedy = clock.after(daemonComesMs, () => {
      this.#forgetRemedy = undefined;
      if (this.#daemons !== "") this.#unhealthy(this.#daemons, true);
    });
  }

  #write(): void {
    this.#writtenAt = this.#options.clock.now();
    try {
      replaceFile(join(this.#options.directory, "health.json"), JSON.stringify(this.#record), { directory: "needed" });
    } catch {
      // The container was removed meanwhile, or the disk is full: what we know is here.
    }
  }
}
