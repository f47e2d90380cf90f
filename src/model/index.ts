/**
 * model: from the text of stack files to a frozen Project, or diagnostics with file, line and column.
 * Promises: all errors at once, sorted by place; deterministic; no input makes it hang.
 * Never does: touch anything but the files it reads.
 */
export type * from "./diagnostics.ts";
export * from "./project.ts";
