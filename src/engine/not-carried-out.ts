import { StackError } from "../core/index.ts";
import type { Service } from "../model/index.ts";

/** Keys of ours that a service has and that this version accepts without acting on them. Compose's are the model's matter. */
export function notCarriedOut(service: Service): readonly string[] {
  const table: readonly (readonly [key: string, given: boolean])[] = [
    ["processes", Object.keys(service.processes).length > 0],
    ["expect", service.expect.length > 0],
    ["on_orphan_exit", service.on_orphan_exit !== undefined],
  ];
  return table.flatMap(([key, given]) => (given ? [key] : []));
}

/** Refuses, before anything is made, what a service asks for and no part of the engine can do. */
export function refuseImpossible(service: Service): void {
  const table: readonly (readonly [key: string, given: boolean, hint: string])[] = [
    ["models", Object.keys(service.models).length > 0, "Nothing here runs models. Run a model server as a service, and give its address in `environment`."],
  ];
  const found = table.find(([, given]) => given);
  if (found !== undefined) throw new StackError("unsupported", `Service "${service.name}": \`${found[0]}\` is not supported`, { hint: found[2] });
}
