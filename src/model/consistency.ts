import { ServiceCheck } from "./service-check.ts";
import type { ConsistencyInput } from "./service-check.ts";
import { child, childMap, stringOf } from "./tree.ts";
import type { Node } from "./tree.ts";

/** What parts of the file say about each other. Everything wrong is reported, not the first. */
export function checkConsistency(input: ConsistencyInput): void {
  const services = childMap(input.root, "services");
  for (const name of input.active) {
    const node = services?.entries.get(name);
    if (node?.kind === "map") new ServiceCheck(name, node, input).run();
  }
  checkCycles(input);
  checkContainerNames(input);
}

function checkCycles({ root, active, report }: ConsistencyInput): void {
  const services = childMap(root, "services");
  const state = new Map<string, "open" | "done">();
  const reported = new Set<string>();
  const dependencies = (name: string): Iterator<[string, Node]> =>
    (childMap(services?.entries.get(name), "depends_on")?.entries ?? new Map<string, Node>())[Symbol.iterator]();
  // The chain is kept by hand: one of thousands of services would be too deep for the stack of calls.
  const chain: { readonly name: string; readonly rest: Iterator<[string, Node]> }[] = [];
  const visit = (first: string): void => {
    state.set(first, "open");
    chain.push({ name: first, rest: dependencies(first) });
    for (let last = chain.at(-1); last !== undefined; last = chain.at(-1)) {
      const next = last.rest.next();
      if (next.done === true) {
        state.set(last.name, "done");
        chain.pop();
        continue;
      }
      const [dependency, node] = next.value;
      if (!active.has(dependency)) continue;
      if (state.get(dependency) === "open") tell(dependency, node);
      else if (!state.has(dependency)) {
        state.set(dependency, "open");
        chain.push({ name: dependency, rest: dependencies(dependency) });
      }
    }
  };
  const tell = (dependency: string, node: Node): void => {
    const names = chain.map((c) => c.name);
    const loop = [...names.slice(names.indexOf(dependency)), dependency];
    const key = [...loop].sort().join("\0");
    if (!reported.has(key))
      report.error(node, {
        rule: "dependency-cycle",
        message: `Dependency cycle: ${shortened(loop).join(" -> ")}`,
        hint: "One of these services has to start without the other.",
        atKey: true,
      });
    reported.add(key);
  };
  for (const name of [...active].sort()) if (!state.has(name)) visit(name);
}

/** A long chain's beginning and end. */
function shortened(loop: readonly string[]): readonly string[] {
  return loop.length <= 20 ? loop : [...loop.slice(0, 10), `… ${loop.length - 19} more …`, ...loop.slice(-9)];
}

function checkContainerNames({ root, active, report }: ConsistencyInput): void {
  const services = childMap(root, "services");
  const taken = new Map<string, string>();
  for (const name of [...active].sort()) {
    const node = child(services?.entries.get(name), "container_name");
    const text = stringOf(node);
    if (node === undefined || text === undefined || text === "") continue;
    const other = taken.get(text);
    if (other === undefined) taken.set(text, name);
    else
      report.error(node, {
        rule: "conflict",
        message: `Services "${other}" and "${name}" both want the container name ${text}`,
        hint: "Container names are unique on a machine.",
      });
  }
}
