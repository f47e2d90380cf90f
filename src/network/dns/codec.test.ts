import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { answers, encodeAnswer, forClient, HEADER, isTruncated, parseQuery, RCODE, rcodeOf, readQuestion, refusal, TYPE } from "./codec.ts";
import type { Query } from "./codec.ts";
import { message } from "./message.fixture.ts";

function query(bytes: Buffer): Query {
  const parsed = parseQuery(bytes);
  if (parsed.kind !== "query") throw new Error(`not a query: ${parsed.kind}`);
  return parsed.query;
}

describe("reading questions", () => {
  it("reads name, type and the size that the asker takes", () => {
    expect(query(message("web.Example", TYPE.AAAA))).toMatchObject({ id: 0x1234, limit: 512, question: { name: "web.Example", type: 28, class: 1 } });
    expect(query(message("web", TYPE.A, { edns: 4096 }))).toMatchObject({ limit: 1232, edns: { size: 4096, version: 0 } });
    expect(query(message("web", TYPE.A, { edns: 100 })).limit).toBe(512);
    expect(query(message("", TYPE.A)).question.name).toBe("");
  });

  it("says nothing to answers and fragments, and refuses what it cannot read", () => {
    expect(parseQuery(message("web", TYPE.A, { flags: 0x8180 }))).toEqual({ kind: "drop" });
    expect(parseQuery(Buffer.alloc(11))).toEqual({ kind: "drop" });
    expect(parseQuery(message("web", TYPE.A, { flags: 0x2800 }))).toEqual({ kind: "refuse", rcode: RCODE.NOTIMP });
    const two = message("web", TYPE.A);
    two.writeUInt16BE(2, 4);
    expect(parseQuery(two)).toEqual({ kind: "refuse", rcode: RCODE.FORMERR });
    const pointer = Buffer.concat([message("", TYPE.A).subarray(0, HEADER), Buffer.from([0xc0, 0x0c, 0, 1, 0, 1])]);
    expect(parseQuery(pointer)).toEqual({ kind: "refuse", rcode: RCODE.FORMERR });
  });

  it("never throws, whatever comes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        const buffer = Buffer.from(bytes);
        const parsed = parseQuery(buffer);
        if (parsed.kind === "refuse") expect(refusal(buffer, parsed.rcode).length).toBe(HEADER);
        answers(buffer, 1, { name: "x", type: 1, class: 1, end: 0 });
        if (buffer.length >= HEADER) readQuestion(buffer);
      }),
      { numRuns: 2000 },
    );
  });

  it("survives any damage to a good question", () => {
    fc.assert(
      fc.property(fc.nat(60), fc.nat(255), fc.nat(60), (at, value, cut) => {
        const bytes = message("db.shop.internal", TYPE.A, { edns: 1232 });
        bytes[at % bytes.length] = value;
        const part = bytes.subarray(0, bytes.length - (cut % bytes.length));
        const parsed = parseQuery(part);
        if (parsed.kind === "query") encodeAnswer(part, parsed.query, { rcode: 0, records: [], ttl: 0, authoritative: true }, 512);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("writing answers", () => {
  const address = (n: number): { readonly type: 1; readonly address: Uint8Array } => ({ type: 1, address: new Uint8Array([10, 0, n >> 8, n & 0xff]) });

  it("repeats the question and holds the records", () => {
    const asked = message("web", TYPE.A);
    const answer = encodeAnswer(asked, query(asked), { rcode: 0, records: [address(1), address(2)], ttl: 1, authoritative: true }, 512);
    expect(answer.readUInt16BE(2)).toBe(0x8580); // QR AA RD RA
    expect(answer.readUInt16BE(6)).toBe(2);
    expect(answers(answer, 0x1234, query(asked).question)).toBe(true);
    expect(answer.subarray(-4)).toEqual(Buffer.from([10, 0, 0, 2]));
  });

  it("is never larger than the asker takes, and says that it was cut", () => {
    fc.assert(
      fc.property(fc.nat(200), fc.option(fc.integer({ min: 0, max: 65535 }), { nil: undefined }), (count, edns) => {
        const asked = message("web", TYPE.A, edns === undefined ? {} : { edns });
        const q = query(asked);
        const answer = encodeAnswer(asked, q, { rcode: 0, records: Array.from({ length: count }, (_, i) => address(i)), ttl: 1, authoritative: true }, q.limit);
        expect(answer.length).toBeLessThanOrEqual(q.limit);
        expect(isTruncated(answer)).toBe(answer.readUInt16BE(6) < count);
      }),
    );
  });

  it("passes an upstream's answer on with the asker's id, cut to its size", () => {
    const asked = message("big.example", TYPE.A);
    const q = query(asked);
    const large = Buffer.concat([encodeAnswer(asked, q, { rcode: 0, records: [], ttl: 1, authoritative: false }, 512), Buffer.alloc(600)]);
    large.writeUInt16BE(9, 0);
    const cut = forClient(large, q, 512);
    expect(cut.readUInt16BE(0)).toBe(0x1234);
    expect(isTruncated(cut)).toBe(true);
    expect(readQuestion(cut)?.name).toBe("big.example");
    expect(cut.length).toBe(q.question.end);
    expect(forClient(large, q, 65535).length).toBe(large.length);
  });
});

describe("recognising an upstream's answer", () => {
  const asked = { name: "web.example", type: 1, class: 1, end: 0 };
  const answer = (name: string, id: number, flags = 0x8180): Buffer => message(name, TYPE.A, { id, flags });

  it("takes the right one only", () => {
    expect(answers(answer("WEB.example", 7), 7, asked)).toBe(true);
    expect(answers(answer("web.example", 8), 7, asked)).toBe(false);
    expect(answers(answer("evil.example", 7), 7, asked)).toBe(false);
    expect(answers(answer("web.example", 7, 0x0100), 7, asked)).toBe(false);
    const bare = Buffer.alloc(HEADER);
    bare.writeUInt16BE(7, 0);
    bare.writeUInt16BE(0x8185, 2);
    expect(answers(bare, 7, asked)).toBe(true);
    expect(rcodeOf(bare)).toBe(RCODE.REFUSED);
    bare.writeUInt16BE(0x8180, 2);
    expect(answers(bare, 7, asked)).toBe(false);
  });
});
