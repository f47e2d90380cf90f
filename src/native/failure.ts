import { StackError } from "../core/index.ts";
import type { ErrorCode } from "../core/index.ts";

/** What the addon throws: an Error with these (NativeFailure in runtime/formats.ts, and the errno's name). */
export interface NativeError extends Error {
  readonly stage: string;
  readonly call: string;
  readonly errno: number;
  readonly path: string;
  /** `"EEXIST"`; "" without an errno. */
  readonly code: string;
  /** `netlink`: which request failed. */
  readonly details?: { readonly index: number };
}

export function isNativeError(error: unknown): error is NativeError {
  return error instanceof Error && "stage" in error && typeof error.stage === "string" && "errno" in error && "code" in error;
}

/** Is it this errno? `errnoIs(error, "ENOENT", "ENODEV")`. */
export function errnoIs(error: unknown, ...names: readonly string[]): boolean {
  return isNativeError(error) && names.includes(error.code);
}

const codes: Readonly<Record<string, ErrorCode>> = {
  EPERM: "permission-denied",
  EACCES: "permission-denied",
  ENOSPC: "no-space",
  EDQUOT: "no-space",
  ENOSYS: "kernel-feature-missing",
  EOPNOTSUPP: "kernel-feature-missing",
  EPROTONOSUPPORT: "kernel-feature-missing",
};

/** The failure as an error for the user: `doing` says what was being done, in words ("cannot create network x"). */
export function nativeStackError(error: unknown, doing: string): StackError {
  if (error instanceof StackError) return error;
  if (!isNativeError(error)) return new StackError("internal", `${doing}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  const code = codes[error.code] ?? "native";
  return new StackError(code, `${doing}: ${error.message}`, {
    cause: error,
    details: { stage: error.stage, call: error.call, errno: error.errno, path: error.path },
    ...(code === "permission-denied" ? { hint: "Run as root (sudo)." } : {}),
  });
}
