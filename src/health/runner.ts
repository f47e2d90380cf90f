import type { Clock } from "../core/index.ts";
import { counts, healthReduce, initialHealth, nextProbeDelay } from "./machine.ts";
import type { HealthSettings, HealthState } from "./machine.ts";

export interface ProbeOutcome {
  readonly ok: boolean;
  readonly exitCode: number;
  readonly output: string;
  readonly timedOut: boolean;
}

export interface ProbeReport extends ProbeOutcome {
  readonly state: HealthState;
  readonly changed: boolean;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly tookMs: number;
}

export interface HealthRunnerOptions {
  readonly settings: HealthSettings;
  /** Milliseconds since the epoch when this run of the container began. */
  readonly startedAt: number;
  /** A runner that takes over goes on from here. */
  readonly state?: HealthState;
  readonly probe: (signal: AbortSignal) => Promise<ProbeOutcome>;
  readonly onReport: (report: ProbeReport) => void;
  readonly clock: Clock;
}

/** Probes one run of one container until it is stopped. One probe at a time. */
export class HealthRunner {
  readonly #options: HealthRunnerOptions;
  readonly #ending = new AbortController();
  #state: HealthState;
  #probes = 0;
  #forget: (() => void) | undefined;

  constructor(options: HealthRunnerOptions) {
    this.#options = options;
    this.#state = options.state ?? initialHealth;
    this.#schedule();
  }

  get state(): HealthState {
    return this.#state;
  }

  stop(): void {
    this.#ending.abort();
    this.#forget?.();
  }

  #schedule(): void {
    if (this.#ending.signal.aborted) return;
    const { settings, startedAt, clock } = this.#options;
    const delay = nextProbeDelay(this.#state, settings, clock.now() - startedAt, this.#probes);
    this.#forget = clock.after(delay, () => void this.#run());
  }

  async #run(): Promise<void> {
    const { probe, onReport, settings, startedAt, clock } = this.#options;
    const at = clock.now();
    let outcome: ProbeOutcome;
    try {
      outcome = await probe(this.#ending.signal);
    } catch (error) {
      outcome = { ok: false, exitCode: -1, output: error instanceof Error ? error.message : String(error), timedOut: false };
    }
    if (this.#ending.signal.aborted) return;
    this.#probes += 1;
    const sinceStart = at - startedAt;
    const before = this.#state;
    if (outcome.ok || before.status !== "starting" || counts(settings, sinceStart)) {
      this.#state = healthReduce(before, { ok: outcome.ok, sinceStart }, settings);
    }
    onReport({ ...outcome, state: this.#state, changed: before.status !== this.#state.status, at, tookMs: clock.now() - at });
    this.#schedule();
  }
}
