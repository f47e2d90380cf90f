import { join } from "node:path";
import type { HostPath } from "../core/index.ts";
import { readLog } from "../logs/index.ts";
import { readCrash } from "../runtime/index.ts";
import type { ContainerState } from "../runtime/index.ts";

/** Lines of a container's output that an error shows. */
const lines = 10;
const longestLine = 500;

/**
 * The last lines that a container wrote: of the run that failed if its last one did, else of its log. Empty if there are none,
 * or if they cannot be read: an error is not to fail because of what would have explained it.
 */
export async function lastWords(directory: HostPath, state: ContainerState | undefined): Promise<readonly string[]> {
  try {
    const crash = readCrash(directory);
    if (crash !== undefined && crash.output !== "" && crash.finishedAt === state?.finishedAt) return shown(crash.output.split("\n"));
    const found: string[] = [];
    for await (const batch of readLog(join(directory, "log/container.log"), { tail: lines, signal: new AbortController().signal }))
      for (const { text } of batch) found.push(text);
    return shown(found);
  } catch {
    return [];
  }
}

/** Control characters of a container are not the terminal's. */
function shown(text: readonly string[]): readonly string[] {
  const plain = text.map((line) => line.replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, "").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "").slice(0, longestLine));
  while (plain.at(-1)?.trim() === "") plain.pop();
  return plain.slice(-lines);
}
