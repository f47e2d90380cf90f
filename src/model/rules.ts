/**
 * Rules per attribute are tables keyed by path: `services.*.ports.[]`. `*` is any key of a map, `[]` any
 * item of a list. A table is compiled into a trie, so that one walk over a tree meets every rule once.
 */
export interface RuleNode<T> {
  readonly rule?: T;
  readonly keys: ReadonlyMap<string, RuleNode<T>>;
  readonly any?: RuleNode<T>;
}

interface Building<T> {
  rule?: T;
  keys: Map<string, Building<T>>;
  any?: Building<T>;
}

export function compileRules<T>(table: Readonly<Record<string, T>>): RuleNode<T> {
  const root: Building<T> = { keys: new Map() };
  for (const [pattern, rule] of Object.entries(table)) {
    let node = root;
    for (const part of pattern.split(".")) {
      if (part === "*" || part === "[]") node = node.any ??= { keys: new Map() };
      else {
        let next = node.keys.get(part);
        if (next === undefined) node.keys.set(part, (next = { keys: new Map() }));
        node = next;
      }
    }
    node.rule = rule;
  }
  return root;
}

/** The rules below `key`; `undefined` when none is, so that a walk can stop early. */
export function below<T>(rules: RuleNode<T> | undefined, key: string): RuleNode<T> | undefined {
  return rules === undefined ? undefined : (rules.keys.get(key) ?? rules.any);
}
