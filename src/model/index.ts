/**
 * model: from the text of stack files to a frozen Project, or diagnostics with file, line and column.
 * Promises: all errors at once, sorted by place; deterministic; no input makes it hang.
 * Never does: touch anything but the files it reads.
 */
export type * from "./diagnostics.ts";
export { serviceDifferences } from "./differences.ts";
export { canonicalText, serviceCanonical, toCanonical } from "./emit.ts";
export type { CanonicalOptions, Style } from "./emit.ts";
export { STACK_FILE_NAMES } from "./files.ts";
export { configHash, containerConfig, networkHash, stableJson, volumeHash } from "./hash.ts";
export { loadModel, loadProject } from "./load.ts";
export { parseDotenv } from "./dotenv.ts";
export { isHostPath, parseMount } from "./mounts.ts";
export { parsePort } from "./ports.ts";
export * from "./project.ts";
export type { FileReader, ReadResult } from "./reader.ts";
export { renderDiagnostics } from "./render.ts";
export type { RenderOptions } from "./render.ts";
export type * from "./request.ts";
export { didYouMean } from "./suggest.ts";
export { formatDuration, parseBytes, parseDuration, splitCommand } from "./units.ts";
export { toYaml } from "./yaml-writer.ts";
