import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { StackError } from "../core/index.ts";
import type { NativeBinding } from "./binding.ts";

/** `kAbi` in native/addon/addon.cc. */
export const EXPECTED_ABI = 5;

const ADDON = join("native", "stack_native.node");
const REBUILD = "Run `npm install` in the package's directory; it builds it, and says what is missing.";

/** Walks up from a bundle (`dist/`, `dist/chunks/`) or a source file (`src/native/`) to the addon beside it. */
export function findAddon(from: string): string | undefined {
  for (let at = from; ; at = dirname(at)) {
    for (const candidate of [join(at, ADDON), join(at, "dist", ADDON)]) if (existsSync(candidate)) return candidate;
    if (at === dirname(at)) return undefined;
  }
}

/** Loads an addon and refuses one that was built from other sources than this code. */
export function loadAddon(file: string, load: (file: string) => unknown): NativeBinding {
  let loaded: unknown;
  try {
    loaded = load(file);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split("\n", 1)[0] : String(cause);
    throw new StackError("native-unavailable", `The native part of stack does not load: ${file}: ${why ?? ""}`, { cause, hint: REBUILD });
  }
  const abi = typeof loaded === "object" && loaded !== null && "abi" in loaded ? loaded.abi : undefined;
  if (abi !== EXPECTED_ABI)
    throw new StackError("native-unavailable", `The native part of stack (${file}) is of version ${String(abi)}, this program needs ${EXPECTED_ABI}`, {
      hint: REBUILD,
    });
  return loaded as NativeBinding;
}

let binding: NativeBinding | undefined;

/** The addon, loaded once. */
export function loadNative(): NativeBinding {
  if (binding !== undefined) return binding;
  const file = findAddon(dirname(fileURLToPath(import.meta.url)));
  if (file === undefined) throw new StackError("native-unavailable", "The native part of stack is not built", { hint: REBUILD });
  const require = createRequire(import.meta.url);
  return (binding = loadAddon(file, (path) => require(path) as unknown));
}
