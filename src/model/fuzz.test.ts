import { basename, dirname, join } from "node:path";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readCorpus, readKept } from "../../test/fuzz/corpus.ts";
import { caseOf, judge } from "../../test/fuzz/run.ts";

/**
 * The short form of `npm run fuzz:model`, on the same inputs every time: no input makes the loader throw, two loads
 * say the same, and what `config` prints is read as the same project.
 */
const fixtures = join(dirname(fileURLToPath(import.meta.url)), "../../test/fixtures");

describe("no promise of the model is broken", () => {
  it("by seven hundred mutated stack files", { timeout: 60_000 }, async () => {
    const corpus = readCorpus(fixtures);
    let accepted = 0;
    for (let index = 0; index < 700; index++) {
      const test = caseOf(1, index, corpus);
      const verdict = await judge(test);
      expect(verdict.broken, JSON.stringify(test)).toBeUndefined();
      if (verdict.accepted) accepted += 1;
    }
    // Mutations that break everything would test nothing.
    expect(accepted).toBeGreaterThan(70);
  });

  const kept = join(fixtures, "fuzz");
  const names = readdirSync(kept).filter((n) => n.endsWith(".json")).sort();
  for (const [i, test] of readKept(kept).entries())
    it(`by what the fuzzer once found: ${basename(names[i] ?? "", ".json")}`, async () => {
      expect((await judge(test)).broken).toBeUndefined();
    });
});
