import { resolvePlain } from "./scalar.ts";
import type { Scalar } from "./tree.ts";

const CORE = "tag:yaml.org,2002:";

interface Tagged {
  readonly value: Scalar;
  /** The digits of a whole number that a JavaScript number cannot hold. */
  readonly text?: string;
  readonly problem?: { readonly message: string; readonly hint: string };
}

/** What a text is to be read as, whatever it looks like (YAML 1.2.2, 10.3; `!!binary` and `!!timestamp` of YAML 1.1). */
const READ: Readonly<Record<string, (text: string) => Scalar | undefined>> = {
  str: (text) => text,
  // Dates are texts here, tagged or not.
  timestamp: (text) => text,
  null: (text) => (resolvePlain(text).value === null ? null : undefined),
  bool: (text) => booleanOf(resolvePlain(text).value),
  int: (text) => numberOf(resolvePlain(text).value, Number.isInteger),
  float: (text) => numberOf(resolvePlain(text).value, () => true),
  binary: decoded,
};

/** A scalar with an explicit tag. Undefined: not one of YAML's own. */
export function readTagged(tag: string, text: string): Tagged | undefined {
  const name = tag.startsWith(CORE) ? tag.slice(CORE.length) : "";
  const read = Object.hasOwn(READ, name) ? READ[name] : undefined;
  if (read === undefined) return undefined;
  const value = read(text);
  if (typeof value === "number") return { ...resolvePlain(text), value };
  if (value !== undefined) return { value };
  const hint = name === "binary" ? "It has to be base64 of a text in UTF-8." : "Remove the tag, or write such a value.";
  return { value: text, problem: { message: `What follows cannot be read as !!${name}`, hint } };
}

function booleanOf(value: Scalar): boolean | undefined {
  return typeof value === "boolean" ? value : undefined;
}

function numberOf(value: Scalar, allowed: (value: number) => boolean): number | undefined {
  return typeof value === "number" && allowed(value) ? value : undefined;
}

function decoded(text: string): string | undefined {
  const base64 = text.replace(/\s/g, "");
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(base64, "base64"));
  } catch {
    return undefined;
  }
}
