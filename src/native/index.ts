/**
 * native: the one typed door to native code, addon and runtime binary.
 * Promises: failures carry stage, call, errno and path. Never does: decide anything.
 */
export type * from "./binding.ts";
export { errnoIs, isNativeError, nativeStackError } from "./failure.ts";
export type { NativeError } from "./failure.ts";
export { loadNative } from "./load.ts";
export { agentFlags, distributionDirectory, installProgram } from "./program.ts";
export type { Program } from "./program.ts";
export { runtimeBinaryPath } from "./runtime-binary.ts";
