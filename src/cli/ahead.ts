import { bootAhead, launchLines, takeLaunched } from "../agent/client.ts";
import { resolveDataRoot } from "../core/index.ts";
import { loadNative } from "../native/index.ts";
import { commandLines, commandOf, needsAgent, readsFilesAlone } from "./command-word.ts";

/**
 * Runs before the command's own bundle is loaded, which takes as long as Node itself: a command that changes something
 * has its agent boot meanwhile. Whatever goes wrong here is said by the command, which does it all again.
 */
const argv = process.argv.slice(2);
const command = commandOf(argv);
try {
  if (!takeLaunched(loadNative) && needsAgent(command, argv)) bootAhead(resolveDataRoot(process.env, process.getuid?.() ?? 0), loadNative, process.cwd());
} catch {
  // The command will meet it too.
}

/** In which of the build's code caches (build.mjs) this command finds what it runs, and little else. */
export const cacheKind = readsFilesAlone(command) ? ".files" : "";

/** The build writes it into `dist/lib/launch.txt`. */
export const launchTable = (): string => [...commandLines(), ...launchLines(), ""].join("\n");
