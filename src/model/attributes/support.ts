/** What becomes of one attribute of a stack file. */
export type Support =
  /** A test sees its effect. */
  | { readonly state: "honoured" }
  /** Its effect is seen, but for what is missing. `when`: this value needs what is missing; `at-start`: the machine decides, or the command that needs it, which then says so itself. */
  | { readonly state: "partly"; readonly why: string; readonly hint?: string; readonly when: Condition | "at-start" }
  /** Starting fails where it is written (with `when`: with such a value). */
  | { readonly state: "refused"; readonly why: string; readonly hint?: string; readonly when?: Condition | "at-start" }
  /** Accepted, not carried out, and said so. */
  | { readonly state: "not-carried-out"; readonly why: string; readonly hint?: string; readonly when?: Condition | "at-start" }
  /** There is nothing to carry out: it says something to people or to the loader alone. */
  | { readonly state: "information"; readonly why: string };

/** Of the canonical value, as data: the build makes a table of them (`unsupported.generate.mjs`). */
export type Condition = { readonly oneOf: readonly string[] } | { readonly noneOf: readonly string[] };

/** Path → what becomes of it: `services.*.ports.[].target`. */
export type Rows = Readonly<Record<string, Support>>;

export const honoured: Support = { state: "honoured" };

export function partly(why: string, when: Condition | "at-start", hint?: string): Support {
  return { state: "partly", why, when, ...(hint === undefined ? {} : { hint }) };
}

export function refused(why: string, hint?: string, when?: Condition | "at-start"): Support {
  return { state: "refused", why, ...(hint === undefined ? {} : { hint }), ...(when === undefined ? {} : { when }) };
}

export function notCarriedOut(why: string, hint?: string, when?: Condition | "at-start"): Support {
  return { state: "not-carried-out", why, ...(hint === undefined ? {} : { hint }), ...(when === undefined ? {} : { when }) };
}

export function information(why: string): Support {
  return { state: "information", why };
}

/** The same for several attributes below one: `each("services.*.ports.[]", ["target", "protocol"], honoured)`. */
export function each(above: string, names: readonly string[], support: Support): Rows {
  return Object.fromEntries(names.map((name) => [`${above}.${name}`, support]));
}

/** Rows below one attribute. */
export function below(above: string, rows: Rows): Rows {
  return Object.fromEntries(Object.entries(rows).map(([name, support]) => [name === "" ? above : `${above}.${name}`, support]));
}

export function isOneOf(...values: readonly string[]): Condition {
  return { oneOf: values };
}

export function isNoneOf(...values: readonly string[]): Condition {
  return { noneOf: values };
}
