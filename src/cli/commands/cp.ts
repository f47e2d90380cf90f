import { resolve } from "node:path";
import { StackError } from "../../core/index.ts";
import type { ContainerSummary, Engine } from "../../engine/index.ts";
import { defineCommand } from "../command.ts";
import { noContainer } from "../containers.ts";
import type { Context } from "../context.ts";
import { findSource, findTarget, parseCopyPlace } from "../copy.ts";
import type { CopyPlace, CopySide } from "../copy.ts";
import { each } from "../direct.ts";
import { boolean, integer } from "../flags.ts";
import { projectOrName } from "../project.ts";

interface Wish {
  readonly archive: boolean;
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

export const command = defineCommand({
  name: "cp",
  summary: "Copy files/folders between a service container and the local filesystem",
  details: "Works on containers that run and on those that do not. `-` as source reads a tar archive from standard input, as destination writes one to standard output.",
  positionals: ["<source>", "<destination>"],
  usage: "[OPTIONS] SERVICE:SRC_PATH DEST_PATH|-\n        stack cp [OPTIONS] SRC_PATH|- SERVICE:DEST_PATH",
  flags: {
    all: boolean("Include containers created by the run command"),
    archive: boolean("Archive mode (copy all uid/gid information)", { short: "a" }),
    followLink: boolean("Always follow symbol link in SRC_PATH", { short: "L" }),
    index: integer("Index of the container if service has multiple replicas"),
  },
  async run(context, flags, [source = "", destination = ""]) {
    const [from, to] = [parseCopyPlace(source), parseCopyPlace(destination)];
    const place = oneContainer(from, to);
    const [target, engine] = await Promise.all([projectOrName(context, [place.service]), context.doors.engine()]);
    const existing = await engine.containers({ project: target.name });
    const all = existing.filter((container) => container.service === place.service && (flags.all || !container.oneoff));
    const wanted = flags.index === undefined ? all : all.filter((container) => container.number === flags.index && !container.oneoff);
    if (wanted.length === 0) throw noContainer(existing, target.name, place.service, flags.index);
    const wish: Wish = { archive: flags.archive, follow: flags.followLink, signal: context.interrupts.graceful };
    const chosen = from === place ? wanted.slice(0, 1) : wanted;
    if (from.kind === "stream" && chosen.length > 1)
      throw new StackError("usage", `standard input can go to one container only, and "${place.service}" has ${chosen.length}`, { hint: "Choose one with --index." });
    await each(context, chosen, words(source, destination, from === place), (container) => copyOne(context, engine, container, from, to, wish));
    return 0;
  },
});

function words(source: string, destination: string, fromContainer: boolean): Parameters<typeof each>[2] {
  const path = (text: string): string => text.slice(text.indexOf(":") + 1);
  return {
    doing: "Copying",
    done: "Copied",
    subject: ({ name }) => (fromContainer ? `${name} copy ${name}:${path(source)} to ${destination}` : `${name} copy ${source} to ${name}:${path(destination)}`),
  };
}

function oneContainer(from: CopyPlace, to: CopyPlace): Extract<CopyPlace, { readonly kind: "container" }> {
  if (from.kind === "container" && to.kind === "container") throw new StackError("usage", "copying between services is not supported", { hint: "Copy to the host first, or through a pipe: `stack cp a:/x - | stack cp - b:/`." });
  if (from.kind === "container") return from;
  if (to.kind === "container") return to;
  throw new StackError("usage", "unknown copy direction: neither side is a service", { hint: "Write the container's side as SERVICE:PATH." });
}

async function copyOne(context: Context, engine: Engine, container: ContainerSummary, from: CopyPlace, to: CopyPlace, wish: Wish): Promise<void> {
  const inside = engine.files(container.id);
  const host = engine.files();
  const side = { container: { label: `${container.name}:`, stat: (path: string) => inside.stat(path) }, host: { label: "", stat: (path: string) => host.stat(path) } } satisfies Record<string, CopySide>;
  const at = (place: CopyPlace): string => (place.kind === "stream" ? "-" : place.kind === "container" ? absolute("/", place.path) : absolute(context.cwd, place.path));
  if (from.kind === "stream") {
    const { directory, name } = await findTarget(side.container, at(to), { path: "/-", directory: true, contents: true });
    if (name !== "") throw new StackError("usage", `${container.name}:${at(to)} must be a directory that exists`, { hint: "An archive from standard input is unpacked into it." });
    const owner = wish.archive ? { owner: await inside.owner() } : {};
    return inside.unpackFrom(0, { path: directory, ...owner }, wish.signal);
  }
  const outwards = from.kind === "container";
  const [here, there] = outwards ? [inside, host] : [host, inside];
  const source = await findSource(outwards ? side.container : side.host, at(from), wish.follow);
  if (to.kind === "stream") return here.packTo({ path: source.path, name: source.contents ? "" : baseName(source.path) }, 1, wish.signal);
  const target = await findTarget(outwards ? side.host : side.container, at(to), source);
  // Of what comes from outside -a makes the container's user the owner; what comes out belongs to whoever asked, but with -a.
  const owned = wish.archive !== outwards ? { owner: await there.owner() } : {};
  return here.copy({ path: source.path, name: target.name }, there, { path: target.directory, ...owned }, wish.signal);
}

/** Keeps what a slash or `/.` at its end says. */
function absolute(base: string, path: string): string {
  const whole = resolve(base, path);
  if (/(^|\/)\.$/.test(path)) return whole === "/" ? "/." : `${whole}/.`;
  return path.endsWith("/") && whole !== "/" ? `${whole}/` : whole;
}

const baseName = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
