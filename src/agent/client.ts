import type { ProjectName, DataRoot } from "../core/index.ts";
import type { ApplyRequest, ApplyResult, EngineEvent, RunRequest, RunResult } from "../engine/index.ts";
import type { AgentStatus } from "./protocol.ts";

/** A connection to the agent of one project. */
export interface AgentClient extends AsyncDisposable {
  apply(request: ApplyRequest, signal: AbortSignal, onEvent: (event: EngineEvent) => void): Promise<ApplyResult>;
  run(request: RunRequest, signal: AbortSignal, onEvent: (event: EngineEvent) => void): Promise<RunResult>;
  status(): Promise<AgentStatus>;
  /** Resolves when the connection ends or the signal aborts. */
  events(signal: AbortSignal, onEvent: (event: EngineEvent) => void): Promise<void>;
}

/** Starts booting an agent at once, before the project is known; `bind` finds the running one or gives the project to this one. */
export interface PendingAgent {
  bind(project: ProjectName): Promise<AgentClient>;
  /** The command ends without needing it. */
  abandon(): void;
}

/** Call as early as possible: the agent boots while the model loads. */
export type StartAgent = (root: DataRoot) => PendingAgent;
