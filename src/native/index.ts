/**
 * native: the one typed door to native code, addon and runtime binary.
 * Promises: failures carry stage, call, errno and path. Never does: decide anything.
 */
export type * from "./binding.ts";
