/**
 * What follows when a container is unhealthy: how often, and how soon again. Pure.
 *
 *     healthy ──unhealthy `after` times in a row──▶ act ──▶ … ──▶ given up after `max` times
 *        ▲──────────── healthy for `resetAfterMs`: the count begins anew ──────────────┘
 */
export interface RemedySpec {
  /** So many unhealthy verdicts in a row before anything is done. */
  readonly after: number;
  /** So many times at most; 0: without limit. */
  readonly max: number;
  readonly timing: {
    readonly firstDelayMs: number;
    readonly delayMs: number;
    readonly factor: number;
    readonly maxDelayMs: number;
    readonly jitter: number;
    readonly resetAfterMs: number;
  };
}

/** Kept in `health.json`, so that an agent that takes over goes on counting. */
export interface RemedyState {
  /** How often something was done since it was last healthy for long. */
  readonly count: number;
  readonly gaveUp: boolean;
}

export const noRemedy: RemedyState = { count: 0, gaveUp: false };

export type RemedyDecision = { readonly act: false; readonly state: RemedyState } | { readonly act: true; readonly delayMs: number; readonly state: RemedyState };

/** `verdicts`: unhealthy ones in a row. `healthyMs`: how long it was healthy before. `random`: [0, 1). */
export function nextRemedy(spec: RemedySpec, before: RemedyState, verdicts: number, healthyMs: number, random: number): RemedyDecision {
  const state = healthyMs >= spec.timing.resetAfterMs ? noRemedy : before;
  if (state.gaveUp || verdicts < spec.after) return { act: false, state };
  if (spec.max > 0 && state.count >= spec.max) return { act: false, state: { ...state, gaveUp: true } };
  const count = state.count + 1;
  return { act: true, delayMs: delayBefore(spec.timing, count, random), state: { count, gaveUp: false } };
}

/** As the monitor's back-off: the first after `firstDelayMs`, then `delayMs`, growing by `factor` up to `maxDelayMs`. */
export function delayBefore(timing: RemedySpec["timing"], count: number, random: number): number {
  const plain = count <= 1 ? timing.firstDelayMs : timing.delayMs * Math.max(timing.factor, 1) ** (count - 2);
  return Math.max(0, Math.min(plain, timing.maxDelayMs) * (1 + Math.min(Math.max(timing.jitter, 0), 1) * (2 * random - 1)));
}
