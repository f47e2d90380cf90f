import { basename, dirname, join, normalize } from "node:path";
import { StackError } from "../core/index.ts";
import type { FileStat } from "../engine/index.ts";

/** One side of a copy, for the rules alone. */
export interface CopySide {
  /** For messages: `web:` or nothing. */
  readonly label: string;
  stat(path: string): Promise<FileStat>;
}

/** One argument of `cp`: `SERVICE:PATH`, a path of the host, or `-`. */
export type CopyPlace = { readonly kind: "container"; readonly service: string; readonly path: string } | { readonly kind: "host"; readonly path: string } | { readonly kind: "stream" };

/** As Docker tells them apart: what begins with `/` or `.` is a path of the host, whatever colons it has. */
export function parseCopyPlace(text: string): CopyPlace {
  if (text === "-") return { kind: "stream" };
  const colon = text.indexOf(":");
  if (text.startsWith("/") || text.startsWith(".") || colon <= 0) return { kind: "host", path: text };
  return { kind: "container", service: text.slice(0, colon), path: text.slice(colon + 1) };
}

export interface CopySource {
  readonly path: string;
  readonly directory: boolean;
  /** `DIR/.`: what is in it, not itself. */
  readonly contents: boolean;
}

/** Links are followed only where asked (`-L`, or a slash at the end). */
export async function findSource(side: CopySide, path: string, follow: boolean): Promise<CopySource> {
  const contents = /(^|\/)\.\/*$/.test(path);
  const asDirectory = contents || path.endsWith("/");
  const clean = withoutSlash(normalize(path));
  const found = await (follow || asDirectory ? followed(side, clean) : { path: clean, stat: await side.stat(clean) });
  const directory = found.stat.type === "directory";
  if (found.stat.type === "missing")
    throw new StackError("usage", `${side.label}${path}: no such file or directory`, { hint: "Nothing was copied." });
  if (asDirectory && !directory) throw new StackError("usage", `${side.label}${path} is no directory`);
  return { path: found.path, directory, contents: contents || clean === "/" };
}

/** In which directory what is copied appears, and under which name; "": what is in it goes there, not itself. */
export interface CopyTarget {
  readonly directory: string;
  readonly name: string;
}

/** Where `cp` puts a source: the rules of Docker's cp. */
export async function findTarget(side: CopySide, path: string, source: CopySource): Promise<CopyTarget> {
  const clean = withoutSlash(normalize(path));
  const asDirectory = /\/\.?$/.test(path);
  const found = await followed(side, clean);
  const shown = `${side.label}${path}`;
  switch (found.stat.type) {
    case "directory":
      return { directory: found.path, name: source.contents ? "" : basename(source.path) };
    case "missing": {
      if (asDirectory && !source.directory) throw new StackError("usage", `${shown}: no such directory`, { hint: "Make it first, or leave the slash at its end away." });
      const parent = await followed(side, dirname(found.path));
      if (parent.stat.type !== "directory")
        throw new StackError("usage", `${shown}: directory ${dirname(found.path)} does not exist`, { hint: "`cp` makes no parent directories: make it first." });
      return { directory: parent.path, name: basename(found.path) };
    }
    default:
      if (source.directory) throw new StackError("usage", `cannot copy a directory onto ${shown}, which is a file`);
      if (asDirectory) throw new StackError("usage", `${shown} is no directory`);
      return { directory: dirname(found.path), name: basename(found.path) };
  }
}

/** Path and what is there, with a link at the end followed. */
async function followed(side: CopySide, path: string): Promise<{ readonly path: string; readonly stat: Exclude<FileStat, { readonly type: "symlink" }> }> {
  let at = path;
  for (let links = 0; links < 40; links += 1) {
    const stat = await side.stat(at);
    if (stat.type !== "symlink") return { path: at, stat };
    at = withoutSlash(stat.target.startsWith("/") ? normalize(stat.target) : join(dirname(at), stat.target));
  }
  throw new StackError("usage", `${side.label}${path}: too many levels of symbolic links`);
}

function withoutSlash(path: string): string {
  return path.length > 1 ? path.replace(/\/+$/, "") : path;
}
