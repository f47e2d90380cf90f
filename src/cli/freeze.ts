import { StackError } from "../core/index.ts";
import { ofActive } from "./containers.ts";
import type { Context } from "./context.ts";
import { each } from "./direct.ts";
import { projectOrName } from "./project.ts";

/** Pauses what runs, or lets go on what is paused. */
export async function freeze(context: Context, services: readonly string[], action: "pause" | "unpause"): Promise<number> {
  const [{ name, project }, engine] = await Promise.all([projectOrName(context, services), context.doors.engine()]);
  const from = action === "pause" ? "running" : "paused";
  const alive = ofActive(await engine.containers({ project: name }), services, project).filter((c) => (c.status === "running" || c.status === "paused") && !c.oneoff);
  await each(context, alive, { done: action === "pause" ? "Paused" : "Unpaused" }, async (c) => {
    if (c.status !== from) throw new StackError("usage", `Container ${c.name} is ${action === "pause" ? "already paused" : "not paused"}`, { exitStatus: 1 });
    await engine.monitor(c.id)[action]();
  });
  return 0;
}
