/**
 * The frames of `exec` and `attach` (native/PROTOCOL.md): one byte type, three zero bytes, length as 32-bit
 * big-endian, payload of at most 64 KiB.
 */
export const frameType = { stdin: 0, stdout: 1, stderr: 2, control: 3 } as const;

const headerSize = 8;
export const maxPayload = 64 * 1024;

export function encodeFrame(type: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headerSize + payload.length);
  frame.writeUInt32BE((type << 24) >>> 0, 0);
  frame.writeUInt32BE(payload.length, 4);
  frame.set(payload, headerSize);
  return frame;
}

/** Cuts a stream into frames, however its chunks fall. Throws on what cannot be a frame. */
export class FrameReader {
  #pending: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): readonly { readonly type: number; readonly payload: Buffer }[] {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const frames: { type: number; payload: Buffer }[] = [];
    while (this.#pending.length >= headerSize) {
      const type = this.#pending.readUInt8(0);
      const length = this.#pending.readUInt32BE(4);
      if (length > maxPayload || type > frameType.control) throw new Error(`not a frame: type ${type}, length ${length}`);
      if (this.#pending.length < headerSize + length) break;
      frames.push({ type, payload: this.#pending.subarray(headerSize, headerSize + length) });
      this.#pending = this.#pending.subarray(headerSize + length);
    }
    return frames;
  }
}
