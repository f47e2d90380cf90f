import { StackError } from "../core/index.ts";
import { isSet } from "./globals.ts";

/** What `--remove-orphans` and Compose's variables say of containers whose services are no longer in the file. */
export function orphanOptions(env: Readonly<Record<string, string | undefined>>, asked: boolean): { readonly removeOrphans: boolean; readonly ignoreOrphans: boolean } {
  const ignoreOrphans = isSet(env["COMPOSE_IGNORE_ORPHANS"]);
  const removeOrphans = asked || isSet(env["COMPOSE_REMOVE_ORPHANS"]);
  if (ignoreOrphans && removeOrphans)
    throw new StackError("usage", "cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans", {
      hint: "Leave out the flag (or COMPOSE_REMOVE_ORPHANS), or unset COMPOSE_IGNORE_ORPHANS.",
    });
  return { removeOrphans, ignoreOrphans };
}
