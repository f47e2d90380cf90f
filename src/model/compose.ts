import { canonicalise } from "./canonicalise.ts";
import { checkTree } from "./check-tree.ts";
import { applyExtends } from "./extend.ts";
import { applyIncludes } from "./include.ts";
import { applyResets, dropEmpty, enforceUnicity, merge } from "./merge.ts";
import { applyDefaults } from "./normalise.ts";
import { resolvePaths } from "./paths.ts";
import type { Session } from "./session.ts";
import { childMap, isNull, toPlain } from "./tree.ts";
import { reportDoubles } from "./validate.ts";
import type { MapNode, Node, Path } from "./tree.ts";

/** Files that make one project, before or inside an `include`. */
export interface Composition {
  readonly files: readonly string[];
  /** What relative paths are relative to. */
  readonly directory: string;
  readonly environment: ReadonlyMap<string, string>;
  /** Files that include this one, outermost first. */
  readonly including: readonly string[];
}

/**
 * The way of the files to one canonical tree: each document is read, filled in, checked and brought to its long
 * form, gets its `extends` and `include`, and is merged over what came before it. `undefined`: nothing was there.
 */
export async function composeFiles(composition: Composition, session: Session): Promise<MapNode | undefined> {
  let model: Node | undefined;
  for (const file of composition.files) {
    const source = await session.open(file);
    if (source === undefined) continue;
    for (const { node, resets } of await session.documents(source, composition.environment)) {
      if (model !== undefined) dropEmpty(node, model);
      const root = await composeDocument(node, resets, file, composition, session);
      if (root === undefined) continue;
      if (model === undefined) model = root;
      else {
        applyResets(model, resets);
        model = merge(model, root, session.report);
        reportDoubles(model, session.report);
      }
      enforceUnicity(model);
    }
  }
  if (model?.kind !== "map") return undefined;
  applyDefaults(model);
  checkTree(model, session.report);
  if (session.request.skip?.pathResolution !== true)
    resolvePaths(model, { directory: composition.directory, home: composition.environment.get("HOME") });
  return model;
}

async function composeDocument(
  node: Node,
  resets: readonly Path[],
  file: string,
  composition: Composition,
  session: Session,
): Promise<MapNode | undefined> {
  if (node.kind !== "map") {
    if (!(node.kind === "scalar" && node.value === null))
      session.report.error(node, {
        rule: "wrong-type",
        message: "The top level of a stack file has to be a mapping",
        hint: "Begin with `services:`.",
      });
    return undefined;
  }
  // Docker Compose looks at it before it looks at types.
  if (isNull(node.entries.get("include"))) node.entries.delete("include");
  if (!(await session.validate(node))) return undefined;
  const version = node.entries.get("version");
  if (version !== undefined) {
    session.report.warn(version, {
      rule: "obsolete-version",
      message: "`version` is obsolete and has no effect",
      hint: "Remove the line.",
      atKey: true,
    });
    node.entries.delete("version");
  }
  canonicalise(node, session.report, session.lenient);
  enforceUnicity(node, (earlier, later, identity) => {
    if (JSON.stringify(toPlain(earlier)) === JSON.stringify(toPlain(later))) return;
    session.report.warn(later, {
      rule: "replaced-item",
      message: `"${identity}" stands here twice: this one takes the place of the earlier one`,
      via: [{ at: earlier.at, note: "has no effect" }],
      hint: "Remove one of them.",
    });
  });
  const services = childMap(node, "services")?.entries ?? new Map<string, Node>();
  await applyExtends(node, { file, services, resets, directory: composition.directory, own: true }, composition.environment, session);
  if (node.entries.has("include")) await applyIncludes(node, composition, session, composeFiles);
  return node;
}
