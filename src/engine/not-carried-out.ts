import { StackError } from "../core/index.ts";
import type { Service } from "../model/index.ts";

/** Refuses, before anything is made, what a service asks for and no part of the engine can do. */
export function refuseImpossible(service: Service): void {
  const table: readonly (readonly [key: string, given: boolean, hint: string])[] = [
    ["models", Object.keys(service.models).length > 0, "Nothing here runs models. Run a model server as a service, and give its address in `environment`."],
  ];
  const found = table.find(([, given]) => given);
  if (found !== undefined) throw new StackError("unsupported", `Service "${service.name}": \`${found[0]}\` is not supported`, { hint: found[2] });
}
