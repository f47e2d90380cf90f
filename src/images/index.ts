/**
 * images: references, registry client, blob and layer store, unpacking.
 * Promises: nothing is kept that was not verified; layers are shared; a crash leaves nothing half made.
 * Never does: know containers, services or stack files.
 */
export type * from "./types.ts";
export type { ImagesOptions } from "./images.ts";
export { openImages } from "./images.ts";
export type { Reference } from "./reference.ts";
export { familiarReference, formatReference, parseReference } from "./reference.ts";
