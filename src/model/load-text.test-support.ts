import { loadProject, renderDiagnostics } from "./index.ts";
import type { LoadRequest, LoadResult, Project } from "./index.ts";
import { memoryReader } from "./memory-reader.ts";

/** Loads files that exist in memory alone, below /p. A single text is /p/compose.yaml. */
export async function loadText(files: string | Readonly<Record<string, string>>, request: Partial<LoadRequest> = {}): Promise<LoadResult> {
  const texts = typeof files === "string" ? { "compose.yaml": files } : files;
  const absolute = Object.fromEntries(Object.entries(texts).map(([name, text]) => [`/p/${name}`, text]));
  return loadProject({ env: {}, cwd: "/p", reader: memoryReader(absolute), ...request });
}

/** The project; what is wrong is thrown as it would be shown. */
export async function projectOf(files: string | Readonly<Record<string, string>>, request: Partial<LoadRequest> = {}): Promise<Project> {
  const result = await loadText(files, request);
  if (!result.ok) throw new Error(renderDiagnostics(result.diagnostics, { color: false }));
  return result.project;
}

/** `file:line:column severity rule` of everything that was found. */
export async function findings(
  files: string | Readonly<Record<string, string>>,
  request: Partial<LoadRequest> = {},
): Promise<readonly string[]> {
  const { diagnostics } = await loadText(files, request);
  return diagnostics.map(
    (d) => `${d.place === undefined ? "" : `${d.place.file.replace("/p/", "")}:${d.place.line}:${d.place.column} `}${d.severity} ${d.rule}`,
  );
}
