/**
 * volumes: named and anonymous volumes, and the files that carry configs and secrets.
 * Promises: data is never removed but by `remove`. Never does: decide who may remove what.
 */
export type * from "./types.ts";
export { openVolumes } from "./volumes.ts";
