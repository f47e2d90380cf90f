import type { Clock } from "../core/index.ts";

/**
 * Readiness of one run of one container: every probe has to hold once. Pure.
 *
 *     waiting ──all have held──▶ ready
 *        └──one is too late──▶ failed
 */
export interface Readiness {
  readonly status: "waiting" | "ready" | "failed";
  /** Has this probe held? In the order of the file. */
  readonly held: readonly boolean[];
  /** What each probe last said: `tcp 8080: connection refused`. */
  readonly why: readonly string[];
}

export type ReadyEvent =
  | { readonly kind: "result"; readonly probe: number; readonly ok: boolean; readonly why: string }
  /** This probe's time is over. */
  | { readonly kind: "late"; readonly probe: number; readonly afterMs: number };

export function initialReadiness(probes: number): Readiness {
  return { status: probes === 0 ? "ready" : "waiting", held: Array.from({ length: probes }, () => false), why: Array.from({ length: probes }, () => "") };
}

export function readyReduce(state: Readiness, event: ReadyEvent): Readiness {
  // What has been decided stays so for this run.
  if (state.status !== "waiting" || state.held[event.probe] !== false) return state;
  if (event.kind === "late") {
    const said = state.why[event.probe] ?? "";
    const why = `not ready within ${event.afterMs / 1000} s${said === "" ? "" : `: ${said}`}`;
    return { ...state, status: "failed", why: state.why.map((old, i) => (i === event.probe ? why : old)) };
  }
  const why = state.why.map((old, i) => (i === event.probe ? event.why : old));
  if (!event.ok) return { ...state, why };
  const held = state.held.map((old, i) => old || i === event.probe);
  return { status: held.every(Boolean) ? "ready" : "waiting", held, why };
}

/** Why it is not ready, in one line; "" if it is. */
export function readinessText(state: Readiness): string {
  if (state.status === "ready") return "";
  const failed = state.why.filter((why, i) => why !== "" && state.held[i] === false);
  const late = failed.find((why) => why.startsWith("not ready within"));
  return late ?? failed.join("; ");
}

/** Milliseconds until the n-th attempt (from 0) of a probe: quickly at first, then once a second; or as the file says. */
export function nextAttempt(attempt: number, intervalMs: number | undefined): number {
  if (attempt === 0) return 0;
  return intervalMs ?? Math.min(1000, 20 * 2 ** (attempt - 1));
}

export interface ReadyProbeRun {
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
  /** One attempt; may take as long as it likes, and ends when the signal aborts. */
  readonly attempt: (signal: AbortSignal) => Promise<{ readonly ok: boolean; readonly why: string }>;
}

export interface ReadinessOptions {
  readonly probes: readonly ReadyProbeRun[];
  /** Milliseconds since the epoch when this run of the container began. */
  readonly startedAt: number;
  /** A runner that takes over goes on from here. */
  readonly state?: Readiness;
  readonly onChange: (state: Readiness) => void;
  readonly clock: Clock;
}

/** Probes one run of one container until it is ready, one of its probes is too late, or it is stopped. */
export class ReadinessRunner {
  readonly #options: ReadinessOptions;
  readonly #ending = new AbortController();
  readonly #forget = new Set<() => void>();
  #state: Readiness;

  constructor(options: ReadinessOptions) {
    this.#options = options;
    this.#state = options.state ?? initialReadiness(options.probes.length);
    if (this.#state.status !== "waiting") return;
    for (const [index, probe] of options.probes.entries()) if (this.#state.held[index] === false) this.#begin(index, probe);
  }

  stop(): void {
    this.#ending.abort();
    for (const forget of this.#forget) forget();
    this.#forget.clear();
  }

  #begin(index: number, probe: ReadyProbeRun): void {
    const { clock, startedAt } = this.#options;
    const { timeoutMs } = probe;
    if (timeoutMs !== undefined) this.#after(Math.max(0, startedAt + timeoutMs - clock.now()), () => this.#take({ kind: "late", probe: index, afterMs: timeoutMs }));
    this.#attempt(index, probe, 0);
  }

  #attempt(index: number, probe: ReadyProbeRun, attempt: number): void {
    this.#after(nextAttempt(attempt, probe.intervalMs), () => {
      probe
        .attempt(this.#ending.signal)
        .catch((error: unknown) => ({ ok: false, why: error instanceof Error ? error.message : String(error) }))
        .then(({ ok, why }) => {
          if (this.#ending.signal.aborted) return;
          this.#take({ kind: "result", probe: index, ok, why });
          if (!ok && this.#state.status === "waiting") this.#attempt(index, probe, attempt + 1);
        })
        .catch(() => undefined);
    });
  }

  #after(ms: number, task: () => void): void {
    const forget = this.#options.clock.after(ms, () => {
      this.#forget.delete(forget);
      task();
    });
    this.#forget.add(forget);
  }

  #take(event: ReadyEvent): void {
    const next = readyReduce(this.#state, event);
    if (next === this.#state) return;
    const decided = next.status !== this.#state.status;
    const said = next.why.some((why, i) => why !== this.#state.why[i]);
    this.#state = next;
    if (decided) this.stop();
    if (decided || said) this.#options.onChange(next);
  }
}
