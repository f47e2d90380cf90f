import { chaos, coverage } from "./driver.ts";
import type { Options } from "./driver.ts";
import { World } from "./world.ts";
import type { Round } from "./rounds.ts";

export interface RunOptions extends Options {
  readonly repository: string;
  readonly broken?: string;
}

/** One run with a world of its own. */
export async function run(options: RunOptions): Promise<{ readonly lines: readonly string[]; readonly failed: boolean; readonly history: readonly Round[] }> {
  const world = await World.open(options.repository, options.broken);
  try {
    const { rounds, known, wrong, history, output } = await chaos(world, options);
    const wrongs = wrong.length === 0 ? [] : [output, `in: ${JSON.stringify(history.at(-1))}`, ...wrong.map((line) => `WRONG: ${line}`)];
    const lines = [...wrongs, `seed ${options.seed}, ${rounds} rounds; ${coverage(known)}`];
    return { lines, failed: wrong.length > 0, history };
  } finally {
    await world.close();
  }
}
