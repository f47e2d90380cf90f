/**
 * The order of keys in what `docker compose config` prints: Go's YAML encoder sorts the keys of maps as people do
 * (`w9` before `w10`, signs before letters), Go's JSON encoder by bytes. Both are kept as `Map`s on the way to the
 * writers, since a JavaScript object moves keys that look like numbers to its front.
 */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  let i = 0;
  while (i < length && a.charCodeAt(i) === b.charCodeAt(i)) i += 1;
  if (i === length) return a.length - b.length;
  const p = a.charAt(i);
  const q = b.charAt(i);
  const letterA = isLetter(p);
  const letterB = isLetter(q);
  if (letterA && letterB) return byCode(a, b, i);
  if (letterA || letterB) return (i > 0 && isDigit(a.charAt(i - 1)) ? letterA : letterB) ? -1 : 1;
  return compareNumbers(a, b, i);
}

/** From `i` on two texts differ, and neither goes on with a letter there. */
function compareNumbers(a: string, b: string, i: number): number {
  // A zero after other digits belongs to their number: it does not lead.
  const inside = (a[i] === "0" || b[i] === "0") && /[1-9]\p{Nd}*$/u.test(a.slice(0, i));
  const x = numberAt(a, i, inside);
  const y = numberAt(b, i, inside);
  if (x.value !== y.value) return x.value - y.value;
  return x.end === y.end ? byCode(a, b, i) : x.end - y.end;
}

function numberAt(text: string, from: number, inside: boolean): { readonly value: number; readonly end: number } {
  let value = inside ? 1 : 0;
  let end = from;
  for (; end < text.length && isDigit(text.charAt(end)); end++) value = value * 10 + text.charCodeAt(end) - 48;
  return { value, end };
}

function isDigit(c: string): boolean {
  return (c >= "0" && c <= "9") || (c > "\x7f" && /\p{Nd}/u.test(c));
}

function isLetter(c: string): boolean {
  return (c >= "a" && c <= "z") || (c >= "A" && c <= "Z") || (c > "\x7f" && /\p{L}/u.test(c));
}

/** By code point, which is the order of UTF-8's bytes; they differ at `i`. */
function byCode(a: string, b: string, i: number): number {
  // Surrogates stand for code points beyond those of U+E000 to U+FFFF.
  const moved = (c: number): number => (c >= 0xe000 ? c - 0x800 : c >= 0xd800 ? c + 0x2000 : c);
  return moved(a.charCodeAt(i)) - moved(b.charCodeAt(i));
}

function compareBytes(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a.charCodeAt(i) !== b.charCodeAt(i)) return byCode(a, b, i);
  return a.length - b.length;
}

export type Style = "yaml" | "json";

export function sortedMap(entries: Iterable<readonly [string, unknown]>, style: Style): ReadonlyMap<string, unknown> {
  const order = style === "yaml" ? compareKeys : compareBytes;
  return new Map([...entries].sort((a, b) => order(a[0], b[0])));
}

/** Plain data with the keys of all its maps in order. */
export function sortedDeep(value: unknown, style: Style): unknown {
  if (Array.isArray(value)) return value.map((item) => sortedDeep(item, style));
  if (typeof value !== "object" || value === null) return value;
  return sortedMap(
    Object.entries(value).map(([key, member]) => [key, sortedDeep(member, style)] as const),
    style,
  );
}
