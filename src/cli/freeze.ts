import { ofActive } from "./containers.ts";
import type { Context } from "./context.ts";
import { each } from "./direct.ts";
import { projectOrName } from "./project.ts";

/** Pauses what runs, or lets go on what is paused. */
export async function freeze(context: Context, services: readonly string[], action: "pause" | "unpause"): Promise<number> {
  const [{ name, project }, engine] = await Promise.all([projectOrName(context, services), context.doors.engine()]);
  const from = action === "pause" ? "running" : "paused";
  const containers = ofActive(await engine.containers({ project: name }), services, project).filter((c) => c.status === from && !c.oneoff);
  await each(context, containers, { done: action === "pause" ? "Paused" : "Unpaused" }, (c) => engine.monitor(c.id)[action]());
  return 0;
}
