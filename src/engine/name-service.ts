import type { DataRoot, ProjectName } from "../core/index.ts";
import type { Dns } from "../network/index.ts";
import type { ContainerRecord, MonitorClient } from "../runtime/index.ts";
import { dnsView, ForeignContainers } from "./names.ts";
import type { NamedContainer } from "./names.ts";
import type { Rooms } from "./rooms.ts";

export interface NameServiceOptions {
  readonly root: DataRoot;
  readonly project: ProjectName;
  readonly rooms: Rooms;
  /** The project's own containers, as they are now. */
  readonly containers: () => readonly NamedContainer[];
  readonly signal: AbortSignal;
}

/** Answers the names that the project's containers ask for; the server is started with the first of them. */
export class NameService {
  readonly #options: NameServiceOptions;
  readonly #foreign: ForeignContainers;
  #dns: Dns | undefined;
  readonly #internal = new Map<string, boolean>();

  constructor(options: NameServiceOptions) {
    this.#options = options;
    const { root, project, rooms, containers } = options;
    this.#foreign = new ForeignContainers(root, project, rooms.containers, (network) =>
      containers().some((container) => container.record.networks.some((attachment) => attachment.network === network)),
    );
  }

  /** Containers or networks came or went: names of other projects may have to be looked up again. */
  refresh(): Promise<void> {
    return this.#foreign.refresh();
  }

  /** The container has a network namespace: from now on its questions are answered. */
  async serve(record: ContainerRecord, monitor: MonitorClient): Promise<void> {
    if (record.networks.length === 0) return;
    try {
      const sockets = await monitor.dnsSockets();
      if (sockets === undefined) return;
      this.#dns ??= await this.#options.rooms.networks.dns(this.#options.signal);
      await this.#learnNetworks(record);
      this.#dns.attach(record.id, sockets.udp, sockets.tcp, () =>
        dnsView(record, [...this.#options.containers(), ...this.#foreign.all], (id) => this.#internal.get(id) === true, record.dns ?? []),
      );
      void this.#foreign.refresh();
    } catch {
      // The container ended while we asked; its next start asks again.
    }
  }

  forget(record: ContainerRecord): void {
    this.#dns?.detach(record.id);
  }

  async close(): Promise<void> {
    this.#foreign.close();
    await this.#dns?.[Symbol.asyncDispose]();
  }

  /** Whether a network is internal never changes. */
  async #learnNetworks(record: ContainerRecord): Promise<void> {
    if (record.networks.every((attachment) => this.#internal.has(attachment.network))) return;
    for (const network of await this.#options.rooms.networks.list()) this.#internal.set(network.id, network.internal);
  }
}
