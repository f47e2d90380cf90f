import { chaos, coverage } from "./driver.ts";
import type { Options } from "./driver.ts";
import { World } from "./world.ts";
import type { Round } from "./rounds.ts";

export interface RunOptions extends Options {
  readonly repository: string;
  readonly broken?: string;
  /** Lists every step with how often a blow has fallen there. */
  readonly steps?: boolean;
}

/** One run with a world of its own. */
export async function run(options: RunOptions): Promise<{ readonly lines: readonly string[]; readonly failed: boolean; readonly history: readonly Round[] }> {
  const world = await World.open(options.repository, options.broken === undefined ? {} : { broken: options.broken });
  try {
    const { rounds, known, wrong, history, output } = await chaos(world, options);
    const wrongs = wrong.length === 0 ? [] : [output, `in: ${JSON.stringify(history.at(-1))}`, ...wrong.map((line) => `WRONG: ${line}`)];
    const lines = [...wrongs, `seed ${options.seed}, ${rounds} rounds; ${coverage(known)}`];
    if (options.steps === true) lines.push(...[...known.steps].sort().map((step) => `${String(known.hit.get(step) ?? 0).padStart(4)} ${step}`));
    return { lines, failed: wrong.length > 0, history };
  } finally {
    await world.close();
  }
}
