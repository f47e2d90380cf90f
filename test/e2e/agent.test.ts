import { join } from "node:path";
import { expect, test } from "vitest";
import { loadNative } from "../../src/native/index.ts";
import { useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });

test("an agent ends with the last container, without being asked", async () => {
  const machine = used.current;
  machine.write("compose.yaml", 'services: {job: {image: "busybox:1", command: sleep 0.3}}\n');
  await machine.ok("up", "-d");
  const native = loadNative();
  // Held as long as the agent lives.
  native.close(await native.lockWait(join(machine.root, "projects", "project", "agent.lock"), "shared").promise);
  expect(machine.containers.map((c) => c.state?.status)).toEqual(["exited"]);
  await machine.ok("down");
  expect(await machine.remains()).toEqual([]);
});
