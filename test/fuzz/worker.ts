import { parentPort, workerData } from "node:worker_threads";
import { readCorpus } from "./corpus.ts";
import { caseOf, judge, minimise } from "./run.ts";

/** Runs inputs until told otherwise; the shared number says which one, so that a hang can be named. */
interface Task {
  readonly seed: number;
  readonly from: number;
  readonly until: number;
  readonly fixtures: string;
  readonly progress: SharedArrayBuffer;
}

const { seed, from, until, fixtures, progress } = workerData as Task;
const shared = new Int32Array(progress);
const corpus = readCorpus(fixtures);
for (let index = from; Date.now() < until; index++) {
  Atomics.store(shared, 0, index);
  const test = caseOf(seed, index, corpus);
  const { accepted, broken } = await judge(test);
  Atomics.add(shared, 1, 1);
  if (accepted) Atomics.add(shared, 2, 1);
  if (broken !== undefined) parentPort?.postMessage({ index, broken, test: await minimise(test, broken) });
}
