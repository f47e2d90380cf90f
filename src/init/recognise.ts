import { openDirectory } from "./app.ts";
import type { App, Directory, Language } from "./app.ts";
import { go, java, rust } from "./compiled.ts";
import { dockerfileOf } from "./dockerfile.ts";
import type { Dockerfile } from "./dockerfile.ts";
import { node } from "./node.ts";
import type { ProjectFiles } from "./project-files.ts";
import { python } from "./python.ts";
import { php, ruby } from "./scripted.ts";

/** The first that recognises a directory wins: a Rails or Laravel project has a package.json for its assets too. */
const LANGUAGES: readonly Language[] = [ruby, php, python, go, rust, java, node];

/** A directory with something in it that can run. */
export interface Part {
  /** Below the root; `""`: the root itself. */
  readonly directory: string;
  readonly app: App | undefined;
  readonly dockerfile: Dockerfile | undefined;
  /** Process types of a Procfile → their command lines. */
  readonly processes: Readonly<Record<string, string>>;
  /** A directory of pages, and nothing that serves them. */
  readonly pages: boolean;
}

/** What is in this directory; where nothing is, what is in the directories below it. */
export async function recognise(files: ProjectFiles): Promise<readonly Part[]> {
  const here = await part(files, "");
  if (here !== undefined && (here.app !== undefined || Object.keys(here.processes).length > 0)) return [here];
  const below: Part[] = [];
  for (const name of (await files.list("")).filter(isSource).slice(0, 40)) {
    const found = await part(files, name.replace(/\/$/, ""));
    if (found?.app !== undefined) below.push(found);
  }
  if (below.length > 0) return below.slice(0, 8);
  return here === undefined ? [] : [here];
}

function isSource(name: string): boolean {
  return /^[a-zA-Z0-9][\w.-]*\/$/.test(name) && !["node_modules/", "vendor/", "target/", "dist/", "build/", "docs/", "doc/", "examples/", "example/", "test/", "tests/", "venv/"].includes(name);
}

async function part(files: ProjectFiles, path: string): Promise<Part | undefined> {
  const directory = await openDirectory(files, path);
  const app = await language(directory);
  const dockerfile = directory.names.has("Dockerfile") ? dockerfileOf(await directory.text("Dockerfile")) : undefined;
  const processes = directory.names.has("Procfile") ? procfileOf(await directory.text("Procfile")) : {};
  const pages = app === undefined && directory.names.has("index.html");
  if (app === undefined && dockerfile === undefined && Object.keys(processes).length === 0 && !pages) return undefined;
  return { directory: path, app, dockerfile, processes, pages };
}

async function language(directory: Directory): Promise<App | undefined> {
  for (const candidate of LANGUAGES) {
    if (!candidate.marks.some((m) => directory.names.has(m))) continue;
    const app = await candidate.detect(directory);
    if (app !== undefined) return app;
  }
  return undefined;
}

/** `web: bundle exec puma`: one process type in each line (Heroku's format). */
function procfileOf(text: string): Readonly<Record<string, string>> {
  const processes: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const [, name, command] = /^([A-Za-z0-9_-]{1,60})\s*:\s*(\S.*)$/.exec(line) ?? [];
    if (name !== undefined && command !== undefined) processes[name] = command.trim();
  }
  return processes;
}
