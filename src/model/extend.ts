import { dirname } from "node:path";
import { canonicalise } from "./canonicalise.ts";
import { applyResets, enforceUnicity, mergeService } from "./merge.ts";
import { absolutePath, resolveServicePaths } from "./paths.ts";
import type { Session } from "./session.ts";
import { didYouMean } from "./suggest.ts";
import { addVia, child, childMap, childString, cloneNode, countNodes, mapOf, stringOf } from "./tree.ts";
import type { MapNode, Node, Path, Via } from "./tree.ts";

/** Services of one file among which `extends` looks, with what that file resets. */
export interface Family {
  readonly file: string;
  readonly services: ReadonlyMap<string, Node>;
  readonly resets: readonly Path[];
  /** What `extends.file` is relative to. */
  readonly directory: string;
  /** Already canonical, its paths still relative: the document that is being loaded itself. */
  readonly own: boolean;
}

/** `extends` of every service of a document, chains and other files included. Changes the tree. */
export async function applyExtends(root: Node, family: Family, environment: ReadonlyMap<string, string>, session: Session): Promise<void> {
  const services = childMap(root, "services");
  if (services === undefined) return;
  const extender = new Extender(environment, session);
  for (const name of [...services.entries.keys()]) {
    const node = services.entries.get(name);
    if (node?.kind !== "map" || !node.entries.has("extends")) continue;
    services.entries.set(name, await extender.resolve(name, node, family, []));
  }
}

/** Services that extend each other; every one is copied into the next. */
const CHAIN = 200;

interface Link {
  readonly file: string;
  readonly service: string;
}

class Extender {
  readonly #environment: ReadonlyMap<string, string>;
  readonly #session: Session;
  /** What is extended a thousand times is read, checked and put together once. */
  readonly #families = new Map<string, Family>();
  readonly #bases = new Map<string, MapNode>();

  constructor(environment: ReadonlyMap<string, string>, session: Session) {
    this.#environment = environment;
    this.#session = session;
  }

  /** The service with everything that it extends merged below it. */
  async resolve(name: string, service: MapNode, family: Family, chain: readonly Link[]): Promise<MapNode> {
    const extended = service.entries.get("extends");
    if (extended === undefined) return service;
    const alone = mapOf(service.entries, service.at, service.keyAt);
    if (service.via !== undefined) alone.via = service.via;
    alone.entries.delete("extends");
    const reference = childString(extended, "service");
    if (reference === undefined) return alone;
    const links = [...chain, { file: family.file, service: name }];
    if (links.length > CHAIN) {
      this.#session.exhausted = true;
      this.#session.report.error(extended, { rule: "extends-too-large", message: `\`extends\` goes more than ${CHAIN} services deep` });
      return alone;
    }
    if (chain.some((l) => l.file === family.file && l.service === name)) {
      this.#session.report.error(extended, {
        rule: "extends-cycle",
        message: `Circular \`extends\`: ${links.map((l) => `${l.service} in ${l.file}`).join(" extends ")}`,
      });
      return alone;
    }
    const base = await this.#base(name, reference, extended, family, links);
    if (base === undefined) return alone;
    if (this.#session.exhausted || !this.#session.mayCopy(countNodes(base), extended)) return alone;
    const copy = cloneNode(base) as MapNode;
    for (const entry of copy.entries.values())
      addVia(entry, { at: extended.keyAt ?? extended.at, note: `service "${name}" has it through \`extends\`` });
    const wrapped = mapOf([["services", mapOf([[name, copy]], copy.at)]], copy.at);
    applyResets(wrapped, family.resets);
    const merged = mergeService(copy, alone, name, this.#session.report);
    return merged.kind === "map" ? merged : alone;
  }

  async #base(name: string, reference: string, extended: Node, family: Family, links: readonly Link[]): Promise<MapNode | undefined> {
    const fileNode = child(extended, "file");
    const file = stringOf(fileNode);
    const other = file === undefined ? family : await this.#open(name, file, fileNode ?? extended, family);
    if (other === undefined) return undefined;
    const key = `${reference}\0${other.own ? "" : other.file}`;
    const known = this.#bases.get(key);
    if (known !== undefined) return known;
    const found = other.services.get(reference);
    if (found === undefined) {
      this.#session.report.error(child(extended, "service") ?? extended, {
        rule: "undefined-service",
        message: `Service "${name}" extends service "${reference}", which is not in ${other.file}`,
        hint: didYouMean(reference, other.services.keys()),
      });
      return undefined;
    }
    if (found.kind !== "map") return undefined;
    const ready = other.own ? found : await this.#prepare(reference, found, other, { at: extended.keyAt ?? extended.at, note: `extended by service "${name}"` });
    const made = await this.resolve(reference, ready, other, links);
    this.#bases.set(key, made);
    return made;
  }

  /** A service of another file: checked and brought to its canonical form where it is first needed. */
  async #prepare(name: string, service: MapNode, family: Family, because: Via): Promise<MapNode> {
    const wrapped = mapOf([["services", mapOf([[name, cloneNode(service)]], service.at)]], service.at);
    this.#session.report.enter(because);
    await this.#session.validate(wrapped);
    canonicalise(wrapped, this.#session.report, this.#session.lenient);
    this.#session.report.leave();
    enforceUnicity(wrapped);
    const made = childMap(childMap(wrapped, "services"), name);
    if (made === undefined) return mapOf([], service.at, service.keyAt);
    resolveServicePaths(made, { directory: family.directory, home: this.#environment.get("HOME") });
    return made;
  }

  async #open(name: string, file: string, at: Node, family: Family): Promise<Family | undefined> {
    const path = absolutePath(file, { directory: family.directory, home: this.#environment.get("HOME") });
    const known = this.#families.get(path);
    if (known !== undefined) return known;
    const opened = await this.#session.open(path, at, `extended by service "${name}"`);
    if (opened === undefined) return undefined;
    const root = await this.#session.readAll(opened, this.#environment);
    if (root === undefined) return undefined;
    const services = childMap(root.node, "services");
    const opening: Family = {
      file: path,
      services: services?.entries ?? new Map<string, Node>(),
      resets: root.resets,
      directory: dirname(path),
      own: false,
    };
    this.#families.set(path, opening);
    return opening;
  }
}
