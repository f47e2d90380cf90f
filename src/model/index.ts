/**
 * model: from the text of stack files to a frozen Project, or diagnostics with file, line and column.
 * Promises: all errors at once, sorted by place; deterministic; no input makes it hang.
 * Never does: touch anything but the files it reads.
 */
export type * from "./diagnostics.ts";
export { diagnosticsGithub } from "./diagnostics-github.ts";
export { diagnosticsJson } from "./diagnostics-json.ts";
export { diagnosticsSarif } from "./diagnostics-sarif.ts";
export { serviceDifferences } from "./differences.ts";
export { emptyProject } from "./empty-project.ts";
export { canonicalText, modelText, serviceCanonical, toCanonical } from "./emit.ts";
export type { CanonicalOptions, Style } from "./emit.ts";
export { STACK_FILE_NAMES } from "./files.ts";
export { configHash, containerConfig, networkHash, stableJson, volumeHash } from "./hash.ts";
export { loadModel, loadProject } from "./load.ts";
export type { Level, LintOptions, LintResult, LintRule } from "./lint/index.ts";
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

/** `lint`, which only one command wants. */
export const openLint = (): Promise<typeof import("./lint/index.ts")> => import("./lint/index.ts");
