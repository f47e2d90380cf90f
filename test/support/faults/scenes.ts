import { existsSync } from "node:fs";
import { join } from "node:path";
import { MonitorError } from "../../integration/monitor/connection.ts";
import { until } from "../../integration/monitor/container.ts";
import type { TestContainer } from "../../integration/monitor/container.ts";
import type { Scene } from "./scene.ts";

/** From the launch to the end that a container finds by itself. */
export const life: Scene = { name: "a whole life" };

/** Says that it is there in a file too: whether its output comes through is what the faults are about. */
const waits = ["sh", "-c", "trap 'echo bye; exit 3' TERM; echo ready; : > /scratch/ready; while :; do usleep 20000; done"];

async function ready(container: TestContainer): Promise<void> {
  const scratch = `/proc/${container.state.pid}/root/scratch`;
  await until([scratch], () => existsSync(join(scratch, "ready")), "it is there");
}

const closed = "the connection was closed";

/** What was answered, as data; whoever closes the connection instead has answered nothing. */
async function asked(container: TestContainer, op: string, fields: object): Promise<object> {
  try {
    return await container.request(op, fields);
  } catch (error) {
    return { refused: error instanceof MonitorError ? error.failure : closed };
  }
}

/** After a request that failed the next one is as good as ever. */
async function finish(container: TestContainer): Promise<void> {
  if (container.state.status !== "exited") await asked(container, "stop", { graceMs: 400 });
}

/** A stop in order. */
export const stop: Scene = {
  name: "a stop",
  args: waits,
  act: async (container) => {
    await ready(container);
    const answer = await asked(container, "stop", { graceMs: 400 });
    await finish(container);
    const { ignored, killed, refused } = answer as { ignored?: boolean; killed?: boolean; refused?: unknown };
    return refused === undefined ? { ignored, killed } : { refused };
  },
};

/** A command in a container that runs. */
export const exec: Scene = {
  name: "an exec",
  args: waits,
  act: async (container) => {
    await ready(container);
    const answer = await asked(container, "exec", { args: ["sh", "-c", "echo out; id -u; exit 5"], tty: false, stdin: false, capture: 1000, isolate: true, timeoutMs: 5000 });
    await finish(container);
    return answer;
  },
};
