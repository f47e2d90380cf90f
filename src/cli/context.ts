import type { AgentClient, PendingAgent } from "../agent/client.ts";
import type { Clock, DataRoot } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";
import type { LoadRequest, LoadResult } from "../model/index.ts";
import type { Globals } from "./globals.ts";
import type { Interrupts } from "./interrupts.ts";
import type { Sink } from "./sink.ts";

/** Everything that a command may touch; tests bring their own. */
export interface Context {
  readonly globals: Globals;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly clock: Clock;
  readonly interrupts: Interrupts;
  readonly doors: Doors;
}

/** The other rooms, entered only when a command needs them: what is not imported costs nothing. */
export interface Doors {
  root(): DataRoot;
  loadProject(request: LoadRequest): Promise<LoadResult>;
  engine(): Promise<Engine>;
  /** How this program is called: Node, and the script. */
  program(): readonly string[];
  /** Call as early as possible in a command that changes something: the agent boots while the model loads. */
  startAgent(): Promise<PendingAgent>;
  /** Our terminal hands through what is written to it: the terminal in the container has processed it. Until raw mode ends. */
  passOutputThrough(): Promise<void>;
  /** The running agent; starts none. */
  findAgent(project: string): Promise<AgentClient | undefined>;
}
