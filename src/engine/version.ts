declare const STACK_VERSION: string | undefined;

/** The package's version; defined when the bundle is built. */
export const version: string = typeof STACK_VERSION === "string" ? STACK_VERSION : "0.0.0-source";
