/**
 * The part of DNS messages (RFC 1035, EDNS: RFC 6891) that a small server needs: reading one question, writing
 * answers to it. What comes from upstream is passed on as bytes. Pure; never throws on what it is given to read.
 */
export const TYPE = { A: 1, CNAME: 5, SOA: 6, PTR: 12, AAAA: 28, OPT: 41, IXFR: 251, AXFR: 252, ANY: 255 } as const;
export const CLASS_IN = 1;
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;

const QR = 0x8000;
const OPCODE = 0x7800;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;
const RA = 0x0080;
const CD = 0x0010;

export const HEADER = 12;
/** What fits through every path without fragments (DNS flag day 2020). */
export const UDP_SIZE = 1232;
const CLASSIC_UDP_SIZE = 512;

export interface Question {
  /** Without the last dot; as it was written. "" is the root. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Offset behind the question in the message. */
  readonly end: number;
}

export interface Query {
  readonly id: number;
  readonly flags: number;
  readonly question: Question;
  /** The sender's EDNS, if it has sent some. */
  readonly edns?: { readonly size: number; readonly version: number };
  /** How large an answer by UDP may be. */
  readonly limit: number;
}

export type Parsed =
  | { readonly kind: "query"; readonly query: Query }
  /** No answer: not a query, or not even a header. */
  | { readonly kind: "drop" }
  /** An answer without anything but this code. */
  | { readonly kind: "refuse"; readonly rcode: number };

/** A name at `offset`. Labels with bytes that are no printable ASCII are kept as `\DDD` (RFC 1035, 5.1). */
function readName(bytes: Buffer, offset: number): { readonly name: string; readonly end: number } | undefined {
  const labels: string[] = [];
  let at = offset;
  let total = 0;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > 63) return undefined; // compression has no place in a question
    at += 1;
    if (length === 0) return { name: labels.join("."), end: at };
    total += length + 1;
    if (total > 254 || at + length > bytes.length) return undefined;
    let label = "";
    for (const byte of bytes.subarray(at, at + length))
      label += byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c ? String.fromCharCode(byte) : `\\${byte.toString().padStart(3, "0")}`;
    labels.push(label);
    at += length;
  }
}

export function readQuestion(bytes: Buffer): Question | undefined {
  if (bytes.length < HEADER) return undefined;
  const name = readName(bytes, HEADER);
  if (name === undefined || name.end + 4 > bytes.length) return undefined;
  return { name: name.name, type: bytes.readUInt16BE(name.end), class: bytes.readUInt16BE(name.end + 2), end: name.end + 4 };
}

/** The OPT record of a query whose only record it is: what every client sends. Anything else is looked over. */
function readEdns(bytes: Buffer, offset: number): Query["edns"] {
  const additional = bytes.readUInt16BE(10);
  if (bytes.readUInt16BE(6) !== 0 || bytes.readUInt16BE(8) !== 0 || additional !== 1) return undefined;
  if (offset + 11 > bytes.length || bytes[offset] !== 0 || bytes.readUInt16BE(offset + 1) !== TYPE.OPT) return undefined;
  return { size: bytes.readUInt16BE(offset + 3), version: bytes[offset + 6] ?? 0 };
}

export function parseQuery(bytes: Buffer): Parsed {
  if (bytes.length < HEADER) return { kind: "drop" };
  const flags = bytes.readUInt16BE(2);
  // An answer to an answer is how two servers talk for ever.
  if ((flags & QR) !== 0) return { kind: "drop" };
  if ((flags & OPCODE) !== 0) return { kind: "refuse", rcode: RCODE.NOTIMP };
  const question = bytes.readUInt16BE(4) === 1 ? readQuestion(bytes) : undefined;
  if (question === undefined) return { kind: "refuse", rcode: RCODE.FORMERR };
  const edns = readEdns(bytes, question.end);
  const limit = edns === undefined ? CLASSIC_UDP_SIZE : Math.max(CLASSIC_UDP_SIZE, Math.min(edns.size, UDP_SIZE));
  return { kind: "query", query: { id: bytes.readUInt16BE(0), flags, question, limit, ...(edns === undefined ? {} : { edns }) } };
}

/** Only the header comes back: for what could not be read. */
export function refusal(bytes: Buffer, rcode: number): Buffer {
  const answer = Buffer.alloc(HEADER);
  answer.writeUInt16BE(bytes.readUInt16BE(0), 0);
  answer.writeUInt16BE(QR | RA | (bytes.readUInt16BE(2) & (OPCODE | RD)) | (rcode & 0xf), 2);
  return answer;
}

export type RecordData = { readonly type: typeof TYPE.A | typeof TYPE.AAAA; readonly address: Uint8Array } | { readonly type: typeof TYPE.PTR; readonly target: string };

/** A name in wire form; undefined if it is none (a label is empty or too long). */
export function encodeName(name: string): Buffer | undefined {
  if (name === "") return Buffer.from([0]);
  const parts: Buffer[] = [];
  for (const label of name.split(".")) {
    const bytes = Buffer.from(label, "latin1");
    if (bytes.length === 0 || bytes.length > 63) return undefined;
    parts.push(Buffer.from([bytes.length]), bytes);
  }
  const encoded = Buffer.concat([...parts, Buffer.from([0])]);
  return encoded.length > 255 ? undefined : encoded;
}

export interface Answer {
  readonly rcode: number;
  readonly records: readonly RecordData[];
  /** Seconds. */
  readonly ttl: number;
  /** The name is ours. */
  readonly authoritative: boolean;
}

function encodeRecord(record: RecordData, ttl: number): Buffer | undefined {
  const data = record.type === TYPE.PTR ? encodeName(record.target) : Buffer.from(record.address);
  if (data === undefined) return undefined;
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc000 | HEADER, 0); // the question's name
  head.writeUInt16BE(record.type, 2);
  head.writeUInt16BE(CLASS_IN, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

/** The answer to `query`, whose message is `asked`; cut (TC) to whole records where it is larger than `limit`. */
export function encodeAnswer(asked: Buffer, query: Query, answer: Answer, limit: number): Buffer {
  const header = Buffer.alloc(HEADER);
  const question = asked.subarray(HEADER, query.question.end);
  const opt = query.edns === undefined ? Buffer.alloc(0) : Buffer.from([0, 0, TYPE.OPT, UDP_SIZE >> 8, UDP_SIZE & 0xff, answer.rcode >> 4, 0, 0, 0, 0, 0]);
  const records: Buffer[] = [];
  let size = HEADER + question.length + opt.length;
  let truncated = false;
  for (const record of answer.records) {
    const encoded = encodeRecord(record, answer.ttl);
    if (encoded === undefined) continue;
    if (size + encoded.length > limit) {
      truncated = true;
      break;
    }
    records.push(encoded);
    size += encoded.length;
  }
  header.writeUInt16BE(query.id, 0);
  header.writeUInt16BE(QR | RA | (query.flags & (RD | CD)) | (answer.authoritative ? AA : 0) | (truncated ? TC : 0) | (answer.rcode & 0xf), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  header.writeUInt16BE(opt.length > 0 ? 1 : 0, 10);
  return Buffer.concat([header, question, ...records, opt]);
}

/** Does this message from upstream answer that question, and not another's? `id` is the one it was asked with. */
export function answers(response: Buffer, id: number, asked: Question): boolean {
  if (response.length < HEADER || response.readUInt16BE(0) !== id || (response.readUInt16BE(2) & QR) === 0) return false;
  // Some servers refuse without repeating the question; that is no content that could be forged.
  if (response.readUInt16BE(4) === 0) return rcodeOf(response) !== RCODE.NOERROR && response.length === HEADER;
  const question = readQuestion(response);
  return question !== undefined && question.type === asked.type && question.class === asked.class && question.name.toLowerCase() === asked.name.toLowerCase();
}

export const rcodeOf = (message: Buffer): number => message.readUInt16BE(2) & 0xf;
export const isTruncated = (message: Buffer): boolean => (message.readUInt16BE(2) & TC) !== 0;

export function withId(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}

/** An answer from upstream as this client may have it: its own id, and cut to its size with TC. */
export function forClient(response: Buffer, query: Query, limit: number): Buffer {
  if (response.length <= limit) return withId(response, query.id);
  const end = readQuestion(response)?.end ?? HEADER;
  const cut = withId(response.subarray(0, end), query.id);
  cut.writeUInt16BE(cut.readUInt16BE(2) | TC, 2);
  cut.fill(0, 6, HEADER);
  if (end === HEADER) cut.writeUInt16BE(0, 4);
  return cut;
}
