/**
 * Every error that a user can meet has a code from this one closed list.
 * The code says what kind of thing went wrong; match on it, never on the message.
 */
export type ErrorCode =
  | "usage" // the command line is wrong
  | "model-invalid" // the stack file is wrong; details carry the diagnostics
  | "no-stack-file"
  | "no-such-service"
  | "no-such-container"
  | "no-such-project"
  | "no-such-image"
  | "no-such-network"
  | "no-such-volume"
  | "dependency-cycle"
  | "dependency-failed" // a gate closed for good: unhealthy, or exited non-zero
  | "image-reference-invalid"
  | "image-not-found"
  | "image-invalid" // malformed manifest, hostile layer, wrong media type
  | "image-platform" // no image for this platform
  | "digest-mismatch"
  | "registry-unreachable"
  | "registry-unauthorized"
  | "registry-error"
  | "port-taken"
  | "address-pool-exhausted"
  | "address-taken"
  | "network-in-use"
  | "volume-in-use"
  | "container-start-failed"
  | "command-not-found" // exit status 127
  | "command-not-executable" // exit status 126
  | "container-not-running"
  | "permission-denied"
  | "kernel-feature-missing"
  | "no-space"
  | "project-busy" // another command changes this project
  | "agent-failed"
  | "question" // the plan needs an answer (data would be lost)
  | "timeout"
  | "cancelled"
  | "unsupported" // an attribute or flag that this platform cannot honour
  | "state-version" // a record of a newer version than this program knows
  | "native-unavailable"
  | "native"
  | "internal";

export interface StackErrorOptions {
  /** What the user can do about it, one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Facts for machines (`--format json`). Never secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Exit status of the command, if the code's own one (see `exitStatus`) does not fit. */
  readonly exitStatus?: number;
}

/** An error for the user: what and where in the message, what to do in the hint, why in the cause. */
export class StackError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly #exitStatus: number | undefined;

  constructor(code: ErrorCode, message: string, options: StackErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "StackError";
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
    this.#exitStatus = options.exitStatus;
  }

  /** The exit status that a command ends with (Docker Compose's where it has one). */
  get exitStatus(): number {
    if (this.#exitStatus !== undefined) return this.#exitStatus;
    switch (this.code) {
      case "command-not-found":
        return 127;
      case "command-not-executable":
        return 126;
      case "cancelled":
        return 130;
      default:
        return 1;
    }
  }
}

/** The form in which an error crosses a socket or is printed with `--format json`. */
export interface SerializedError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly exitStatus: number;
  readonly causes?: readonly string[];
}

export function isStackError(error: unknown): error is StackError {
  return error instanceof StackError;
}

/** Node's own errors that mean one thing to a user get their code; everything else is `internal`. */
export function toStackError(error: unknown): StackError {
  if (isStackError(error)) return error;
  if (error instanceof Error) {
    const { code, path } = error as NodeJS.ErrnoException;
    const where = path === undefined ? "" : ` (${path})`;
    if (error.name === "AbortError") return new StackError("cancelled", "Cancelled", { cause: error });
    if (code === "ENOSPC")
      return new StackError("no-space", `No space left on device${where}`, {
        cause: error,
        hint: "Free some space, or move the data root with STACK_ROOT.",
      });
    if (code === "EACCES" || code === "EPERM")
      return new StackError("permission-denied", `Permission denied${where}: ${error.message}`, { cause: error });
    return new StackError("internal", error.message, { cause: error });
  }
  return new StackError("internal", String(error));
}

export function serializeError(error: unknown): SerializedError {
  const e = toStackError(error);
  const causes: string[] = [];
  for (let c: unknown = e.cause; c instanceof Error && causes.length < 8; c = c.cause) {
    if (c.message !== "" && !e.message.includes(c.message)) causes.push(c.message);
  }
  return {
    code: e.code,
    message: e.message,
    ...(e.hint === undefined ? {} : { hint: e.hint }),
    ...(Object.keys(e.details).length === 0 ? {} : { details: e.details }),
    exitStatus: e.exitStatus,
    ...(causes.length === 0 ? {} : { causes }),
  };
}

export function deserializeError(error: SerializedError): StackError {
  return new StackError(error.code, error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.details === undefined ? {} : { details: error.details }),
    exitStatus: error.exitStatus,
  });
}

/** For the default branch of an exhaustive `switch`. */
export function unreachable(value: never): never {
  throw new StackError("internal", `unreachable: ${JSON.stringify(value)}`);
}
