import type { Socket } from "node:net";

/**
 * One JSON object a line, both ways, over a stream socket. Lines longer than `maxLine` end the connection:
 * a peer that never sends a newline must not eat the memory.
 */
export class JsonLines {
  readonly #socket: Socket;
  readonly #maxLine: number;
  #parts: Buffer[] = [];
  #size = 0;
  #gathering = false;

  constructor(socket: Socket, onMessage: (message: unknown) => void, maxLine = 64 * 1024 * 1024) {
    this.#socket = socket;
    this.#maxLine = maxLine;
    socket.on("data", (chunk: Buffer) => {
      let rest = chunk;
      for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
        const line = this.#parts.length === 0 ? rest.subarray(0, end) : Buffer.concat([...this.#parts, rest.subarray(0, end)]);
        this.#parts = [];
        this.#size = 0;
        rest = rest.subarray(end + 1);
        if (line.length === 0) continue;
        let message: unknown;
        try {
          message = JSON.parse(line.toString("utf8"));
        } catch {
          socket.destroy(new Error("peer sent a line that is not JSON"));
          return;
        }
        onMessage(message);
        if (socket.destroyed) return;
      }
      if (rest.length > 0) {
        this.#parts.push(rest);
        this.#size += rest.length;
        if (this.#size > this.#maxLine) socket.destroy(new Error(`peer sent a line of more than ${this.#maxLine} bytes`));
      }
    });
  }

  send(message: unknown): void {
    if (!this.#socket.writable) return;
    this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  /**
   * For one of many: leaves together with what else is sent before the event loop comes round. Each write by itself
   * would wake the peer, which then competes for the processor with what it waits for.
   */
  sendSoon(message: unknown): void {
    if (!this.#gathering) {
      this.#gathering = true;
      this.#socket.cork();
      setImmediate(() => {
        this.#gathering = false;
        this.#socket.uncork();
      });
    }
    this.send(message);
  }
}
