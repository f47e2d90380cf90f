import { parseProjectName, StackError } from "../core/index.ts";
import type { ProjectName } from "../core/index.ts";
import type { Diagnostic, LoadRequest, LoadResult, Project } from "../model/index.ts";
import type { Context } from "./context.ts";
import { nearest } from "./suggest.ts";
import { unheededVariables } from "./unheeded.ts";

export type Loaded = Extract<LoadResult, { readonly ok: true }>;

/** The stack file's diagnostics as one error; `main` lets the model render them. */
export class ModelError extends StackError {
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[]) {
    const first = diagnostics.find((d) => d.severity === "error");
    super(first?.rule === "no-stack-file" ? "no-stack-file" : "model-invalid", first?.message ?? "The stack file is invalid", {
      ...(first?.hint === undefined ? {} : { hint: first.hint }),
      details: { diagnostics },
      // What Docker Compose ends with here.
      exitStatus: 1,
    });
    this.diagnostics = diagnostics;
  }
}

/** Loads the stack files that the command line names; warnings are shown, errors thrown. `services`: those named, whose profiles become active. */
export async function loadModel(context: Context, services: readonly string[] = [], more: Partial<LoadRequest> = {}): Promise<Loaded> {
  const result = await context.doors.loadProject(loadRequest(context, services, more));
  if (!result.ok) throw new ModelError(result.diagnostics);
  await showWarnings(context, result.diagnostics);
  return result;
}

/** What the command line says about which files, and how. */
export function loadRequest(context: Context, services: readonly string[], more: Partial<LoadRequest> = {}): LoadRequest {
  const { globals, env, cwd } = context;
  return {
    files: globals.files,
    envFiles: globals.envFiles,
    profiles: globals.profiles,
    services,
    env,
    cwd,
    stdin: () => readAll(context.stdin),
    ...(globals.projectDirectory === undefined ? {} : { projectDirectory: globals.projectDirectory }),
    ...(globals.projectName === undefined ? {} : { projectName: globals.projectName }),
    ...more,
  };
}

/** The project, every service that was named checked; what of it will not be carried out as written is said. */
export async function loadProject(context: Context, services: readonly string[] = []): Promise<Project> {
  const { project } = await loadModel(context, services, { support: true });
  if (context.globals.progress !== "quiet") for (const line of unheededVariables(context.env)) await context.stderr.write(`warning: ${line}\n`);
  for (const service of services) checkService(project, service);
  return project;
}

export function checkService(project: Project, service: string): void {
  if (Object.hasOwn(project.services, service)) return;
  const near = nearest(service, Object.keys({ ...project.services, ...project.disabled_services }));
  throw new StackError("no-such-service", `no such service: ${service}`, {
    hint: near === undefined ? `"${project.name}" has ${Object.keys(project.services).join(", ") || "no service"}.` : `Did you mean "${near}"?`,
  });
}

/** Is a project's name all that the command line gives? Then everything of that project is meant. */
export function isNameAlone({ globals, env }: Pick<Context, "globals" | "env">): boolean {
  return globals.projectName !== undefined && globals.files.length === 0 && (env["COMPOSE_FILE"] ?? "") === "";
}

/**
 * Which project is meant, for commands that need no stack file: with a project name and no `-f` none is read,
 * as Docker Compose does it.
 */
export async function projectOrName(context: Context, services: readonly string[] = []): Promise<{ readonly name: ProjectName; readonly project?: Project }> {
  const { globals } = context;
  const named = globals.projectName;
  if (named !== undefined && isNameAlone(context)) {
    const name = parseProjectName(named);
    if (name === undefined)
      throw new StackError("usage", `invalid project name "${named}"`, { hint: "It has lower-case letters, digits, - and _, and begins with a letter or a digit." });
    return { name };
  }
  const { project } = await loadModel(context, services, { tolerant: true });
  return { name: project.name, project };
}

/** As `projectOrName`, where the project's services matter too: without a file, the project as the last `up` saw it. */
export async function projectToChange(context: Context, services: readonly string[] = []): Promise<Project> {
  const { name, project } = await projectOrName(context, services);
  if (project !== undefined) {
    for (const service of services) checkService(project, service);
    return project;
  }
  const engine = await context.doors.engine();
  const last = await engine.lastProject(name);
  if (last === undefined) {
    const { emptyProject } = await import("../model/index.ts");
    return emptyProject(name, context.cwd as Project["working_dir"]);
  }
  const present = new Set((await engine.containers({ project: name })).map((container) => container.service));
  const known = withActive(last, present);
  for (const service of services) checkService(known, service);
  return known;
}

/** Profiles are the file's; without one, what there is counts. */
function withActive(project: Project, present: ReadonlySet<string>): Project {
  const disabled = Object.entries(project.disabled_services);
  return {
    ...project,
    services: { ...project.services, ...Object.fromEntries(disabled.filter(([service]) => present.has(service))) },
    disabled_services: Object.fromEntries(disabled.filter(([service]) => !present.has(service))),
  };
}

export async function showWarnings(context: Context, diagnostics: readonly Diagnostic[]): Promise<void> {
  if (diagnostics.length === 0 || context.globals.progress === "quiet") return;
  const { renderDiagnostics } = await import("../model/index.ts");
  const { styleFor } = await import("./output/style.ts");
  await context.stderr.write(renderDiagnostics(diagnostics, { color: styleFor(context, context.stderr).enabled }));
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Buffer));
  return Buffer.concat(chunks).toString("utf8");
}
