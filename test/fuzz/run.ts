import type { FuzzCase } from "./corpus.ts";
import { mutate } from "./mutate.ts";
import { judge } from "./properties.ts";
import type { Verdict } from "./properties.ts";
import { Random } from "./random.ts";

/** The input with this number of the run with this seed. */
export function caseOf(seed: number, index: number, corpus: readonly FuzzCase[]): FuzzCase {
  const random = new Random((Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) >>> 0);
  return mutate(random.pick(corpus), corpus, random);
}

/** Makes an input smaller as long as it breaks the same promise. */
export async function minimise(test: FuzzCase, broken: string): Promise<FuzzCase> {
  const kind = kindOf(broken);
  const stillBroken = async (candidate: FuzzCase): Promise<boolean> => {
    const { broken: now } = await judge(candidate);
    return now !== undefined && kindOf(now) === kind;
  };
  let best = test;
  for (const name of Object.keys(best.files)) {
    const rest = Object.fromEntries(Object.entries(best.files).filter(([other]) => other !== name));
    if (await stillBroken({ ...best, files: rest })) best = { ...best, files: rest };
  }
  for (const smaller of [{ ...best, env: {} }, { ...best, profiles: [] }, { ...best, order: [] }]) if (await stillBroken(smaller)) best = smaller;
  for (const name of Object.keys(best.files)) {
    const lines = (best.files[name] ?? "").split("\n");
    for (let size = lines.length >> 1; size >= 1; size >>= 1)
      for (let at = 0; at < lines.length; ) {
        const fewer = [...lines.slice(0, at), ...lines.slice(at + size)];
        const candidate = { ...best, files: { ...best.files, [name]: fewer.join("\n") } };
        if (await stillBroken(candidate)) {
          best = candidate;
          lines.splice(at, size);
        } else at += size;
      }
  }
  return best;
}

/** The same promise broken in the same way: numbers and quoted words do not matter. */
export function kindOf(broken: string): string {
  return (broken.split("\n")[0] ?? "").replace(/"[^"]*"|\d+/g, "").slice(0, 120);
}

export type { FuzzCase, Verdict };
export { judge };
