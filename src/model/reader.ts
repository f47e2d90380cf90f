import { isUtf8 } from "node:buffer";

/** The model's only door to the outside: reading files. Tests bring their own. */
export interface FileReader {
  /** `missing`: there is no such file. `problem`: it cannot be read, and why. */
  readonly read: (path: string) => Promise<ReadResult>;
  readonly kind: (path: string) => Promise<"file" | "directory" | "missing">;
  /** Follows symbolic links; the path itself where it cannot. */
  readonly realpath: (path: string) => Promise<string>;
}

export type ReadResult =
  { readonly kind: "text"; readonly text: string } | { readonly kind: "missing" } | { readonly kind: "problem"; readonly reason: string };

/** UTF-8, checked: a wrong byte is an error with its position, never a replacement character. */
export function decodeUtf8(bytes: Uint8Array): ReadResult {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
    return { kind: "problem", reason: "it is UTF-16; save it as UTF-8" };
  if (!isUtf8(bytes)) return { kind: "problem", reason: `it is not valid UTF-8 (byte ${firstBadByte(bytes)})` };
  return { kind: "text", text: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8") };
}

function firstBadByte(bytes: Uint8Array): number {
  let low = 0;
  let high = bytes.length;
  // The longest prefix that decodes as a stream (where a character may be cut at the end).
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (decodes(bytes.subarray(0, middle))) low = middle;
    else high = middle - 1;
  }
  return low + 1;
}

function decodes(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}
