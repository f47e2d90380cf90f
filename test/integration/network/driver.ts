// Lives inside the network namespace of a test machine, and calls the network room there. Ends with its parent.
import { loadAddon } from "../../../src/native/load.ts";
import { openNetworks } from "../../../src/network/index.ts";
import type { NativeBinding } from "../../../src/native/index.ts";
import type { Networks } from "../../../src/network/index.ts";
import { StackError } from "../../../src/core/index.ts";
import { createRequire } from "node:module";

interface Call {
  readonly id: number;
  readonly root: string;
  readonly method: string;
  readonly args: readonly unknown[];
}

const native: NativeBinding = loadAddon(process.argv[2] ?? "", (file) => createRequire(import.meta.url)(file) as unknown);
const opened = new Map<string, Networks>();
const signal = new AbortController().signal;

function networks(root: string): Networks {
  const known = opened.get(root) ?? openNetworks({ root: root as never }, native);
  opened.set(root, known);
  return known;
}

async function call({ root, method, args }: Call): Promise<unknown> {
  if (method === "netlink" || method === "createNetns" || method === "removeNetns") {
    const run = native[method] as (...given: readonly unknown[]) => Promise<unknown>;
    return run(...args);
  }
  const room = networks(root);
  const given = method === "create" ? [...args, signal] : method === "repair" ? [signal] : method === "sweep" ? [new Set(args[0] as readonly string[])] : args;
  const run = room[method as "find"] as (...given: readonly unknown[]) => Promise<unknown>;
  return run.apply(room, given);
}

process.on("message", (message: Call) => {
  call(message).then(
    (value) => process.send?.({ id: message.id, value: value ?? null }),
    (error: unknown) => {
      const known = error instanceof StackError ? { code: error.code, hint: error.hint, details: error.details } : {};
      process.send?.({ id: message.id, error: error instanceof Error ? error.message : String(error), ...known });
    },
  );
});
process.send?.({ id: 0, value: null });
