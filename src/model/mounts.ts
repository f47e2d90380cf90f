import { posix } from "node:path";

/** A volume's short form `[SOURCE:]TARGET[:OPTIONS]`, taken apart. */
export interface ShortMount {
  readonly type: "bind" | "volume";
  readonly source?: string;
  readonly target: string;
  readonly readOnly: boolean;
  readonly nocopy: boolean;
  readonly propagation?: string;
  readonly selinux?: "z" | "Z";
  /** Options that mean nothing to Compose, which drops them without a word. */
  readonly unknown: readonly string[];
}

export type MountResult = { readonly mount: ShortMount } | { readonly problem: string };

const PROPAGATION = new Set(["rprivate", "private", "rshared", "shared", "rslave", "slave"]);

/** Colons inside `${...}` do not separate (`--no-interpolate`); neither does that of a Windows drive. */
export function parseMount(text: string): MountResult {
  if (text === "") return { problem: "it is empty" };
  if (text.length <= 2) return { mount: { type: "volume", target: text, readOnly: false, nocopy: false, unknown: [] } };
  const fields = splitFields(text);
  if (fields.some((f) => f === "")) return { problem: "an empty section between colons" };
  if (fields.length > 3) return { problem: "too many colons" };
  const [first = "", second, third] = fields;
  const source = second === undefined ? undefined : first;
  const target = second ?? first;
  const options = third?.split(",") ?? [];
  const unknown: string[] = [];
  let readOnly = false;
  let nocopy = false;
  let propagation: string | undefined;
  let selinux: "z" | "Z" | undefined;
  for (const option of options) {
    if (option === "ro") readOnly = true;
    else if (option === "rw") readOnly = false;
    else if (option === "nocopy") nocopy = true;
    else if (PROPAGATION.has(option)) propagation = option;
    else if (option === "z" || option === "Z") selinux = option;
    else unknown.push(option);
  }
  return {
    mount: {
      type: source !== undefined && isHostPath(source) ? "bind" : "volume",
      ...(source === undefined ? {} : { source }),
      target: cleanTarget(target),
      readOnly,
      nocopy,
      ...(propagation === undefined ? {} : { propagation }),
      ...(selinux === undefined ? {} : { selinux }),
      unknown,
    },
  };
}

/** What begins like a path is one; anything else names a volume. */
export function isHostPath(source: string): boolean {
  const first = source.charAt(0);
  return first === "." || first === "/" || first === "~" || source.startsWith("\\\\") || (source.includes(":") && isLetter(source.slice(0, source.indexOf(":"))));
}

/** A drive of Windows. ASCII is answered without the tables that `\p{L}` brings along. */
function isLetter(text: string): boolean {
  if (text.length === 0 || text.length > 2) return false;
  const code = text.charCodeAt(0) | 0x20;
  return text.length === 1 && text < "\x80" ? code >= 97 && code <= 122 : /^\p{L}$/u.test(text);
}

/** Go's `path.Clean`: no `.`, no `..` that can be resolved, no slash at the end. */
export function cleanTarget(target: string): string {
  if (target === "") return "";
  const clean = posix.normalize(target);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

function splitFields(text: string): string[] {
  const fields: string[] = [];
  let field = "";
  let braces = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i);
    if (c === "$" && text[i + 1] === "{") braces += 1;
    else if (c === "}" && braces > 0) braces -= 1;
    else if (c === ":" && braces === 0 && !isLetter(field)) {
      fields.push(field);
      field = "";
      continue;
    }
    field += c;
  }
  fields.push(field);
  return fields;
}
