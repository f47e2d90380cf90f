/**
 * The flags of a command as data: parsing, help, completion and the type of what `run` gets come from one table.
 * A key `noBuild` is the flag `--no-build`.
 */
export interface Flag<T> {
  readonly kind: "boolean" | "text" | "integer" | "list";
  readonly initial: T;
  readonly description: string;
  readonly short?: string;
  /** Long name where the key's kebab form is not it. */
  readonly long?: string;
  /** Other long names, not shown. */
  readonly aliases?: readonly string[];
  /** How the value is called in the help. */
  readonly value?: string;
  readonly choices?: readonly string[];
  readonly hidden?: boolean;
}

export type Flags = Readonly<Record<string, Flag<unknown>>>;
export type FlagValues<F extends Flags> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

type More = Partial<Pick<Flag<unknown>, "short" | "long" | "aliases" | "value" | "choices" | "hidden">>;

export const boolean = (description: string, more: More & { readonly initial?: boolean } = {}): Flag<boolean> => ({ kind: "boolean", initial: false, description, ...more });
export const text = (description: string, more: More = {}): Flag<string | undefined> => ({ kind: "text", initial: undefined, description, value: "string", ...more });
export const integer = (description: string, more: More = {}): Flag<number | undefined> => ({ kind: "integer", initial: undefined, description, value: "int", ...more });
export const list = (description: string, more: More = {}): Flag<readonly string[]> => ({ kind: "list", initial: [], description, value: "stringArray", ...more });

export function longName(key: string, flag: Flag<unknown>): string {
  return flag.long ?? key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
}
