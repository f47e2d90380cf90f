import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readIfThere, StackError } from "../core/index.ts";
import type { HostPath } from "../core/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { FORMAT_VERSION } from "./formats.ts";
import type {ContainerCrash, ContainerRecord, ContainerState, ContainerStatus} from './formats.ts';

/** Reads a JSON file of a container; undefined if it is not there. Refuses what a newer program wrote. */
function readVersioned(path: string): { readonly version: number } | undefined {
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  let value: { readonly version: number };
  try {
    value = JSON.parse(text) as { readonly version: number };
  } catch (error) {
    throw new StackError("internal", `${path} is damaged`, { cause: error, hint: "Remove the container's directory to get rid of it." });
  }
  if (value.version > FORMAT_VERSION)
    throw new StackError("state-version", `${path} was written by a newer version of stack`, { hint: "Use that version, or a newer one." });
  return value;
}

/** `state.json`; undefined: never started. */
export function readState(directory: HostPath): ContainerState | undefined {
  return readVersioned(join(directory, "state.json")) as ContainerState | undefined;
}

/** `crash.json`; undefined: no run has failed. */
export function readCrash(directory: HostPath): ContainerCrash | undefined {
  return readVersioned(join(directory, "crash.json")) as ContainerCrash | undefined;
}

/** `container.json`; undefined: no such container, or its creation never ended. */
export function readRecord(directory: HostPath): ContainerRecord | undefined {
  return readVersioned(join(directory, "container.json")) as ContainerRecord | undefined;
}

let bootId: string | undefined;

/** The same until the machine starts again. */
export function currentBootId(): string {
  return (bootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
}

/** Is the process that the state names as the container's first one still that one, and not a zombie? */
export function processLives(state: ContainerState): boolean {
  if (state.pid <= 0 || state.bootId !== currentBootId()) return false;
  let text: string;
  try {
    text = readFileSync(`/proc/${state.pid}/stat`, "utf8");
  } catch {
    return false;
  }
  // The second field is the program's name in parentheses, which may hold anything (proc(5)).
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return fields[0] !== "Z" && fields[0] !== "X" && Number(fields[19]) === state.pidStart;
}

/**
 * What the container is now. The monitor's word counts while it lives (it holds `lock`); without it, a container
 * whose first process lives is what it was, and all else that has not ended is `dead`.
 */
export function statusOf(native: Pick<NativeBinding, "isLocked">, directory: HostPath, state: ContainerState | undefined): ContainerStatus {
  if (state === undefined) return "created";
  if (state.status === "exited" || state.status === "created") return state.status;
  if (state.bootId === currentBootId() && native.isLocked(join(directory, "lock"))) return state.status;
  return processLives(state) ? state.status : "dead";
}
