import type { Network, Service, Volume } from "../model/index.ts";

/**
 * What reconcile needs to know beside the state and the wish, handed in so that it stays pure:
 * the hashes that the engine put on what it made, and the time (milliseconds since the epoch).
 */
export interface ReconcileContext {
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
