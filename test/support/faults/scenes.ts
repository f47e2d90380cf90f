import type { TestContainer } from "../../integration/monitor/container.ts";
import type { Scene } from "./scene.ts";

interface Answer {
  readonly exitCode?: number;
  readonly output?: string;
}

/** What a request was answered: its words, or why it failed. A failure of one call is no other's. */
async function asked(container: TestContainer, op: string, fields: object): Promise<unknown> {
  try {
    const { exitCode, output } = await container.request<Answer>(op, fields);
    return { exitCode, output };
  } catch (error) {
    return error;
  }
}

const idle = ["sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 1000 & wait; done"];

/** From the launch to the end that a container finds by itself. */
export const life: Scene = { name: "a whole life" };

/** `exec` in a running container, then `stop`. */
export const execution: Scene = {
  name: "exec and stop",
  args: idle,
  act: async (container) => {
    await container.untilLog("ready");
    const exec = await asked(container, "exec", { args: ["sh", "-c", "id; pwd; readlink /proc/self/ns/pid | wc -c; echo $A; exit 5"], env: ["A=b"], tty: false, stdin: false, capture: 4096 });
    const stop = await asked(container, "stop", { graceMs: 5000 });
    return { exec, stop };
  },
};
