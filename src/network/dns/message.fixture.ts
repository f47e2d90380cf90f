import { encodeName, HEADER } from "./codec.ts";

/** A question as clients send it; for tests. */
export function message(name: string, type: number, options: { readonly id?: number; readonly flags?: number; readonly edns?: number } = {}): Buffer {
  const header = Buffer.alloc(HEADER);
  header.writeUInt16BE(options.id ?? 0x1234, 0);
  header.writeUInt16BE(options.flags ?? 0x0100, 2);
  header.writeUInt16BE(1, 4);
  const tail = Buffer.alloc(4);
  tail.writeUInt16BE(type, 0);
  tail.writeUInt16BE(1, 2);
  const opt = options.edns === undefined ? [] : [Buffer.from([0, 0, 41, options.edns >> 8, options.edns & 0xff, 0, 0, 0, 0, 0, 0])];
  if (opt.length > 0) header.writeUInt16BE(1, 10);
  return Buffer.concat([header, encodeName(name) ?? Buffer.alloc(1), tail, ...opt]);
}

