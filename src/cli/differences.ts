import type { Operation, Plan } from "../reconcile/index.ts";

/** What `plan`, `diff` and `status` end with under `--exit-code` where something is to be done. 1 stays what an error ends with. */
export const changesStatus = 2;

/** One thing that is not as the file says, whatever number of operations it takes to make it so. */
export interface Difference {
  readonly kind: "container" | "network" | "volume" | "image";
  readonly name: string;
  /** `missing`: the file has it. `changed`: both have it, and they differ. `extra`: only the machine has it. */
  readonly state: "missing" | "changed" | "extra";
  /** What differs, a line each: `environment.DEBUG: "0" → "1"`. */
  readonly details: readonly string[];
}

const kinds: Partial<Readonly<Record<Operation["kind"], Difference["kind"]>>> = {
  "ensure-image": "image",
  "create-network": "network",
  "remove-network": "network",
  "create-volume": "volume",
  "remove-volume": "volume",
  "create-container": "container",
  "remove-container": "container",
  "stop-container": "container",
  "start-container": "container",
  "restore-limits": "container",
};

/** File against reality (`done`: names of containers that need not be started again), from the plan of `up`: what it would make is missing, what it would remove is extra, what it would make again has changed. */
export function differencesOf(plan: Plan, done: ReadonlySet<string> = new Set()): readonly Difference[] {
  const found = new Map<string, { kind: Difference["kind"]; name: string; made: boolean; removed: boolean; touched: boolean; details: Set<string> }>();
  for (const operation of plan.operations) {
    const kind = kinds[operation.kind];
    if (kind === undefined || (operation.kind === "start-container" && done.has(operation.name) && operation.after.length === 0)) continue;
    const name = operation.kind === "ensure-image" || operation.kind === "remove-image" ? operation.reference : "name" in operation ? operation.name : operation.service;
    const key = `${kind} ${name}`;
    const entry = found.get(key) ?? { kind, name, made: false, removed: false, touched: false, details: new Set() };
    if (operation.kind.startsWith("create-") || operation.kind === "ensure-image") entry.made = true;
    else if (operation.kind.startsWith("remove-")) entry.removed = true;
    else entry.touched = true;
    for (const line of operation.cause.split("; ")) entry.details.add(line);
    found.set(key, entry);
  }
  return [...found.values()].map(({ kind, name, made, removed, details }) => ({
    kind,
    name,
    state: made && !removed ? "missing" : removed && !made ? "extra" : "changed",
    details: [...details],
  }));
}

const signs: Readonly<Record<Difference["state"], string>> = { missing: "+", changed: "~", extra: "-" };

/**
 *     ~ container shop-web-1
 *         environment.DEBUG: "0" → "1"
 *     + volume shop_data
 *         no existing volume
 */
export function renderDifferences(differences: readonly Difference[]): string {
  return differences.map(({ kind, name, state, details }) => [`${signs[state]} ${kind} ${name}`, ...details.map((line) => `    ${line}`), ""].join("\n")).join("");
}
