import type { Query } from "./codec.ts";
import { HEADER } from "./codec.ts";
import type { HostResolvers } from "./resolv-conf.ts";
import { ask, defaults } from "./upstream.ts";
import type { UpstreamOptions } from "./upstream.ts";

/** Questions on their way at the same time, of all containers together and of one. */
const LIMIT = 1024;
const LIMIT_EACH = 256;

/**
 * Asks upstream for the containers. Equal questions share one: it saves traffic, and it ends the loop of a
 * container whose `dns:` is a server that asks us again.
 */
export class Forwarder {
  readonly #resolvers: HostResolvers;
  readonly #options: UpstreamOptions;
  readonly #signal: AbortSignal;
  readonly #pending = new Map<string, Promise<Buffer | undefined>>();
  readonly #waiting = new Map<string, number>();
  #total = 0;

  constructor(resolvers: HostResolvers, signal: AbortSignal, options: UpstreamOptions = defaults) {
    this.#resolvers = resolvers;
    this.#options = options;
    this.#signal = signal;
  }

  /** Undefined: nobody answered, or too many are waiting already. */
  async forward(container: string, asked: Buffer, query: Query, upstreams: readonly string[], whole: boolean): Promise<Buffer | undefined> {
    const own = this.#waiting.get(container) ?? 0;
    if (this.#total >= LIMIT || own >= LIMIT_EACH) return undefined;
    this.#total += 1;
    this.#waiting.set(container, own + 1);
    try {
      const servers = upstreams.length > 0 ? upstreams : await this.#resolvers.servers();
      // Everything but the id: flags, question and EDNS options make a different answer.
      const body = asked.subarray(2);
      const key = `${whole ? "t" : "u"} ${servers.join(",")} ${body.toString("latin1", 0, HEADER - 2)}${body.toString("latin1", HEADER - 2).toLowerCase()}`;
      let pending = this.#pending.get(key);
      if (pending === undefined) {
        pending = ask(servers, asked, query.question, whole, this.#options, this.#signal).finally(() => this.#pending.delete(key));
        this.#pending.set(key, pending);
      }
      return await pending;
    } finally {
      this.#total -= 1;
      const left = (this.#waiting.get(container) ?? 1) - 1;
      if (left > 0) this.#waiting.set(container, left);
      else this.#waiting.delete(container);
    }
  }
}
