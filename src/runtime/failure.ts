import { constants } from "node:os";
import { StackError } from "../core/index.ts";
import type { ErrorCode } from "../core/index.ts";
import type { NativeFailure } from "./formats.ts";

const { ENOENT, EACCES, EISDIR, ENOEXEC, ENOSPC, EDQUOT, EPERM } = constants.errno;

/** What the native side said: stage, system call, errno and path are kept. */
export class RuntimeFailure extends StackError {
  readonly failure: NativeFailure;

  constructor(what: string, failure: NativeFailure) {
    super(codeOf(failure), `${what}: ${describe(failure)}`, {
      details: { stage: failure.stage, call: failure.call, errno: failure.errno, path: failure.path },
    });
    this.name = "RuntimeFailure";
    this.failure = failure;
  }
}

function codeOf({ stage, errno }: NativeFailure): ErrorCode {
  if (stage === "exec" && errno === ENOENT) return "command-not-found";
  if (stage === "exec" && [EACCES, EISDIR, ENOEXEC].includes(errno)) return "command-not-executable";
  if (errno === ENOSPC || errno === EDQUOT) return "no-space";
  if (errno === EPERM || errno === EACCES) return "permission-denied";
  return "native";
}

function describe({ stage, call, path, message }: NativeFailure): string {
  const what = [call, path].filter((part) => part !== "").join(" ");
  return [stage, what, message].filter((part) => part !== "").join(": ");
}

/** A failure in a reply or record; whatever is missing or of the wrong type becomes empty. */
export function parseFailure(value: unknown): NativeFailure {
  const members = typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  const text = (key: string): string => (typeof members[key] === "string" ? members[key] : "");
  const errno = members["errno"];
  return { stage: text("stage"), call: text("call"), errno: typeof errno === "number" ? errno : 0, path: text("path"), message: text("message") };
}
