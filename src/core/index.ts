/**
 * core: what every room may use and which uses no room: errors, ids, paths of the data root, clock,
 * atomic files. Promises: no state of its own. Never does: anything about containers.
 */
export * from "./atomic-file.ts";
export * from "./cgroups.ts";
export * from "./clock.ts";
export * from "./directory.ts";
export * from "./errors.ts";
export * from "./event-source.ts";
export * from "./ids.ts";
export * from "./mounts.ts";
export * from "./json-lines.ts";
export * from "./linked-signal.ts";
export * from "./paths.ts";
