import type { Scalar } from "./tree.ts";

/**
 * What a plain (unquoted) scalar means. YAML 1.2's core schema with the parts of 1.1 that Compose files
 * in the field rely on: `0777` and `0b1` are numbers, digits may be grouped by `_`, `yes` and `on` are words.
 * `12:30` is a word too (YAML 1.1 would read a number to base 60 there).
 */
export interface PlainValue {
  readonly value: Scalar;
  /** Set for whole numbers that a JavaScript number cannot hold. */
  readonly text?: string;
}

const WORDS: ReadonlyMap<string, Scalar> = new Map<string, Scalar>([
  ["", null],
  ["~", null],
  ["null", null],
  ["Null", null],
  ["NULL", null],
  ["true", true],
  ["True", true],
  ["TRUE", true],
  ["false", false],
  ["False", false],
  ["FALSE", false],
  [".nan", Number.NaN],
  [".NaN", Number.NaN],
  [".NAN", Number.NaN],
  [".inf", Number.POSITIVE_INFINITY],
  [".Inf", Number.POSITIVE_INFINITY],
  [".INF", Number.POSITIVE_INFINITY],
  ["+.inf", Number.POSITIVE_INFINITY],
  ["+.Inf", Number.POSITIVE_INFINITY],
  ["+.INF", Number.POSITIVE_INFINITY],
  ["-.inf", Number.NEGATIVE_INFINITY],
  ["-.Inf", Number.NEGATIVE_INFINITY],
  ["-.INF", Number.NEGATIVE_INFINITY],
]);

const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
const INTEGER = /^([-+]?)(?:(0b[01]+|0x[0-9a-fA-F]+|0o[0-7]+)|([0-9]+))$/;

/** A whole number as Go's `int` holds it; larger ones are floats. */
const MAX = 2n ** 64n - 1n;
const MIN = -(2n ** 63n);

export function resolvePlain(source: string): PlainValue {
  const word = WORDS.get(source);
  if (word !== undefined) return { value: word };
  const first = source.charCodeAt(0);
  const numeric = (first >= 48 && first <= 57) || first === 43 || first === 45 || first === 46;
  if (!numeric) return { value: source };
  const digits = source.replaceAll("_", "");
  const integer = INTEGER.exec(digits);
  if (integer !== null) {
    const [, sign = "", prefixed, decimal = ""] = integer;
    const octal = prefixed === undefined && decimal.length > 1 && decimal.startsWith("0") && /^[0-7]+$/.test(decimal);
    if (prefixed !== undefined || octal || !(decimal.length > 1 && decimal.startsWith("0"))) {
      const size = BigInt(prefixed ?? (octal ? `0o${decimal}` : decimal));
      const whole = sign === "-" ? -size : size;
      if (whole >= MIN && whole <= MAX) {
        const value = Number(whole);
        return Number.isSafeInteger(value) ? { value } : { value, text: whole.toString() };
      }
    }
  }
  if (FLOAT.test(digits)) return { value: Number(digits) };
  return { value: source };
}
