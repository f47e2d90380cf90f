// Restarts and scale changes without end: are the agent's memory and descriptors flat?
//
//   node test/chaos/soak.mjs [--minutes N] [--seed N]
//
// Prints a line a minute, and the slopes at the end. Ends with 1 where they are not flat. Needs root.
import { parseArgs } from "node:util";
import { repository, withBundle } from "./bundle.mjs";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "60" }, seed: { type: "string", default: "1" } } });
await withBundle("soak.ts", async ({ soak }) => {
  const flat = await soak({ repository, minutes: Number(values.minutes), seed: Number(values.seed), say: (line) => console.log(line) });
  if (!flat) process.exitCode = 1;
});
