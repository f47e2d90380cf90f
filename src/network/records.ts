import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { namesIn, paths, readIfThere, replaceFile, shortId, StackError } from "../core/index.ts";
import type { ContainerId, DataRoot } from "../core/index.ts";
import type { NetworkRecord } from "./types.ts";

/** `networks/ID.json`, one file each; replaced by rename, changed only under the networks lock. */
export class Records {
  readonly #root: DataRoot;

  constructor(root: DataRoot) {
    this.#root = root;
  }

  all(): readonly NetworkRecord[] {
    const ids = namesIn(paths.networks(this.#root)).flatMap((name) => /^([0-9a-f]{64})\.json$/.exec(name)?.[1] ?? []);
    return ids
      .map((id) => this.read(id))
      .filter((record) => record !== undefined)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  read(id: string): NetworkRecord | undefined {
    const text = /^[0-9a-f]{64}$/.test(id) ? readIfThere(this.#path(id)) : undefined;
    if (text === undefined) return undefined;
    let record: Partial<NetworkRecord>;
    try {
      record = JSON.parse(text) as Partial<NetworkRecord>;
    } catch (cause) {
      throw new StackError("internal", `The network's record ${this.#path(id)} is damaged`, { cause, hint: "Remove the file, then run `stack up`." });
    }
    if (record.version !== 1)
      throw new StackError("state-version", `The network's record ${this.#path(id)} is of version ${String(record.version)}`, { hint: "A newer version of stack made it; use that one." });
    return record as NetworkRecord;
  }

  write(record: NetworkRecord): void {
    replaceFile(this.#path(record.id), `${JSON.stringify(record)}\n`);
  }

  remove(id: string): void {
    rmSync(this.#path(id), { force: true });
  }

  /** For messages: the container's name if it has a record, else its short id. */
  containerName(id: ContainerId): string {
    try {
      const record = JSON.parse(readFileSync(join(paths.container(this.#root, id), "container.json"), "utf8")) as { readonly name?: unknown };
      return typeof record.name === "string" ? record.name : shortId(id);
    } catch {
      return shortId(id); // being made, or gone
    }
  }

  #path(id: string): string {
    return join(paths.networks(this.#root), `${id}.json`);
  }
}
