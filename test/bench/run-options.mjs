// What the benchmarks are told on their command line, and how they sum up.
const args = process.argv.slice(2);

/** `--quick`: fewer rounds. */
export const quick = args.includes("--quick");
/** `--only NAME,…` */
export const only = args.includes("--only") ? args[args.indexOf("--only") + 1].split(",") : undefined;
/** `--side stack|docker` */
export const alone = args.includes("--side") ? args[args.indexOf("--side") + 1] : undefined;
/** `--write FILE` */
export const writeTo = args.includes("--write") ? args[args.indexOf("--write") + 1] : undefined;

export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
