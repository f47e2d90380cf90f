import type { MonitorSpec } from "./formats.ts";
import type { ImageInput, ServiceInput } from "./input.ts";
import { parseSignal } from "./signals.ts";

/** The service's signal, the image's, SIGTERM; -1 milliseconds would wait for ever. */
export function toStop(service: Pick<ServiceInput, "stop_signal" | "stop_grace_period">, image: ImageInput | null): MonitorSpec["stop"] {
  const written = service.stop_signal ?? (image?.stopSignal === "" ? undefined : image?.stopSignal);
  return { signal: parseSignal(written ?? "SIGTERM"), graceMs: Math.round(service.stop_grace_period) };
}

/** The policy and its times; without times, the usual ones. */
export function toRestart(service: { readonly restart: ServiceInput["restart"]; readonly restart_policy: ServiceInput["restart_policy"] | undefined }): MonitorSpec["restart"] {
  const timing = service.restart_policy ?? { first_delay: 0, delay: 100, factor: 2, max_delay: 60_000, jitter: 0, reset_after: 10_000 };
  return {
    policy: service.restart.policy,
    maxAttempts: service.restart.max_attempts ?? 0,
    firstDelayMs: timing.first_delay,
    delayMs: timing.delay,
    factor: timing.factor,
    maxDelayMs: timing.max_delay,
    jitter: timing.jitter,
    resetAfterMs: timing.reset_after,
  };
}
