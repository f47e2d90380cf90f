import { Buffer } from "node:buffer";

/**
 * A tar archive entry by entry (POSIX ustar, with PAX records where asked for): for layers of a few files, and
 * for hostile ones that no tar program would write.
 */
export interface TarEntry {
  readonly path: string;
  /** Default: file. `hardlink` and `symlink` use `link`; `char` and `block` use `device`. */
  readonly type?: "file" | "hardlink" | "symlink" | "char" | "block" | "directory" | "fifo";
  readonly content?: string | Buffer;
  readonly link?: string;
  readonly device?: readonly [major: number, minor: number];
  /** Default 0644 for files, 0755 for directories. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since the epoch. */
  readonly mtime?: number;
  /** Extended header records that come before the entry. */
  readonly pax?: Readonly<Record<string, string>>;
  /** A size that the header claims, if it is to lie. */
  readonly claimedSize?: number;
}

const flags = { file: "0", hardlink: "1", symlink: "2", char: "3", block: "4", directory: "5", fifo: "6" } as const;
const octal = (value: number, length: number): string => value.toString(8).padStart(length - 1, "0") + "\0";

function header(path: string, flag: string, size: number, entry: TarEntry): Buffer {
  const block = Buffer.alloc(512);
  const put = (text: string, at: number, max: number) => block.write(text.slice(0, max), at, "latin1");
  if (Buffer.byteLength(path) > 100) throw new Error(`path too long for this writer: ${path}`);
  block.write(path, 0, "utf8");
  put(octal(entry.mode ?? (entry.type === "directory" ? 0o755 : 0o644), 8), 100, 8);
  put(octal(entry.uid ?? 0, 8), 108, 8);
  put(octal(entry.gid ?? 0, 8), 116, 8);
  put(octal(size, 12), 124, 12);
  put(octal(entry.mtime ?? 1_700_000_000, 12), 136, 12);
  put("        ", 148, 8);
  put(flag, 156, 1);
  if (entry.link !== undefined) block.write(entry.link, 157, "utf8");
  put("ustar\x0000", 257, 8);
  if (entry.device !== undefined) {
    put(octal(entry.device[0], 8), 329, 8);
    put(octal(entry.device[1], 8), 337, 8);
  }
  const sum = block.reduce((a, b) => a + b, 0);
  put(sum.toString(8).padStart(6, "0") + "\0 ", 148, 8);
  return block;
}

const padded = (data: Buffer): Buffer[] => [data, Buffer.alloc((512 - (data.length % 512)) % 512)];

function paxRecords(records: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = Buffer.byteLength(rest) + 1;
    while (String(length).length + Buffer.byteLength(rest) !== length) length += 1;
    return `${length}${rest}`;
  });
  return Buffer.from(lines.join(""));
}

export function tar(entries: readonly TarEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    if (entry.pax !== undefined) {
      const records = paxRecords(entry.pax);
      parts.push(header("PaxHeaders/x", "x", records.length, { path: "" }), ...padded(records));
    }
    const content = Buffer.from(entry.content ?? "");
    parts.push(header(entry.path, flags[entry.type ?? "file"], entry.claimedSize ?? content.length, entry), ...padded(content));
  }
  parts.push(Buffer.alloc(1024));
  return Buffer.concat(parts);
}
