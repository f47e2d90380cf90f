import { isMap, isPair, isScalar, isSeq, parseDocument } from "yaml";
import type { Document, Node as YamlNode, YAMLMap, YAMLSeq } from "yaml";
import type { FuzzCase } from "./corpus.ts";
import type { Random } from "./random.ts";

/** Longest file that a mutation may make: large inputs have tests of their own. */
const LIMIT = 20_000;

/** Pieces that mean something to YAML, to interpolation, to environment files or to the grammars of short forms. */
const PIECES = [
  ..."\t|\0|\r\n|\r|\ufeff|\u2028|\u0085|\ud800|😀|é| ,|: |- |? |#|'|\"|\\|&a |*a|<<: |<<: *a|<<: [*a, *a]|!reset |!override |!!str |!!binary |!x |---\n|...\n|%YAML 1.1\n|{|}|[|]|[]|{}|, |>-\n|\n|~|null|0|-1|1e9|0x1F|0o17|0777|1_000|.inf|.nan|12:30|yes|off|true".split("|"),
  ..."|\n  ;$;$$;${;};${A};${A:-b};${A:-${B:-c}};${A?};${A:?x};${A:+y};$A;${A;${a-{}};${__proto__};__proto__;constructor;x-;x-stack;toString".split(";"),
  ..."80:80;1-65535;[::1]:80:80;127.0.0.1::80/udp;./a:/b:ro;/a;C:\\a:/b;~/x:/y;a:b:c:d;10s;1h30m;1.5gb;-1;service:a;container:a;service_healthy;a=b;a:b;=;a=;../..;/;.;*".split(";"),
];

const KEYS = [
  ..."services networks volumes configs secrets models include name version x-a image build command entrypoint environment env_file label_file labels ports expose volumes depends_on extends profiles healthcheck deploy develop logging ulimits sysctls tmpfs devices gpus dns extra_hosts scale restart network_mode ipc pid user secrets configs driver driver_opts ipam external file content context dockerfile args service condition required path format source target type bind volume test interval resources limits reservations memory cpus pids replicas x-stack ready processes on_unhealthy rootfs expect provider options post_start pre_stop hostname init links volumes_from <<".split(
    " ",
  ),
];

export function mutate(base: FuzzCase, corpus: readonly FuzzCase[], random: Random): FuzzCase {
  let made = base;
  for (let rounds = 1 + random.int(4); rounds > 0; rounds--) made = once(made, corpus, random);
  return made;
}

function once(base: FuzzCase, corpus: readonly FuzzCase[], random: Random): FuzzCase {
  const names = Object.keys(base.files);
  if (names.length === 0) return cross(base, random.pick(corpus), random);
  const change = (how: (text: string) => string): FuzzCase => {
    const name = random.pick(names);
    return { ...base, files: { ...base.files, [name]: how(base.files[name] ?? "").slice(0, LIMIT) } };
  };
  const dice = random.int(100);
  if (dice < 18) return change((text) => mutateText(text, random));
  if (dice < 40) return change((text) => mutateLines(text, random));
  if (dice < 78) return change((text) => mutateTree(text, otherText(corpus, random), random));
  if (dice < 92) return cross(base, random.pick(corpus), random);
  return mutateAround(base, random);
}

function otherText(corpus: readonly FuzzCase[], random: Random): string {
  const { files } = random.pick(corpus);
  const names = Object.keys(files);
  return names.length === 0 ? "" : (files[random.pick(names)] ?? "");
}

/** Characters: cut, doubled, replaced or put in. */
function mutateText(text: string, random: Random): string {
  const at = random.int(text.length + 1);
  const length = random.int(random.chance(20) ? 200 : 8);
  const piece = random.chance(70) ? random.pick(PIECES) : String.fromCharCode(random.int(random.chance(80) ? 128 : 0xffff));
  switch (random.int(5)) {
    case 0:
      return text.slice(0, at) + text.slice(at + length);
    case 1:
      return text.slice(0, at) + text.slice(at, at + length).repeat(1 + random.int(4)) + text.slice(at);
    case 2:
      return text.slice(0, at) + piece + text.slice(at + length);
    case 3:
      return random.chance(50) ? text.replaceAll("\n", "\r\n") : `${piece}${text}`;
    default:
      return text.slice(0, at) + piece + text.slice(at);
  }
}

/** Lines: dropped, doubled, moved, indented otherwise, or their value replaced. */
function mutateLines(text: string, random: Random): string {
  const lines = text.split("\n");
  const at = random.int(lines.length);
  const line = lines[at] ?? "";
  switch (random.int(6)) {
    case 0:
      lines.splice(at, 1 + random.int(3));
      break;
    case 1:
      lines.splice(at, 0, line);
      break;
    case 2:
      lines.splice(random.int(lines.length), 0, ...lines.splice(at, 1 + random.int(4)));
      break;
    case 3:
      lines[at] = random.chance(50) ? line.replace(/^ {1,2}/, "") : `${" ".repeat(1 + random.int(3))}${line}`;
      break;
    case 4:
      lines[at] = line.replace(/(:\s*|-\s+)([^:]*)$/, (_, before: string) => `${before.trimEnd()} ${random.pick(PIECES)}`);
      break;
    default:
      lines[at] = line.replace(/[A-Za-z_]+(?=:)/, random.pick(KEYS));
  }
  return lines.join("\n");
}

/** Nodes: removed, replaced, renamed, wrapped, given anchors, or brought over from another file. */
function mutateTree(text: string, other: string, random: Random): string {
  const document = parse(text);
  if (document === undefined) return mutateText(text, random);
  for (let i = 1 + random.int(3); i > 0; i--) mutateNode(document, other, random);
  try {
    return document.toString({ flowCollectionPadding: random.chance(50), lineWidth: 0 });
  } catch {
    return mutateLines(text, random);
  }
}

function parse(text: string): Document | undefined {
  try {
    const document = parseDocument(text, { logLevel: "silent", uniqueKeys: false });
    return document.errors.length === 0 && document.contents !== null ? (document) : undefined;
  } catch {
    return undefined;
  }
}

function mutateNode(document: Document, other: string, random: Random): void {
  const collections = collectionsOf(document.contents);
  if (collections.length === 0) return;
  const into = random.pick(collections);
  const at = random.int(into.items.length);
  const items = into.items as unknown[];
  switch (random.int(7)) {
    case 0:
      items.splice(at, 1);
      return;
    case 1:
      put(into, at, document.createNode(randomValue(random)), random, document);
      return;
    case 2: {
      const donor = parse(other);
      const from = donor === undefined ? [] : collectionsOf(donor.contents);
      const values = from.length === 0 ? [] : valuesOf(random.pick(from));
      if (values.length > 0) put(into, at, random.pick(values), random, document);
      return;
    }
    case 3: {
      const values = collections.flatMap(valuesOf);
      const value = values.length === 0 ? undefined : random.pick(values);
      if (value !== undefined) put(into, at, value.clone() as YamlNode, random, document);
      return;
    }
    case 4: {
      const pair = items[at];
      if (isPair(pair)) pair.key = document.createNode(random.pick(KEYS));
      return;
    }
    case 5: {
      const pair = items[at];
      if (isPair(pair)) pair.value = document.createNode(random.chance(50) ? [pair.value] : { [random.pick(KEYS)]: pair.value });
      return;
    }
    default:
      items.splice(random.int(items.length), 0, ...items.splice(at, 1));
  }
}

function put(into: YAMLMap | YAMLSeq, at: number, value: YamlNode, random: Random, document: Document): void {
  if (isSeq(into)) into.items.splice(at, random.int(2), value);
  else if (random.chance(50)) {
    const pair = into.items[at];
    if (pair !== undefined) pair.value = value;
  } else into.items.splice(at, 0, document.createPair(random.pick(KEYS), value) as never);
}

function collectionsOf(node: unknown, into: (YAMLMap | YAMLSeq)[] = []): (YAMLMap | YAMLSeq)[] {
  if (isMap(node)) {
    into.push(node);
    for (const pair of node.items) collectionsOf(pair.value, into);
  } else if (isSeq(node)) {
    into.push(node);
    for (const item of node.items) collectionsOf(item, into);
  }
  return into;
}

function valuesOf(node: YAMLMap | YAMLSeq): YamlNode[] {
  const all: unknown[] = isMap(node) ? node.items.map((p) => p.value) : node.items;
  return all.filter((v): v is YamlNode => isMap(v) || isSeq(v) || isScalar(v));
}

function randomValue(random: Random): unknown {
  switch (random.int(6)) {
    case 0:
      return null;
    case 1:
      return random.chance(50);
    case 2:
      return random.pick([0, 1, -1, 0.5, 80, 65_536, 2 ** 53, -(2 ** 63), 1e300]);
    case 3:
      return [random.pick(PIECES), random.pick(PIECES)];
    case 4:
      return { [random.pick(KEYS)]: random.pick(PIECES) };
    default:
      return random.pick(PIECES);
  }
}

/** Another case's file beside, over, below or in place of one's own. */
function cross(base: FuzzCase, other: FuzzCase, random: Random): FuzzCase {
  const mine = Object.keys(base.files);
  const theirs = Object.keys(other.files);
  const [name = "compose.yaml"] = theirs.length === 0 ? [] : [random.pick(theirs)];
  const text = other.files[name] ?? "";
  const main = mine.find((n) => /\.ya?ml$/.test(n)) ?? "compose.yaml";
  const own = base.files[main] ?? "";
  switch (random.int(6)) {
    case 0:
      return { ...base, files: { ...base.files, "compose.override.yaml": text }, order: [] };
    case 1:
      return { ...base, files: { ...base.files, [name]: text } };
    case 2:
      return { ...base, files: { ...base.files, "other.yaml": text }, order: [main, "other.yaml"] };
    case 3:
      return { ...base, files: { ...base.files, "inc.yaml": text, [main]: `include: [inc.yaml]\n${own}`.slice(0, LIMIT) } };
    case 4:
      return { ...base, files: { ...base.files, [main]: `${own}\n---\n${text}`.slice(0, LIMIT) } };
    default:
      return { ...base, files: { ...base.files, [main]: splice(own, text, random).slice(0, LIMIT) } };
  }
}

function splice(a: string, b: string, random: Random): string {
  const x = a.split("\n");
  const y = b.split("\n");
  const from = random.int(y.length);
  x.splice(random.int(x.length), random.int(4), ...y.slice(from, from + 1 + random.int(12)));
  return x.join("\n");
}

/** The environment, `.env`, profiles, and names of files. */
function mutateAround(base: FuzzCase, random: Random): FuzzCase {
  const names = Object.keys(base.files);
  switch (random.int(4)) {
    case 0:
      return { ...base, env: { ...base.env, [random.pick(["A", "B", "TAG", "COMPOSE_PROFILES", "HOME"])]: random.pick(PIECES) } };
    case 1:
      return { ...base, files: { ...base.files, ".env": `${base.files[".env"] ?? "A=1"}\n${random.pick(PIECES)}=${random.pick(PIECES)}\n` } };
    case 2:
      return { ...base, profiles: random.chance(50) ? ["*"] : [random.pick(["a", "debug", ""])] };
    default: {
      const name = random.pick(names);
      const { [name]: text = "", ...rest } = base.files;
      return { ...base, files: { ...rest, [random.pick(["stack.yaml", "compose.yaml", "base.yaml", "common.yml"])]: text }, order: [] };
    }
  }
}
