import type { ProjectFiles } from "./project-files.ts";

/** A program that was recognised, and how it runs while somebody works on it. */
export interface App {
  readonly language: string;
  /** What gave it away: files and frameworks, for the comment and the user. */
  readonly because: string;
  readonly image: string;
  /** A line for `sh -c`. */
  readonly command: string;
  /** Where it listens; absent: nobody can know. */
  readonly port?: number;
  readonly environment: Readonly<Record<string, string>>;
  /** What should outlive the container: name → directory in it. */
  readonly volumes: Readonly<Record<string, string>>;
  /** Something that has to run first, in an image of its own. */
  readonly before?: { readonly name: string; readonly image: string; readonly command: readonly string[]; readonly why: string };
  /** Names of libraries, in lower case. */
  readonly libraries: ReadonlySet<string>;
  /** How it is told where its database is. */
  readonly database: "url" | "spring" | "laravel";
}

/** One language: from the files of a directory to the app in it, or nothing. */
export interface Language {
  readonly name: string;
  /** Any of these files makes it worth a look. */
  readonly marks: readonly string[];
  readonly detect: (directory: Directory) => Promise<App | undefined>;
}

/** A directory with the names in it at hand. */
export interface Directory {
  readonly names: ReadonlySet<string>;
  /** The text of a file of it, `""` where there is none. */
  readonly text: (name: string) => Promise<string>;
  readonly list: (name: string) => Promise<readonly string[]>;
}

export async function openDirectory(files: ProjectFiles, path: string): Promise<Directory> {
  const at = (name: string): string => (path === "" ? name : `${path}/${name}`);
  return {
    names: new Set(await files.list(path)),
    text: async (name) => (await files.read(at(name))) ?? "",
    list: (name) => files.list(at(name)),
  };
}

/** The first of these files that is there. */
export function firstOf(directory: Directory, names: readonly string[]): string | undefined {
  return names.find((n) => directory.names.has(n));
}

/**
 * The version that a constraint asks for: `18`, `^18.2`, `18.x` and `~18` are 18; `>=18` is satisfied by our
 * default where that is higher. `parts`: how many numbers the image's tag has.
 */
export function versionFor(constraint: string, fallback: string, parts: number): string {
  const match = /(>=?|\^|~|=|v)?\s*v?(\d+(?:\.\d+){0,2})/.exec(constraint);
  const [, operator = "", written = ""] = match ?? [];
  if (written === "") return fallback;
  const numbers = written.split(".");
  if (numbers.length < parts && operator.startsWith(">")) return higher(written, fallback);
  const short = numbers.slice(0, parts).join(".");
  return operator.startsWith(">") ? higher(short, fallback) : short;
}

function higher(a: string, b: string): string {
  const [left, right] = [a.split(".").map(Number), b.split(".").map(Number)];
  for (let i = 0; i < Math.max(left.length, right.length); i += 1) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference > 0 ? a : b;
  }
  return b;
}

/** A member of something that was JSON once; `undefined` for whatever is not as expected. */
export function member(value: unknown, ...keys: readonly string[]): unknown {
  let at = value;
  for (const key of keys) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[key];
  }
  return at;
}

export function textMember(value: unknown, ...keys: readonly string[]): string {
  const found = member(value, ...keys);
  return typeof found === "string" ? found : "";
}

export function keysOf(value: unknown): readonly string[] {
  return typeof value === "object" && value !== null ? Object.keys(value) : [];
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
