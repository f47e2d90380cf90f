import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import type { SocketOptions } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { answers, HEADER, isTruncated, RCODE, rcodeOf, withId } from "./codec.ts";
import type { Question } from "./codec.ts";

export interface UpstreamOptions {
  /** One server's time to answer. */
  readonly timeoutMs: number;
  /** How often the list of servers is gone through. */
  readonly rounds: number;
  readonly port: number;
}

export const defaults: UpstreamOptions = { timeoutMs: 2000, rounds: 2, port: 53 };

/** For sockets that are given addresses, never names: Node's own way would load its whole resolver, and ask it each time. */
export const addressAsItIs: NonNullable<SocketOptions["lookup"]> = (address, _, done) => {
  process.nextTick(done, null, address, isIPv6(address) ? 6 : 4);
};

/** Codes with which a server says that another might know better. */
const tryNext = (response: Buffer): boolean => ([RCODE.SERVFAIL, RCODE.NOTIMP, RCODE.REFUSED] as readonly number[]).includes(rcodeOf(response));

/** One try by UDP: a socket, port and id of its own each time; nothing but the right answer from the right server counts. */
export function askUdp(server: string, message: Buffer, question: Question, options: UpstreamOptions, signal: AbortSignal): Promise<Buffer | undefined> {
  const id = randomInt(0x10000);
  return new Promise((resolve) => {
    const socket = createSocket({ type: isIPv6(server.split("%")[0] ?? "") ? "udp6" : "udp4", lookup: addressAsItIs });
    let open = true;
    const finish = (response?: Buffer): void => {
      if (!open) return;
      open = false;
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
      socket.close();
      resolve(response);
    };
    const cancel = (): void => finish();
    const timer = setTimeout(cancel, options.timeoutMs);
    signal.addEventListener("abort", cancel, { once: true });
    socket.on("error", cancel); // nobody listens there: the next server
    socket.on("message", (response) => {
      if (answers(response, id, question)) finish(response);
    });
    // Where no route leads, Node gives the error to this callback, not to the event.
    socket.connect(options.port, server, (error?: unknown) => {
      if (error !== undefined && error !== null) finish();
      else if (open) socket.send(withId(message, id));
    });
    if (signal.aborted) finish();
  });
}

/** One try by TCP (RFC 7766). */
export function askTcp(server: string, message: Buffer, question: Question, options: UpstreamOptions, signal: AbortSignal): Promise<Buffer | undefined> {
  const id = randomInt(0x10000);
  return new Promise((resolve) => {
    const socket = connect(options.port, server);
    let received = Buffer.alloc(0);
    let open = true;
    const finish = (response?: Buffer): void => {
      if (!open) return;
      open = false;
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
      socket.destroy();
      resolve(response);
    };
    const cancel = (): void => finish();
    const timer = setTimeout(cancel, options.timeoutMs);
    signal.addEventListener("abort", cancel, { once: true });
    socket.on("error", cancel);
    socket.on("close", cancel);
    socket.on("connect", () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(message.length);
      socket.write(Buffer.concat([length, withId(message, id)]));
    });
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const response = received.subarray(2, 2 + received.readUInt16BE(0));
      finish(answers(response, id, question) ? response : undefined);
    });
    if (signal.aborted) finish();
  });
}

/**
 * Asks server after server until one answers. `whole`: an answer that is cut is asked for again by TCP.
 * Undefined: nobody answered.
 */
export async function ask(
  servers: readonly string[],
  message: Buffer,
  question: Question,
  whole: boolean,
  options: UpstreamOptions,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  let poor: Buffer | undefined;
  for (let round = 0; round < options.rounds; round += 1) {
    for (const server of servers) {
      if (signal.aborted) return undefined;
      let response = await askUdp(server, message, question, options, signal);
      if (whole && (response === undefined || isTruncated(response))) response = (await askTcp(server, message, question, options, signal)) ?? response;
      if (response === undefined || response.length < HEADER) continue;
      if (!tryNext(response)) return response;
      poor = response;
    }
    // All of them have said that they do not know: asking again changes nothing.
    if (poor !== undefined) return poor;
  }
  return undefined;
}
