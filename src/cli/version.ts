declare const STACK_VERSION: string | undefined;

/** That of the package; the build puts it in. */
export const version = typeof STACK_VERSION === "string" ? STACK_VERSION : "0.0.0-source";
