import type { Network, Service, Volume } from "../model/index.ts";

/** What reconcile needs to know beside the state and the wish, handed in so that it stays pure. */
export interface ReconcileContext {
  /**
   * When the command began that this plan serves, milliseconds since the epoch. What was pulled, or ran and ended,
   * since then is not pulled or started again: so the same command may plan again, with the same time.
   */
  readonly now: number;
  /** The same function whose result is in `ObservedContainer.configHash`. */
  configHash(service: Service): string;
  networkHash(network: Network): string;
  volumeHash(volume: Volume): string;
  /**
   * What changed between the definition that a container was made from (`ObservedContainer.definition`) and
   * the service as it is now, one line each, secrets hidden: `environment.DEBUG: "0" → "1"`.
   */
  differences(before: Readonly<Record<string, unknown>>, service: Service): readonly string[];
}
