import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { createServer, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StreamSink } from "./sink.ts";

let directory = "";
const open: number[] = [];
beforeAll(() => void (directory = mkdtempSync(join(tmpdir(), "stack-sink-"))));
afterAll(() => {
  for (const fd of open.splice(0)) closeSync(fd);
  rmSync(directory, { recursive: true });
});

function opened(path: string, flags: number): number {
  const fd = openSync(path, flags, 0o600);
  open.push(fd);
  return fd;
}

const noStream = (): never => {
  throw new Error("a stream was made");
};
const notBroken = (error: Error): never => {
  throw error;
};

function pipe(name: string): { readonly reader: number; readonly writer: number } {
  const path = join(directory, name);
  execFileSync("mkfifo", [path]);
  return { reader: opened(path, constants.O_RDONLY | constants.O_NONBLOCK), writer: opened(path, constants.O_WRONLY) };
}

/** Everything that lies in a pipe now. */
function drain(fd: number): Buffer {
  const chunks: Buffer[] = [];
  for (const chunk = Buffer.alloc(65_536); ; )
    try {
      const length = readSync(fd, chunk);
      if (length === 0) break;
      chunks.push(Buffer.from(chunk.subarray(0, length)));
    } catch {
      break;
    }
  return Buffer.concat(chunks);
}

describe("what is written", () => {
  it("goes to a file, and to the null device, without a stream", async () => {
    const path = join(directory, "file");
    const sink = new StreamSink(opened(path, constants.O_WRONLY | constants.O_CREAT), noStream, notBroken);
    await sink.write("one\n");
    await sink.write(Buffer.from("z\u00fc\n"));
    expect(readFileSync(path, "utf8")).toBe("one\nz\u00fc\n");
    expect([sink.isTTY, sink.drawable, sink.columns]).toEqual([false, false, 80]);
    const nowhere = new StreamSink(opened("/dev/null", constants.O_WRONLY), noStream, notBroken);
    await nowhere.write("x");
    expect(nowhere.isTTY).toBe(false);
  });

  it("waits in a stream from where a pipe is full, in its order, and holds up nobody", async () => {
    const { reader, writer } = pipe("slow");
    const stream = new PassThrough({ highWaterMark: 1 << 24 });
    const sink = new StreamSink(writer, () => stream as unknown as NodeJS.WriteStream, notBroken);
    const text = Array.from({ length: 30_000 }, (_, i) => `line ${i}\n`).join("");
    await sink.write("first\n");
    await sink.write(text);
    await sink.write("last\n");
    const through = drain(reader).toString();
    expect(through.length).toBeGreaterThan(4096);
    expect(through.length).toBeLessThan(text.length);
    stream.end();
    expect(through + (await stream.toArray()).join("")).toBe(`first\n${text}last\n`);
  });

  it("is nothing once the reader of a pipe has gone, which is told once", async () => {
    const { reader, writer } = pipe("gone");
    const told: (string | undefined)[] = [];
    const sink = new StreamSink(writer, noStream, (error: NodeJS.ErrnoException) => told.push(error.code));
    await sink.write("x");
    expect(drain(reader).toString()).toBe("x");
    closeSync(open.splice(open.indexOf(reader), 1)[0] ?? -1);
    await sink.write("y");
    await sink.write("z");
    expect(told).toEqual(["EPIPE"]);
  });

  it("goes through a stream where something else listens", async () => {
    const server = createServer().listen(join(directory, "socket"));
    const socket = connect(join(directory, "socket"));
    await new Promise((done) => socket.once("connect", done));
    const stream = new PassThrough();
    const { fd } = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle;
    const sink = new StreamSink(fd, () => stream as unknown as NodeJS.WriteStream, notBroken);
    await sink.write("x");
    expect(String(stream.read())).toBe("x");
    socket.destroy();
    server.close();
  });
});
