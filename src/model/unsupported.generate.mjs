// Writes src/model/generated/unsupported.js: what of the table of attributes can be said of a file alone. The table has
// hundreds of rows, and no command is to put them together each time. Run by build.mjs.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

export async function generate() {
  const { build } = await import("esbuild");
  const contents = 'import { ATTRIBUTES } from "./attributes/index.ts"; import { unsupported } from "./attributes/unsupported.ts"; export default unsupported(ATTRIBUTES);';
  const bundled = await build({ stdin: { contents, resolveDir: here, loader: "ts" }, bundle: true, write: false, format: "esm", platform: "node", target: "node20.19" });
  const { default: tree } = await import(`data:text/javascript;base64,${Buffer.from(bundled.outputFiles[0].text).toString("base64")}`);
  const target = join(here, "generated");
  mkdirSync(target, { recursive: true });
  writeFileSync(join(target, "unsupported.js"), `export default ${JSON.stringify(tree)};\n`);
  writeFileSync(join(target, "unsupported.d.ts"), 'import type { UnsupportedNode } from "../attributes/unsupported.ts";\ndeclare const tree: UnsupportedNode;\nexport default tree;\n');
}
