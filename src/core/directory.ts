import { readdirSync } from "node:fs";

/** ENODEV: a control group that goes in this moment. */
const gone: ReadonlySet<string> = new Set(["ENOENT", "ENODEV"]);

/** What a directory of ours or of the kernel holds; empty if it is not there. At once: see `readIfThere`. */
export function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (gone.has((error as NodeJS.ErrnoException).code ?? "")) return [];
    throw error;
  }
}
