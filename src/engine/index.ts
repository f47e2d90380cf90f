/**
 * engine: observe → reconcile → execute, and the events of it. Wires the resource rooms together, holds no policy.
 */
export type * from "./types.ts";
