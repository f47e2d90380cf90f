/** One thing that is wrong, or might be, in a stack file. Values, never thrown one by one. */
export interface Diagnostic {
  readonly severity: "error" | "warning";
  /** Stable, kebab-case: `unknown-key`, `undefined-volume`, … */
  readonly rule: string;
  /** What is wrong, with the name of the thing. */
  readonly message: string;
  /** Where; absent only for what has no place (an unset variable of the environment, for example). */
  readonly place?: Place;
  /** Other places that belong to it: the anchor, the base of an `extends`, the file that was overridden. */
  readonly related: readonly (Place & { readonly note: string })[];
  /** What to do: "did you mean `healthcheck`?" */
  readonly hint?: string;
}

export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
  /** How many characters to mark. */
  readonly length: number;
  /** The line quoted. */
  readonly text: string;
}
