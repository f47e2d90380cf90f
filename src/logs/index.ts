/**
 * logs: reads what containers wrote, from Docker's json-file format: from the end, by time, through rotation, following.
 * Promises: no polling; memory does not grow with the log; damaged records are skipped, never fatal.
 * Never does: write or rotate logs (the monitor does), know containers.
 */
export { LogMerge } from "./merge.ts";
export type { Merged } from "./merge.ts";
export { readLog } from "./read.ts";
export { parseTime } from "./record.ts";
export type * from "./types.ts";
