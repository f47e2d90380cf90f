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

const addon: NativeBinding = loadAddon(process.argv[2] ?? "", (file) => createRequire(import.meta.url)(file) as unknown);

/** Killed before its n-th change of the kernel: a crash at a known place. */
let left = Number(process.argv[3] ?? Infinity);
function change(): void {
  if (left <= 0) process.kill(process.pid, "SIGKILL");
  left -= 1;
}
const native: NativeBinding = {
  ...addon,
  netlink: (netns, requests) => {
    if (requests.some((r) => !/list|read/.test(r.op))) change();
    return addon.netlink(netns, requests);
  },
  createNetns: (path) => {
    change();
    return addon.createNetns(path);
  },
  removeNetns: (path) => {
    change();
    return addon.removeNetns(path);
  },
};
const opened = new Map<string, Networks>();
const signal = new AbortController().signal;

function networks(root: string): Networks {
  const known = opened.get(root) ?? openNetworks({ root: root as never }, native);
  opened.set(root, known);
  return known;
}

type Method = (...given: readonly unknown[]) => Promise<unknown>;

function method(owner: object, name: string): Method {
  const found = (owner as Readonly<Record<string, Method | undefined>>)[name];
  if (found === undefined) throw new Error(`no such method: ${name}`);
  return (...given) => Promise.resolve(Reflect.apply(found, owner, given));
}

async function call({ root, method: name, args }: Call): Promise<unknown> {
  if (name === "netlink" || name === "createNetns" || name === "removeNetns") return method(native, name)(...args);
  if (name === "mendedByWatching")
    return new Promise((resolve, reject) => {
      const ending = new AbortController();
      networks(root).watch(ending.signal, (mended, error) => {
        if (mended.length === 0 && error === undefined) return;
        ending.abort();
        if (error === undefined) resolve(mended);
        else reject(error instanceof Error ? error : new Error("not mended", { cause: error }));
      });
      process.send?.({ id: -1, value: null });
    });
  const given = name === "create" ? [...args, signal] : name === "repair" ? [signal] : name === "sweep" ? [new Set(args[0] as readonly string[])] : args;
  return method(networks(root), name)(...given);
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
