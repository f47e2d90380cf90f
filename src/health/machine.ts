/**
 * The health state machine: pure. Docker's rules (reference: Dockerfile HEALTHCHECK):
 *
 *     starting ──success──▶ healthy ──retries failures in a row──▶ unhealthy ──success──▶ healthy
 *        └──retries failures in a row, counted only after the start period──▶ unhealthy
 */
export interface HealthSettings {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly retries: number;
  readonly startPeriodMs: number;
  readonly startIntervalMs: number;
}

export interface HealthState {
  readonly status: "starting" | "healthy" | "unhealthy";
  /** Failures in a row that count. */
  readonly failingStreak: number;
}

export interface ProbeResult {
  readonly ok: boolean;
  /** Milliseconds since the start of this run, when the probe began. */
  readonly sinceStart: number;
}

export const initialHealth: HealthState = { status: "starting", failingStreak: 0 };

export function healthReduce(state: HealthState, probe: ProbeResult, settings: HealthSettings): HealthState {
  if (probe.ok) return { status: "healthy", failingStreak: 0 };
  // A failure within the start period is forgiven, unless the container was healthy before.
  if (state.status === "starting" && probe.sinceStart < settings.startPeriodMs) return state;
  const failingStreak = state.failingStreak + 1;
  return { status: failingStreak >= settings.retries ? "unhealthy" : state.status, failingStreak };
}

/**
 * Milliseconds to wait before the next probe. While starting, probes come at the start interval inside the
 * start period; the first one comes at once, not after an interval: a gate behind it opens as early as it can.
 */
export function nextProbeDelay(state: HealthState, settings: HealthSettings, sinceStart: number, probes: number): number {
  if (state.status === "starting") {
    if (sinceStart < settings.startPeriodMs) return probes === 0 ? firstDelay(settings) : settings.startIntervalMs;
    if (probes < earlyProbes) return Math.min(settings.intervalMs, firstDelay(settings) * 2 ** probes);
  }
  return settings.intervalMs;
}

/**
 * A service is often up long before one interval (30 s by default) has passed. The first probes follow
 * quickly with doubling distance; their failures count only from the regular rhythm on (see `counts`).
 */
const earlyProbes = 8;
const firstDelay = (settings: HealthSettings): number => Math.min(50, settings.intervalMs, settings.startIntervalMs);

/** Does a failure of this probe count? Early probes come sooner than Docker's would: only their successes do. */
export function counts(settings: HealthSettings, sinceStart: number): boolean {
  return sinceStart >= Math.min(settings.intervalMs, Number.MAX_SAFE_INTEGER);
}
