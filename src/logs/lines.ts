import type { FileHandle } from "node:fs/promises";
import type { LogEntry } from "./types.ts";
import type { LogRecord } from "./record.ts";

const blockSize = 64 * 1024;
/** A record longer than this is not one: nothing may make a reader hold the whole file. */
const longestRecord = 8 * 1024 * 1024;
/** A line without end is handed on in pieces of this size, in characters. */
const longestLine = 1024 * 1024;

/** Cuts a growing file into lines; keeps what has no newline yet for the next call. */
export class LineReader {
  readonly file: FileHandle;
  readonly inode: bigint;
  #position: number;
  #parts: Buffer[] = [];
  #kept = 0;
  #skipping = false;

  constructor(file: FileHandle, inode: bigint, position: number) {
    this.file = file;
    this.inode = inode;
    this.#position = position;
  }

  /** Reads from where it stands to the present end of the file; what one read of the file gave at a time. */
  async *read(signal: AbortSignal): AsyncGenerator<readonly string[]> {
    const buffer = Buffer.allocUnsafe(blockSize);
    while (!signal.aborted) {
      const { bytesRead } = await this.file.read(buffer, 0, blockSize, this.#position);
      if (bytesRead === 0) {
        // Cut off by somebody else: what is written now begins at the start again.
        if ((await this.file.stat()).size >= this.#position) return;
        this.#position = 0;
        this.#drop();
        continue;
      }
      this.#position += bytesRead;
      const lines = this.#cut(buffer.subarray(0, bytesRead));
      if (lines.length > 0) yield lines;
    }
  }

  #cut(block: Buffer): readonly string[] {
    const lines: string[] = [];
    let from = 0;
    for (let end = block.indexOf(10); end >= 0; end = block.indexOf(10, from)) {
      const piece = block.subarray(from, end);
      from = end + 1;
      if (this.#skipping) this.#drop();
      else if (this.#parts.length === 0) lines.push(piece.toString("utf8"));
      else {
        lines.push(Buffer.concat([...this.#parts, piece]).toString("utf8"));
        this.#drop();
      }
    }
    if (from === block.length || this.#skipping) return lines;
    this.#kept += block.length - from;
    if (this.#kept > longestRecord) {
      this.#drop();
      this.#skipping = true;
    } else this.#parts.push(Buffer.from(block.subarray(from)));
    return lines;
  }

  #drop(): void {
    this.#parts = [];
    this.#kept = 0;
    this.#skipping = false;
  }
}

export interface PlacedLine {
  /** Offset of its first byte. */
  readonly offset: number;
  readonly line: string;
}

/** The complete lines of a file from its end to its start; never holds more than one line and one block. */
export async function* linesBackward(file: FileHandle, size: number): AsyncGenerator<PlacedLine> {
  const buffer = Buffer.allocUnsafe(blockSize);
  /** Pieces of the line that begins before the block, in the order of the file. */
  let later: Buffer[] = [];
  let laterSize = 0;
  /** Until the last newline has been seen, what is read belongs to a line that is still being written. */
  let open = true;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - blockSize);
    const { bytesRead } = await file.read(buffer, 0, end - start, start);
    if (bytesRead < end - start) return;
    let until = end - start;
    for (let at = buffer.lastIndexOf(10, until - 1); at >= 0 && until > 0; at = until > 0 ? buffer.lastIndexOf(10, until - 1) : -1) {
      if (!open) yield { offset: start + at + 1, line: join(buffer.subarray(at + 1, until), later, laterSize) };
      open = false;
      later = [];
      laterSize = 0;
      until = at;
    }
    if (until > 0) {
      laterSize += until;
      if (laterSize <= longestRecord) later.unshift(Buffer.from(buffer.subarray(0, until)));
      else later = [];
    }
    end = start;
  }
  if (!open && laterSize > 0) yield { offset: 0, line: join(Buffer.alloc(0), later, laterSize) };
}

function join(first: Buffer, later: readonly Buffer[], laterSize: number): string {
  if (laterSize > longestRecord) return "";
  return later.length === 0 ? first.toString("utf8") : Buffer.concat([first, ...later]).toString("utf8");
}

function entryOf({ stream, time, at, process }: LogRecord, text: string, complete: boolean): LogEntry {
  return { stream, time, at, text, complete, ...(process === undefined ? {} : { process }) };
}

/** Puts the records of one container together to lines, for each stream of each process on its own. */
export class Joiner {
  readonly #open = new Map<string, { readonly first: LogRecord; text: string }>();

  add(record: LogRecord): LogEntry | undefined {
    const key = `${record.stream} ${record.process ?? ""}`;
    const open = this.#open.get(key);
    const first = open?.first ?? record;
    const complete = record.text.endsWith("\n");
    const text = (open?.text ?? "") + (complete ? record.text.slice(0, -1) : record.text);
    if (!complete && text.length < longestLine) {
      if (open === undefined) this.#open.set(key, { first, text });
      else open.text = text;
      return undefined;
    }
    this.#open.delete(key);
    return entryOf(first, text, complete);
  }

  /** What never got its newline, in order of time. */
  rest(): LogEntry[] {
    const entries = [...this.#open.values()].map(({ first, text }) => entryOf(first, text, false));
    this.#open.clear();
    return entries.sort((a, b) => a.at - b.at);
  }
}
