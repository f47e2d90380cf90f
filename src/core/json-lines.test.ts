import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { JsonLines } from "./json-lines.ts";

function peer(maxLine?: number): { readonly lines: JsonLines; readonly socket: Duplex; readonly writes: string[]; readonly received: unknown[] } {
  const writes: string[] = [];
  const received: unknown[] = [];
  const socket = new Duplex({
    read: () => undefined,
    writev: (chunks, done) => {
      writes.push(Buffer.concat(chunks.map((c) => c.chunk as Buffer)).toString());
      done();
    },
  });
  socket.on("error", () => undefined);
  return { lines: new JsonLines(socket as unknown as Socket, (message) => received.push(message), maxLine), socket, writes, received };
}

describe("lines of JSON", () => {
  it("go out at once, each by itself", () => {
    const { lines, writes } = peer();
    lines.send({ a: 1 });
    expect(writes).toEqual(['{"a":1}\n']);
  });

  it("that may wait a moment go out together, in order, and before what is sent after them", async () => {
    const { lines, writes } = peer();
    lines.sendSoon(1);
    lines.sendSoon(2);
    lines.send(3);
    expect(writes).toEqual([]);
    await turn();
    expect(writes).toEqual(["1\n2\n3\n"]);
    lines.sendSoon(4);
    await turn();
    lines.send(5);
    expect(writes).toEqual(["1\n2\n3\n", "4\n", "5\n"]);
  });

  it("are not lost when the connection is ended in that moment", async () => {
    const { lines, socket, writes } = peer();
    lines.sendSoon(1);
    socket.end();
    await turn();
    expect(writes).toEqual(["1\n"]);
  });

  it("come whole however the bytes are cut", () => {
    const { socket, received } = peer();
    for (const byte of Buffer.from('{"a":"ä"}\n\n[1]\n')) socket.emit("data", Buffer.from([byte]));
    expect(received).toEqual([{ a: "ä" }, [1]]);
  });

  it.each([
    ["is not JSON", Buffer.from("no\n")],
    ["never ends", Buffer.alloc(11)],
  ])("end the connection with a peer whose line %s", (_, bytes) => {
    const { socket, received } = peer(10);
    socket.emit("data", bytes);
    expect(socket.destroyed).toBe(true);
    expect(received).toEqual([]);
  });
});
