import { errorsFor } from "./errors.ts";
import type { Fault } from "./injector.ts";
import { Injector } from "./injector.ts";
import { complaints } from "./judge.ts";
import { nameOf } from "./optional.ts";
import { MONITOR, Stage } from "./scene.ts";
import type { Outcome, Scene } from "./scene.ts";

export interface Extent {
  /** All calls, with each error that they may have; else one of each kind (role, call, what about), with one error. */
  readonly whole: boolean;
  /** Only calls after the start: by what `act` does. */
  readonly after?: boolean;
}

export interface Result {
  readonly calls: number;
  readonly faults: number;
  /** The call was not made that time: events may come together. */
  readonly unreached: number;
  readonly failed: number;
  readonly complaints: readonly string[];
}

/** Lives that are lived at once. */
const STAGES = 3;

/** Lists the calls of a scene, and lives it again for each of them with that call failing. */
export async function sweep(scene: Scene, extent: Extent): Promise<Result> {
  const injector = new Injector();
  const stages = await Promise.all(Array.from({ length: STAGES }, () => Stage.open(injector)));
  try {
    const [first] = stages;
    if (first === undefined) throw new Error("no stage");
    // One life before, so that the caches of the data root are filled.
    const undisturbed = new Map<Stage, Outcome>();
    for (const stage of stages) {
      await stage.run(scene);
      undisturbed.set(stage, await stage.run(scene));
    }
    const { report } = await first.run(scene, { list: true });
    const told = report.calls.findIndex((call) => call.role === MONITOR && call.call === "write" && call.about.startsWith("socket:"));
    const calls = extent.after === true ? report.calls.slice(told + 1) : report.calls;
    const faults = faultsOf(calls, extent.whole);
    const result = { unreached: 0, failed: 0, complaints: [] as string[] };
    const queue = faults.values();
    await Promise.all(
      stages.map(async (stage) => {
        const expected = undisturbed.get(stage);
        if (expected === undefined) return;
        for (const fault of queue) {
          const outcome = await stage.run(scene, { fault });
          if (outcome.report.failed.length === 0) result.unreached++;
          if (outcome.status?.ok === false) result.failed++;
          for (const complaint of complaints(fault, outcome, expected)) result.complaints.push(`${nameOf(fault)}, the ${fault.number}., ${fault.error}: ${complaint}`);
        }
      }),
    );
    return { calls: calls.length, faults: faults.length, ...result };
  } finally {
    for (const stage of stages) await stage.close();
    injector.dispose();
  }
}

function faultsOf(calls: Outcome["report"]["calls"], whole: boolean): readonly Fault[] {
  const seen = new Set<string>();
  return calls.flatMap((call) => {
    const kind = nameOf(call);
    if (!whole && seen.has(kind)) return [];
    seen.add(kind);
    const errors = errorsFor(call);
    return (whole ? errors : errors.slice(0, 1)).map((error) => ({ ...call, error }));
  });
}
