import type { ContainerId, SerializedError } from "../core/index.ts";
import type { ApplyRequest, ApplyResult, EngineEvent, RunRequest, RunResult } from "../engine/index.ts";

/**
 * What crosses `projects/NAME/agent.sock`: one JSON object a line.
 * Client → agent: Call. Agent → client: events of the calls that want them, then one Reply.
 * A client that goes away cancels its `apply` only before the first operation has run, or if it was in the foreground.
 */
export const AGENT_PROTOCOL = 1;

export interface Hello {
  readonly protocol: typeof AGENT_PROTOCOL;
  readonly version: string;
  readonly pid: number;
}

export interface Methods {
  readonly apply: { readonly params: ApplyRequest; readonly result: ApplyResult };
  readonly run: { readonly params: RunRequest; readonly result: RunResult };
  /** Watch these files and run this command when one changes, until the project is stopped or taken down. */
  readonly follow: { readonly params: FollowRequest; readonly result: null };
  readonly status: { readonly params: null; readonly result: AgentStatus };
  /** A container that `run` made with `remove` may go now; replies when it has. */
  readonly release: { readonly params: { readonly container: ContainerId }; readonly result: null };
  /** Events of the project until the connection ends; never replies. */
  readonly events: { readonly params: null; readonly result: null };
  /** Cancel what runs for this connection. */
  readonly cancel: { readonly params: null; readonly result: null };
  readonly shutdown: { readonly params: null; readonly result: null };
}

export interface FollowRequest {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly files: readonly string[];
  /** When they were read, milliseconds since the epoch. */
  readonly loadedAt: number;
}

/** Rules of warnings about what the agent did or could not do by itself: written to its log, and shown by an attached `up`. */
export const unaskedRules: ReadonlySet<string> = new Set(["drift", "healing-failed", "network-repaired", "follow"]);

export interface AgentStatus {
  readonly pid: number;
  readonly version: string;
  readonly project: string;
  readonly busy: boolean;
  readonly converged: boolean;
  /** ISO 8601. */
  readonly since: string;
}

export type Call = { [M in keyof Methods]: { readonly id: number; readonly method: M; readonly params: Methods[M]["params"] } }[keyof Methods];

export type Message =
  | { readonly hello: Hello }
  | { readonly id: number; readonly event: EngineEvent }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: SerializedError };
