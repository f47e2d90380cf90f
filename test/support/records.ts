import { readFileSync, readdirSync, watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { join } from "node:path";
import type { ContainerRecord, ContainerState } from "../../src/runtime/formats.ts";

/** One container as its files tell it. */
export interface Recorded {
  readonly id: string;
  readonly directory: string;
  readonly record: ContainerRecord;
  /** Absent: it never started. */
  readonly state?: ContainerState;
}

function parsed(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined; // not there yet, or gone again
  }
}

/** All containers of a data root, by name. */
export function recorded(root: string): readonly Recorded[] {
  const containers = join(root, "containers");
  return readdirSync(containers)
    .flatMap((id): Recorded[] => {
      const directory = join(containers, id);
      const record = parsed(join(directory, "container.json")) as ContainerRecord | undefined;
      const state = parsed(join(directory, "state.json")) as ContainerState | undefined;
      return record === undefined ? [] : [{ id, directory, record, ...(state === undefined ? {} : { state }) }];
    })
    .sort((a, b) => a.record.name.localeCompare(b.record.name));
}

/** Waits until what the files say satisfies `holds`; woken by the kernel at each change, not by a timer. */
export function untilRecorded<T>(root: string, what: string, holds: (containers: readonly Recorded[]) => T | undefined | false, timeoutMs = 20_000): Promise<T> {
  return new Promise((resolve, reject) => {
    const containers = join(root, "containers");
    const watchers = new Map<string, FSWatcher>();
    const finish = (end: () => void) => {
      clearTimeout(timer);
      for (const watcher of watchers.values()) watcher.close();
      end();
    };
    const look = (directory: string) => {
      if (watchers.has(directory)) return;
      try {
        const watcher = watch(directory, check);
        watcher.on("error", () => undefined);
        watchers.set(directory, watcher);
      } catch {
        return; // it was removed meanwhile, which the directory above tells
      }
    };
    const check = () => {
      for (const id of readdirSync(containers)) look(join(containers, id));
      const value = holds(recorded(root));
      if (value !== undefined && value !== false) finish(() => resolve(value));
    };
    const timer = setTimeout(() => {
      const now = recorded(root).map((c) => `${c.record.name}: ${JSON.stringify(c.state)}`);
      finish(() => reject(new Error(`not within ${timeoutMs} ms: ${what}\n${now.join("\n")}`)));
    }, timeoutMs);
    look(containers);
    check();
  });
}
