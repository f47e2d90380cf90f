import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import type { Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ContainerId } from "../../core/index.ts";
import { loadNative } from "../../native/index.ts";
import type { Dns, DnsView } from "../types.ts";
import { isTruncated, RCODE, rcodeOf, TYPE, withId } from "./codec.ts";
import { message } from "./message.fixture.ts";
import { HostResolvers } from "./resolv-conf.ts";
import { openDns } from "./server.ts";

const container = "c".repeat(64) as ContainerId;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** What a monitor does on `dns-sockets`: hands over a UDP and a listening TCP socket (SCM_RIGHTS). */
const monitor = `
import socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 0))
tcp = socket.socket(); tcp.bind(("127.0.0.1", 0)); tcp.listen()
door = socket.socket(socket.AF_UNIX); door.bind(sys.argv[1]); door.listen()
print("ready", flush=True)
peer, _ = door.accept(); peer.recv(100)
socket.send_fds(peer, [b'{"ports":[%d,%d]}\\n' % (udp.getsockname()[1], tcp.getsockname()[1])], [udp.fileno(), tcp.fileno()])
`;

async function sockets(): Promise<{ readonly udp: number; readonly tcp: number; readonly udpPort: number; readonly tcpPort: number }> {
  const door = join(dirname(resolvConf), "monitor.sock");
  const child = spawn("python3", ["-c", monitor, door], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  await once(child.stdout, "data");
  const { reply, fds } = await loadNative().requestDescriptors(door, '{"v":1,"op":"dns-sockets"}');
  await ended;
  const [udpPort = 0, tcpPort = 0] = (JSON.parse(reply) as { readonly ports: readonly number[] }).ports;
  const [udp = -1, tcp = -1] = fds;
  return { udp, tcp, udpPort, tcpPort };
}

function askUdp(port: number, bytes: Buffer): Promise<Buffer> {
  const socket = createSocket("udp4");
  return new Promise((resolve) => {
    socket.on("message", (answer) => {
      socket.close();
      resolve(answer);
    });
    socket.send(bytes, port, "127.0.0.1");
  });
}

function askTcp(port: number, ...messages: readonly Buffer[]): Promise<readonly Buffer[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let received = Buffer.alloc(0);
    const found: Buffer[] = [];
    socket.on("error", reject);
    socket.on("close", () => resolve(found));
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        found.push(received.subarray(2, 2 + received.readUInt16BE(0)));
        received = received.subarray(2 + received.readUInt16BE(0));
      }
      if (found.length === messages.length) socket.destroy();
    });
    for (const bytes of messages) {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(bytes.length);
      socket.write(Buffer.concat([length, bytes]));
    }
  });
}

type Reply = (question: Buffer, tcp: boolean) => Buffer | undefined;

/** An upstream server on a loopback address of its own, all on one port. */
async function upstream(address: string, port: number, reply: Reply): Promise<{ readonly port: number; readonly asked: Buffer[] }> {
  const asked: Buffer[] = [];
  const udp: UdpSocket = createSocket("udp4");
  udp.on("message", (question, from) => {
    asked.push(question);
    const answer = reply(question, false);
    if (answer !== undefined) udp.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve) => udp.bind(port, address, resolve));
  const found = udp.address().port;
  const tcp = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      const answer = reply(chunk.subarray(2), true);
      if (answer === undefined) return;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      socket.end(Buffer.concat([length, answer]));
    });
  });
  await new Promise<void>((resolve) => tcp.listen(found, address, resolve));
  cleanups.push(() => udp.close(), () => tcp.close());
  return { port: found, asked };
}

const answered = (question: Buffer, rcode: number, extra = 0, flags = 0x8180): Buffer => {
  const answer = Buffer.concat([question, Buffer.alloc(extra)]);
  answer.writeUInt16BE(flags | rcode, 2);
  return answer;
};

let ports = { udpPort: 0, tcpPort: 0 };
let view: DnsView;
let resolvConf = "";
let dns: Dns;

async function serve(port: number): Promise<void> {
  const given = await sockets();
  ports = given;
  dns = openDns({ signal: new AbortController().signal, resolvers: new HostResolvers(resolvConf), upstream: { port, timeoutMs: 200, rounds: 2 } });
  dns.attach(container, given.udp, given.tcp, () => view);
  cleanups.push(() => dns[Symbol.asyncDispose]());
}

beforeEach(() => {
  view = { entries: [{ name: "web", ipv4: "10.0.0.2" }, { name: "web", ipv4: "10.0.0.3" }], upstreams: [], internal: false };
  const directory = mkdtempSync(join(tmpdir(), "stack-dns-"));
  resolvConf = join(directory, "resolv.conf");
  writeFileSync(resolvConf, "nameserver 127.0.0.2\n");
  cleanups.push(() => rmSync(directory, { recursive: true }));
});

describe("the DNS server", () => {
  it("answers its own names by UDP and TCP, replicas in turn", async () => {
    await serve(1);
    const first = await askUdp(ports.udpPort, message("web", TYPE.A, { id: 1 }));
    await askUdp(ports.udpPort, message("web", TYPE.AAAA, { id: 2 }));
    const second = await askUdp(ports.udpPort, message("web", TYPE.A, { id: 3 }));
    expect([first.readUInt16BE(0), first.at(-1), second.at(-1)]).toEqual([1, 3, 2]);
    const both = await askTcp(ports.tcpPort, message("web", TYPE.A, { id: 4 }), message("nobody.localhost", TYPE.A, { id: 5 }));
    expect(both.map((m) => [m.readUInt16BE(0), rcodeOf(m), m.readUInt16BE(6)])).toEqual([[4, 0, 2], [5, 0, 1]]);
  });

  it("forwards the rest with an id of its own, and gives the asker's back", async () => {
    const server = await upstream("127.0.0.2", 0, (q) => answered(q, RCODE.NXDOMAIN));
    await serve(server.port);
    const answer = await askUdp(ports.udpPort, message("nobody.example", TYPE.A, { id: 77 }));
    expect([answer.readUInt16BE(0), rcodeOf(answer)]).toEqual([77, RCODE.NXDOMAIN]);
    for (let i = 0; i < 4; i += 1) await askUdp(ports.udpPort, message("nobody.example", TYPE.A, { id: 77 }));
    expect(server.asked.some((q) => q.readUInt16BE(0) !== 77)).toBe(true);
  });

  it("goes on to the next server when one is silent, not there or does not know", async () => {
    const silent = await upstream("127.0.0.2", 0, () => undefined);
    await upstream("127.0.0.3", silent.port, (q) => answered(q, RCODE.SERVFAIL));
    const good = await upstream("127.0.0.5", silent.port, (q) => answered(q, RCODE.NOERROR));
    writeFileSync(resolvConf, "nameserver 127.0.0.2\nnameserver 127.0.0.3\nnameserver 127.0.0.4\nnameserver 127.0.0.5\n");
    await serve(silent.port);
    expect(rcodeOf(await askUdp(ports.udpPort, message("a.example", TYPE.A)))).toBe(RCODE.NOERROR);
    expect(good.asked.length).toBe(1);
  });

  it("says SERVFAIL when nobody answers", async () => {
    const silent = await upstream("127.0.0.2", 0, () => undefined);
    await serve(silent.port);
    expect(rcodeOf(await askUdp(ports.udpPort, message("a.example", TYPE.A)))).toBe(RCODE.SERVFAIL);
    expect(silent.asked.length).toBe(2);
  });

  it("believes no forged answer", async () => {
    const server = await upstream("127.0.0.2", 0, (q) => answered(withId(q, (q.readUInt16BE(0) + 1) & 0xffff), RCODE.NOERROR));
    await serve(server.port);
    expect(rcodeOf(await askUdp(ports.udpPort, message("a.example", TYPE.A)))).toBe(RCODE.SERVFAIL);
  });

  it("passes a cut answer on as cut, and gets the whole one for who asks by TCP", async () => {
    const server = await upstream("127.0.0.2", 0, (q, tcp) => (tcp ? answered(q, 0, 3000) : answered(q, 0, 0, 0x8380)));
    await serve(server.port);
    expect(isTruncated(await askUdp(ports.udpPort, message("big.example", TYPE.A)))).toBe(true);
    const [whole] = await askTcp(ports.tcpPort, message("big.example", TYPE.A));
    expect(whole?.length).toBeGreaterThan(3000);
  });

  it("notices new resolvers, and prefers the container's own", async () => {
    const host = await upstream("127.0.0.2", 0, (q) => answered(q, RCODE.NXDOMAIN));
    const changed = await upstream("127.0.0.3", host.port, (q) => answered(q, 0));
    const own = await upstream("127.0.0.4", host.port, (q) => answered(q, 0));
    await serve(host.port);
    expect(rcodeOf(await askUdp(ports.udpPort, message("a.example", TYPE.A)))).toBe(RCODE.NXDOMAIN);
    writeFileSync(resolvConf, "nameserver 127.0.0.3 # moved\n");
    expect(rcodeOf(await askUdp(ports.udpPort, message("a.example", TYPE.A)))).toBe(RCODE.NOERROR);
    view = { ...view, upstreams: ["127.0.0.4"] };
    await askUdp(ports.udpPort, message("a.example", TYPE.A));
    expect([host.asked.length, changed.asked.length, own.asked.length]).toEqual([1, 1, 1]);
  });

  it("ends the loop of a server that asks us again: equal questions are one", async () => {
    const loop = createSocket("udp4");
    cleanups.push(() => loop.close());
    let rounds = 0;
    loop.on("message", (question) => {
      rounds += 1;
      loop.send(withId(question, rounds), ports.udpPort, "127.0.0.1");
    });
    await new Promise<void>((resolve) => loop.bind(0, "127.0.0.2", resolve));
    await serve(loop.address().port);
    expect(rcodeOf(await askUdp(ports.udpPort, message("a.example", TYPE.A)))).toBe(RCODE.SERVFAIL);
    expect(rounds).toBeLessThan(20);
  });

  it("lives on after nonsense by UDP and TCP", async () => {
    await serve(1);
    const socket = createSocket("udp4");
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(3), Buffer.alloc(600, 0xff), message("web", TYPE.A, { flags: 0x8180 })]) socket.send(bytes, ports.udpPort, "127.0.0.1");
    expect((await askTcp(ports.tcpPort, Buffer.alloc(5))).length).toBe(0);
    socket.close();
    expect(rcodeOf(await askUdp(ports.udpPort, message("web", TYPE.A)))).toBe(0);
    view = { ...view, entries: undefined as never };
    expect(rcodeOf(await askUdp(ports.udpPort, message("web", TYPE.A)))).toBe(RCODE.SERVFAIL);
  });
});
