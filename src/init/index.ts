/**
 * init: a first stack file for what is in a directory. Looks at names and a few texts; writes nothing.
 * Promises: the text is a stack file that loads and lints clean, and says of itself only what stack can do.
 */
export { filesBelow } from "./project-files.ts";
export type { ProjectFiles } from "./project-files.ts";
export { recognise } from "./recognise.ts";
export type { Part } from "./recognise.ts";
export { starterFile } from "./write.ts";
export type { StarterFile } from "./write.ts";
