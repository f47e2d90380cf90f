import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { paths, replaceFile } from "../core/index.ts";
import type { DataRoot, HostPath, ProjectName } from "../core/index.ts";
import type { Project } from "../model/index.ts";
import type { ContainerSummary } from "./types.ts";

/** Service → how many of its containers there are to be. */
export type Replicas = Readonly<Record<string, number>>;

/** `projects/NAME/wanted.json` */
interface WantedRecord {
  readonly version: number;
  readonly replicas: Replicas;
}

const version = 1;

/**
 * What there was when the last command on the project had done its work: that is what healing brings back. Services
 * that a command has stopped, and containers that were only created, are not part of it.
 *
 * While a command changes the project there is no record: an agent that takes over in the midst of `rm` must not
 * bring back what was being removed.
 */
export class Wanted {
  readonly #path: HostPath;
  #replicas: Replicas = {};
  /** What the file holds, as far as this process knows. */
  #written = "";

  constructor(root: DataRoot, project: ProjectName) {
    this.#path = join(paths.project(root, project), "wanted.json") as HostPath;
  }

  get replicas(): Replicas {
    return this.#replicas;
  }

  read(project: Project | undefined, containers: readonly ContainerSummary[]): void {
    try {
      const record = JSON.parse(readFileSync(this.#path, "utf8")) as WantedRecord;
      this.#replicas = record.version === version && project !== undefined ? record.replicas : replicasIn(project, containers);
    } catch {
      this.#replicas = replicasIn(project, containers); // none, or half a record of a full disk: what is there is what there is to be
    }
  }

  /** A command begins to change the project. */
  forget(): void {
    this.#replicas = {};
    this.#written = "";
    rmSync(this.#path, { force: true });
  }

  /** A command has done its work. */
  set(project: Project | undefined, containers: readonly ContainerSummary[]): void {
    this.#replicas = replicasIn(project, containers);
    if (Object.keys(this.#replicas).length === 0) return;
    const record: WantedRecord = { version, replicas: this.#replicas };
    const text = JSON.stringify(record);
    if (text === this.#written) return; // a command that had nothing to do
    try {
      replaceFile(this.#path, text, { directory: "needed" });
      this.#written = text;
    } catch {
      this.#written = ""; // an agent that takes over goes by what it finds
    }
  }
}

function replicasIn(project: Project | undefined, containers: readonly ContainerSummary[]): Replicas {
  if (project === undefined) return {};
  const numbers = new Map<string, Set<number>>();
  const started = new Set<string>();
  for (const { service, number, oneoff, status, state } of containers) {
    if (oneoff || number < 1 || project.services[service] === undefined) continue;
    numbers.set(service, (numbers.get(service) ?? new Set()).add(number));
    if (status !== "created" && state?.stopRequested !== true) started.add(service);
  }
  return Object.fromEntries([...numbers].filter(([service]) => started.has(service)).map(([service, set]) => [service, set.size]));
}
