import { createSocket } from "node:dgram";
import type { Socket as UdpSocket } from "node:dgram";
import { setMaxListeners } from "node:events";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import type { ContainerId } from "../../core/index.ts";
import type { Dns, DnsView } from "../types.ts";
import { decide } from "./answer.ts";
import { encodeAnswer, forClient, parseQuery, RCODE, refusal } from "./codec.ts";
import type { Answer } from "./codec.ts";
import { Forwarder } from "./forwarder.ts";
import { HostResolvers } from "./resolv-conf.ts";
import { addressAsItIs } from "./upstream.ts";
import type { UpstreamOptions } from "./upstream.ts";

export interface DnsOptions {
  readonly signal: AbortSignal;
  readonly resolvers?: HostResolvers;
  readonly upstream?: UpstreamOptions;
}

/** A TCP client that says nothing goes (RFC 7766, 6.2.3). */
const IDLE_MS = 10_000;
const CONNECTIONS = 64;
const TCP_LIMIT = 65535;

const failure = (rcode: number): Answer => ({ rcode, records: [], ttl: 0, authoritative: false });

interface Attached {
  readonly udp: UdpSocket;
  readonly tcp: Server;
  readonly connections: Set<Socket>;
}

/** The DNS servers of one agent's containers: one pair of sockets each, one view each. */
class Servers implements Dns {
  readonly #forwarder: Forwarder;
  readonly #attached = new Map<ContainerId, Attached>();
  readonly #ending = new AbortController();
  /** How often each name was asked for, by its container and type: replicas are named in turn. */
  readonly #turns = new Map<string, number>();

  constructor(options: DnsOptions) {
    const signal = AbortSignal.any([options.signal, this.#ending.signal]);
    setMaxListeners(0, signal); // one for each question on its way
    this.#forwarder = new Forwarder(options.resolvers ?? new HostResolvers(), signal, options.upstream);
    signal.addEventListener("abort", () => this.#close(), { once: true });
  }

  attach(container: ContainerId, udp: number, tcp: number, view: () => DnsView): void {
    this.detach(container);
    const attached: Attached = {
      udp: this.#serveUdp(container, udp, view),
      tcp: this.#serveTcp(container, tcp, view),
      connections: new Set(),
    };
    attached.tcp.on("connection", (socket) => {
      attached.connections.add(socket);
      socket.once("close", () => attached.connections.delete(socket));
    });
    this.#attached.set(container, attached);
  }

  detach(container: ContainerId): void {
    const attached = this.#attached.get(container);
    if (attached === undefined) return;
    this.#attached.delete(container);
    attached.udp.close();
    attached.tcp.close();
    for (const socket of attached.connections) socket.destroy();
  }

  #nextTurn(key: string): number {
    if (this.#turns.size > 10_000) this.#turns.clear();
    const turn = this.#turns.get(key) ?? 0;
    this.#turns.set(key, turn + 1);
    return turn;
  }

  #close(): void {
    for (const container of [...this.#attached.keys()]) this.detach(container);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    this.#close();
  }

  #serveUdp(container: ContainerId, fd: number, view: () => DnsView): UdpSocket {
    const socket = createSocket({ type: "udp4", lookup: addressAsItIs });
    // An answer that cannot be delivered is the asker's loss alone.
    socket.on("error", () => undefined);
    socket.on("message", (message, from) => {
      void this.#respond(container, message, view, false).then((answer) => {
        if (answer === undefined || this.#attached.get(container)?.udp !== socket) return;
        socket.send(answer, from.port, from.address, () => undefined);
      });
    });
    socket.bind({ fd });
    return socket;
  }

  #serveTcp(container: ContainerId, fd: number, view: () => DnsView): Server {
    const server = createServer((socket) => this.#talk(container, socket, view));
    server.maxConnections = CONNECTIONS;
    server.on("error", () => undefined);
    server.listen({ fd });
    return server;
  }

  /** Two bytes of length before each message, one question after the other. */
  #talk(container: ContainerId, socket: Socket, view: () => DnsView): void {
    let received = Buffer.alloc(0);
    let answering = Promise.resolve();
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const message = received.subarray(2, 2 + received.readUInt16BE(0));
        received = received.subarray(2 + message.length);
        // In order, and no more read than answered: a flood waits in the asker's own buffers.
        socket.pause();
        answering = answering.then(async () => {
          const answer = await this.#respond(container, message, view, true);
          if (answer === undefined) {
            socket.destroy();
            return;
          }
          const length = Buffer.alloc(2);
          length.writeUInt16BE(answer.length);
          if (!socket.destroyed) socket.write(Buffer.concat([length, answer]));
        });
        void answering.then(() => socket.resume());
      }
    });
  }

  /** Undefined: no answer at all. Never throws. */
  async #respond(container: ContainerId, message: Buffer, view: () => DnsView, tcp: boolean): Promise<Buffer | undefined> {
    const parsed = parseQuery(message);
    if (parsed.kind === "drop") return undefined;
    if (parsed.kind === "refuse") return refusal(message, parsed.rcode);
    const { query } = parsed;
    const limit = tcp ? TCP_LIMIT : query.limit;
    const encode = (answer: Answer): Buffer => encodeAnswer(message, query, answer, limit);
    if (query.edns !== undefined && query.edns.version !== 0) return encode(failure(RCODE.BADVERS));
    try {
      const seen = view();
      const decision = decide(seen, query.question, () => this.#nextTurn(`${container} ${query.question.type} ${query.question.name.toLowerCase()}`));
      if (decision.kind === "answer") return encode(decision.answer);
      const response = await this.#forwarder.forward(container, message, query, seen.upstreams, tcp);
      return response === undefined ? encode(failure(RCODE.SERVFAIL)) : forClient(response, query, limit);
    } catch {
      return encode(failure(RCODE.SERVFAIL));
    }
  }
}

export function openDns(options: DnsOptions): Dns {
  return new Servers(options);
}
