// The drivers are TypeScript; Node runs them from a bundle.
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

export const here = dirname(fileURLToPath(import.meta.url));
export const repository = join(here, "../..");

/** Calls `use` with what the file exports. */
export async function withBundle(file, use) {
  const scratch = mkdtempSync(join(tmpdir(), "stack-chaos-driver-"));
  try {
    await build({
      entryPoints: [join(here, file)],
      outfile: join(scratch, "bundle.mjs"),
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20.19",
      plugins: [{ name: "esbuild-from-here", setup: (b) => void b.onResolve({ filter: /^esbuild$/ }, () => ({ path: import.meta.resolve("esbuild"), external: true })) }],
    });
    copyFileSync(join(here, "../support/inside.mjs"), join(scratch, "inside.mjs"));
    return await use(await import(pathToFileURL(join(scratch, "bundle.mjs")).href));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
