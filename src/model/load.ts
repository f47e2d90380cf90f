import { dirname, resolve } from "node:path";
import type { ProjectName } from "../core/index.ts";
import { composeFiles } from "./compose.ts";
import { checkConsistency } from "./consistency.ts";
import { checkOwnConsistency } from "./own-consistency.ts";
import { Environment, projectEnvFiles, readEnvFiles } from "./environment.ts";
import { findStackFiles } from "./files.ts";
import { hostReader } from "./host-reader.ts";
import { freeze, makeProject } from "./make-project.ts";
import { projectName } from "./names.ts";
import { normalise } from "./normalise.ts";
import { plainModel } from "./plain-model.ts";
import { activeProfiles, isActive, profilesOf } from "./profiles.ts";
import type { LoadRequest, LoadResult, ModelResult } from "./request.ts";
import { Session } from "./session.ts";
import { checkStartRules } from "./start-rules.ts";
import { didYouMean } from "./suggest.ts";
import { childMap, cloneNode, scalar } from "./tree.ts";
import type { MapNode, Node, Via } from "./tree.ts";
import { resolveServiceFiles } from "./variables.ts";

/**
 * From the names of files to a frozen project, or everything that is wrong with them. Reads files, through
 * `request.reader`, and touches nothing else; never throws for what a user wrote.
 */
export async function loadProject(request: LoadRequest): Promise<LoadResult> {
  return finish(await composeModel(request), request);
}

/** What a load had in hand, for whoever has more to say about the files than their errors (`lint`). */
export interface Inspection {
  readonly result: LoadResult;
  readonly session: Session;
  readonly directory: string;
  /** A copy of the merged document, before `env_file` was read into it. */
  readonly root: MapNode | undefined;
  readonly active: ReadonlySet<string>;
  /** Through which places each node of `root` came, those of its parents included. */
  readonly vias: ReadonlyMap<Node, readonly Via[]> | undefined;
}

export async function inspect(request: LoadRequest): Promise<Inspection> {
  const composed = await composeModel(request);
  const { session, environment } = composed;
  const root = composed.root === undefined ? undefined : (cloneNode(composed.root) as MapNode);
  const result = await finish(composed, request);
  const profiles = root === undefined ? [] : activeProfiles(request.profiles ?? [], environment.values.get("COMPOSE_PROFILES"), request.services ?? [], root);
  const vias = new Map<Node, readonly Via[]>();
  if (root !== undefined) collectVias(root, [], vias);
  return {
    result,
    session,
    directory: composed.root === undefined ? request.cwd : composed.directory,
    root,
    active: root === undefined ? new Set() : activeServices(root, profiles),
    vias,
  };
}

function collectVias(node: Node, above: readonly Via[], vias: Map<Node, readonly Via[]>): void {
  const own = node.via === undefined ? above : [...above, ...node.via];
  if (own.length > 0) vias.set(node, own);
  if (node.kind !== "scalar") for (const item of node.kind === "seq" ? node.items : node.entries.values()) collectVias(item, own, vias);
}

async function finish(composed: Composed, request: LoadRequest): Promise<LoadResult> {
  const { session, environment } = composed;
  if (composed.root === undefined) return failed(session);
  const { root, name, files, directory } = composed;
  const profiles = activeProfiles(request.profiles ?? [], environment.values.get("COMPOSE_PROFILES"), request.services ?? [], root);
  const active = activeServices(root, profiles);
  reportUnknownProfiles(request.profiles ?? [], root, session);
  if (request.skip?.consistency !== true) {
    checkConsistency({ root, active, broken: session.broken, report: session.report });
    checkOwnConsistency({ root, active, report: session.report });
  }
  checkStartRules(root, active, request.tolerant === true, session.report);
  await resolveServiceFiles(root, active, environment.values, directory, session);
  const project = makeProject(
    root,
    { name, directory, files, envFiles: environment.files, profiles, environment: environment.values, active },
    session.report,
  );
  if (session.report.failed) return failed(session);
  // The table is large, and commands that only read need none of it.
  if (request.support === true) (await import("./report-support.ts")).reportSupport({ root, active, named: request.services ?? [], report: session.report });
  return {
    ok: true,
    project: request.frozen === false ? project : freeze(project),
    diagnostics: session.report.sorted(session.files),
    environment: environment.values,
    variables: [...session.variables.values()]
      .map((v) => ({ name: v.name, required: v.required, defaultValue: v.defaultValue, alternateValue: v.presenceValue }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

/**
 * The merged document itself, keys sorted, short forms long where they can be read, nothing filtered by profiles:
 * what `config --no-interpolate` prints, where values may still be variables and so no project can be made.
 */
export async function loadModel(request: LoadRequest): Promise<ModelResult> {
  const { session, root } = await composeModel({ ...request, skip: { ...request.skip, interpolation: true } });
  if (root === undefined || session.report.failed) return failed(session);
  return { ok: true, model: plainModel(root), diagnostics: session.report.sorted(session.files) };
}

type Composed =
  | { readonly session: Session; readonly environment: Environment; readonly root: undefined }
  | {
      readonly session: Session;
      readonly environment: Environment;
      readonly root: MapNode;
      readonly name: ProjectName;
      readonly files: readonly string[];
      readonly directory: string;
    };

async function composeModel(request: LoadRequest): Promise<Composed> {
  const session = new Session(request, request.reader ?? hostReader);
  const environment = new Environment(request.env, request.cwd);
  const located = await locate(request, environment, session);
  if (located === undefined) return { session, environment, root: undefined };
  const { files, directory } = located;
  const name = await projectName({ files, directory, environment: environment.values }, session);
  if (name !== undefined) environment.values.set("COMPOSE_PROJECT_NAME", name);
  const root = await composeFiles({ files, directory, environment: environment.values, including: [] }, session);
  if (root === undefined || name === undefined || session.exhausted) {
    if (!session.report.failed)
      session.report.error(undefined, {
        rule: "empty-file",
        message: `Nothing is in ${files.join(", ")}`,
        hint: "A stack file begins with `services:`.",
      });
    return { session, environment, root: undefined };
  }
  root.entries.set("name", scalar(name, root.at));
  if (request.skip?.normalization !== true) normalise(root, name, environment.values);
  return { session, environment, root, name, files, directory };
}

function failed(session: Session): Extract<LoadResult, { readonly ok: false }> {
  return { ok: false, diagnostics: session.report.sorted(session.files), files: session.files };
}

/** `--profile debgu` turns nothing on, and says so. COMPOSE_PROFILES may be meant for many projects. */
function reportUnknownProfiles(asked: readonly string[], root: MapNode, session: Session): void {
  const known = new Set([...(childMap(root, "services")?.entries.values() ?? [])].flatMap(profilesOf));
  for (const profile of asked)
    if (profile !== "" && profile !== "*" && !known.has(profile))
      session.report.warn(undefined, {
        rule: "unknown-profile",
        message: `No service has the profile "${profile}"`,
        hint: didYouMean(profile, known) ?? (known.size === 0 ? "There are no profiles in these files." : `Profiles are ${[...known].sort().slice(0, 12).join(", ")}.`),
      });
}

function activeServices(root: MapNode, profiles: readonly string[]): ReadonlySet<string> {
  const active = new Set<string>();
  for (const [name, service] of childMap(root, "services")?.entries ?? []) if (isActive(service, profiles)) active.add(name);
  return active;
}

/** Which files, and which directory their paths are relative to; environment files are read on the way. */
async function locate(
  request: LoadRequest,
  environment: Environment,
  session: Session,
): Promise<{ readonly files: readonly string[]; readonly directory: string } | undefined> {
  const given = (request.files ?? []).map((f) => (f === "-" ? f : resolve(request.cwd, f)));
  const wanted =
    request.projectDirectory === undefined || request.projectDirectory === "" ? undefined : resolve(request.cwd, request.projectDirectory);
  const first = wanted ?? directoryOf(given) ?? request.cwd;
  // The first reading may say where the files are; a second `.env` may lie beside them.
  await addEnvFiles(request, first, environment, session);
  const files = given.length > 0 ? given : await findFiles(request, wanted, environment, session);
  if (files === undefined) return undefined;
  const directory = wanted ?? directoryOf(files) ?? request.cwd;
  if (directory !== first) await addEnvFiles(request, directory, environment, session);
  for (const file of files) await session.open(file);
  return { files, directory };
}

function directoryOf(files: readonly string[]): string | undefined {
  const file = files.find((f) => f !== "-");
  return file === undefined ? undefined : dirname(file);
}

async function findFiles(
  request: LoadRequest,
  wanted: string | undefined,
  environment: Environment,
  session: Session,
): Promise<readonly string[] | undefined> {
  const listed = environment.values.get("COMPOSE_FILE");
  if (listed !== undefined && listed !== "") {
    const separator = environment.values.get("COMPOSE_PATH_SEPARATOR") ?? ":";
    return listed.split(separator === "" ? ":" : separator).map((f) => (f === "-" ? f : resolve(request.cwd, f)));
  }
  const from = wanted ?? request.cwd;
  const found = await findStackFiles(from, session.reader);
  if (found === undefined) {
    session.report.error(undefined, {
      rule: "no-stack-file",
      message: `No stack file in ${from} or any directory above it`,
      hint: "It is called stack.yaml or compose.yaml; or name one with -f FILE. `stack init` writes a first one.",
    });
    return undefined;
  }
  for (const other of found.ignored)
    session.report.warn(undefined, {
      rule: "several-stack-files",
      message: `${other} is not read, because ${found.files[0] ?? ""} is there too`,
    });
  return found.files;
}

async function addEnvFiles(request: LoadRequest, directory: string, environment: Environment, session: Session): Promise<void> {
  const files = (await projectEnvFiles(request, directory, session.reader)).filter((f) => !environment.files.includes(f));
  if (files.length === 0) return;
  environment.files.push(...files);
  environment.addDefaults(await readEnvFiles(files, environment.values, session.reader, session.report));
}
