import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { NetworkSpec } from "../../src/runtime/formats.ts";
import { NetworkNamespace } from "../support/namespace.ts";
import { MonitorWorld } from "./monitor/container.ts";
import type { TestContainer } from "./monitor/container.ts";

let world: MonitorWorld;
let host: NetworkNamespace;
let router: NetworkNamespace;

beforeEach(async () => {
  world = new MonitorWorld();
  [host, router] = await Promise.all([NetworkNamespace.open(), NetworkNamespace.open()]);
  for (const command of ["link add br0 type bridge", "address add 10.99.0.1/24 dev br0", "link set br0 up"]) inside(router, "ip", ...command.split(" "));
});
afterEach(async () => {
  await world.dispose();
  await Promise.all([host.close(), router.close()]);
});

function inside(namespace: NetworkNamespace, ...command: string[]): string {
  const [file = "", ...args] = [...namespace.enter, ...command];
  return execFileSync(file, args, { encoding: "utf8", env: { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` } });
}

let next = 2;
function network(change: Partial<NetworkSpec> = {}): NetworkSpec {
  const last = next++;
  const address = `10.99.0.${last}`;
  return {
    mode: "private",
    router: `/proc/${router.pid}/ns/net`,
    interfaces: [{ name: "eth0", peer: `v${last}`, bridge: "br0", mac: `02:42:0a:63:00:${last.toString(16).padStart(2, "0")}`, addresses: [`${address}/24`], gateway4: "10.99.0.1", mtu: 1400 }],
    dns: false,
    ports: [],
    address4: address,
    ...change,
  };
}

function serving(script: string, change: Partial<NetworkSpec> = {}, more: object = {}): TestContainer {
  return world.container({ args: ["sh", "-c", script], enter: host.enter, spec: { network: network(change), ...more } });
}

/** Asks again until the server listens: nothing tells when it does. */
async function untilServes(container: TestContainer): Promise<void> {
  while (!(await container.request<{ connected: boolean }>("probe", { kind: "tcp", port: 80, timeoutMs: 5000 })).connected);
}

const http = "mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www";

describe("a container's network", () => {
  test("has its address, its route and its name in its own namespace, and leaves none behind", async () => {
    cpSync("/bin/busybox", `${world.rootfs}/bin/ip`);
    const container = serving("ip -o address show eth0; ip route; ip link show lo; exec sleep 1000");
    await container.started();
    await container.untilLog("lo:");
    expect(container.text()).toMatch(/inet 10\.99\.0\.\d+\/24/);
    expect(container.text()).toContain("default via 10.99.0.1 dev eth0");
    expect(container.text()).toMatch(/lo: <LOOPBACK,UP/);
    expect(inside(router, "ip", "-o", "link")).toMatch(/v\d+@.*master br0/);
    await container.request("stop");
    expect(inside(router, "ip", "-o", "link")).not.toMatch(/v\d+@/);
  });

  test("stays the same over a restart", async () => {
    const container = serving(http);
    await container.started();
    const { netns } = container.state;
    const before = inside(router, "ip", "-o", "link");
    await container.request("restart");
    expect(container.state.netns).toBe(netns);
    expect(inside(router, "ip", "-o", "link")).toBe(before);
  });

  test("can be joined by another container", async () => {
    const first = serving(http);
    await first.started();
    const second = world.container({
      args: ["sh", "-c", "exec sleep 1000"],
      enter: host.enter,
      spec: { network: { mode: "join", join: first.directory, interfaces: [], dns: false, ports: [] } },
    });
    await second.started();
    await untilServes(second);
    expect(await second.request("probe", { kind: "http", port: 80, path: "/", timeoutMs: 5000 })).toMatchObject({ connected: true, status: 200, body: "hello\n" });
    await first.request("stop");
    const third = world.container({ args: ["true"], enter: host.enter, spec: { network: { mode: "join", join: first.directory, interfaces: [], dns: false, ports: [] } } });
    expect(await third.start()).toMatchObject({ ok: false, error: { stage: "join network" } });
  });
});

describe("published ports", () => {
  test("answer on both loopback addresses, and are held while the container restarts", async () => {
    const container = serving(http, { ports: [{ hostIp: "", hostPort: 8080, containerPort: 80, protocol: "tcp" }] }, { restart: { policy: "always", firstDelayMs: 300, delayMs: 300 } });
    const { ports } = await container.started();
    expect(ports).toEqual([{ hostIp: "", hostPort: 8080, containerPort: 80, protocol: "tcp" }]);
    expect(container.state.ports).toEqual(ports);
    await container.until(() => container.state.status === "running", "it runs");
    await untilServes(container);
    for (const name of ["127.0.0.1", "[::1]"]) expect(await host.http(`http://${name}:8080/`)).toMatchObject({ status: 200, body: "hello\n" });
    const second = serving(http, { ports: [{ hostIp: "", hostPort: 8080, containerPort: 80, protocol: "tcp" }] });
    expect(await second.start()).toMatchObject({ ok: false, error: { stage: "bind port", errno: 98, path: expect.stringContaining("8080") as string } });
    expect(second.state).toMatchObject({ status: "exited", endedBy: "start-failure" });
  });

  test("a free port is chosen and told; a range is searched", async () => {
    await host.listen({ port: 9000 });
    const container = serving(http, {
      ports: [
        { hostIp: "127.0.0.1", hostPort: 0, containerPort: 80, protocol: "tcp" },
        { hostIp: "", hostPort: 0, containerPort: 80, protocol: "tcp", range: [9000, 9002] },
      ],
    });
    const { ports } = await container.started();
    expect(ports[0]?.hostPort).toBeGreaterThan(0);
    expect(ports[1]?.hostPort).toBe(9001);
    await untilServes(container);
    expect((await host.http(`http://127.0.0.1:${ports[0]?.hostPort ?? 0}/`)).body).toBe("hello\n");
  });

  test("a taken port is a failed start that leaves nothing", async () => {
    const port = await host.listen({ host: "127.0.0.1", port: 7000 });
    const container = serving(http, { ports: [{ hostIp: "", hostPort: port, containerPort: 80, protocol: "tcp" }] });
    expect(await container.start()).toMatchObject({ ok: false, error: { stage: "bind port", call: "bind", errno: 98 } });
    expect(inside(router, "ip", "-o", "link")).not.toMatch(/v\d+@/);
  });

  test("are bound again by a new monitor, the chosen free one too", async () => {
    const container = serving(http, { ports: [{ hostIp: "", hostPort: 0, containerPort: 80, protocol: "tcp" }] });
    const { ports, pid } = await container.started();
    const { monitorPid } = container.state;
    process.kill(monitorPid, "SIGKILL");
    expect(await container.start("--adopt")).toMatchObject({ ok: true, pid, ports });
    await untilServes(container);
    expect((await host.http(`http://127.0.0.1:${ports[0]?.hostPort ?? 0}/`)).body).toBe("hello\n");
  });

  test("UDP goes there and back", async () => {
    const container = serving("exec sleep 1000", { ports: [{ hostIp: "", hostPort: 5000, containerPort: 5000, protocol: "udp" }] });
    const { pid } = await container.started();
    const echo = "const s=require('dgram').createSocket('udp4');s.on('message',(m,f)=>s.send(m,f.port,f.address));s.bind(5000,()=>console.log('up'))";
    const server = spawn("nsenter", [`--net=/proc/${pid}/ns/net`, process.execPath, "-e", echo], { stdio: ["ignore", "pipe", "inherit"] });
    await once(server.stdout, "data");
    expect(await host.udp({ port: 5000, send: "ping" })).toMatchObject({ text: "ping", from: "127.0.0.1" });
    expect(await host.udp({ host: "::1", port: 5000, send: "ping6" })).toMatchObject({ text: "ping6", from: "::1" });
    server.kill();
    await once(server, "exit");
  });
});

describe("probes", () => {
  test("tell what the container's own clients would see", async () => {
    const container = serving(http);
    await container.started();
    await untilServes(container);
    expect(await container.request("probe", { kind: "tcp", port: 81, timeoutMs: 5000 })).toMatchObject({ connected: false, errno: 111 });
    expect(await container.request("probe", { kind: "http", port: 80, path: "/nothing", timeoutMs: 5000 })).toMatchObject({ connected: true, status: 404 });
    expect(await container.request("probe", { kind: "http", port: 80, path: "/\r\nX-Evil: 1", timeoutMs: 5000 })).toMatchObject({ status: 404 });
  });

  test("end after their time where nobody answers", async () => {
    const container = serving("exec nc -l -p 80");
    await container.started();
    await container.request("probe", { kind: "http", port: 80, timeoutMs: 100 }).then((reply) => {
      expect(reply).toMatchObject({ status: 0 });
    });
  });
});

describe("DNS sockets", () => {
  test("are handed out, and port 53 of 127.0.0.11 leads to them", async () => {
    cpSync("/bin/busybox", `${world.rootfs}/bin/nslookup`);
    const container = serving("exec sleep 1000", { dns: true });
    await container.started();
    const { createRequire } = await import("node:module");
    const { fileURLToPath } = await import("node:url");
    const { createSocket } = await import("node:dgram");
    const { loadAddon } = await import("../../src/native/load.ts");
    const native = loadAddon(fileURLToPath(new URL("../../dist/native/stack_native.node", import.meta.url)), (file) => createRequire(import.meta.url)(file) as unknown);
    const { reply, fds } = await native.requestDescriptors(`${container.directory}/monitor.sock`, JSON.stringify({ v: 1, op: "dns-sockets" }));
    expect(JSON.parse(reply)).toEqual({ ok: true, count: 2 });
    const server = createSocket("udp4");
    const asked = new Promise<Buffer>((resolve) => {
      server.on("message", (message, from) => {
        const answer = Buffer.from(message);
        answer[2] = 0x81;
        answer[3] = 0x83; // no such name
        server.send(answer, from.port, from.address);
        resolve(message);
      });
    });
    server.bind({ fd: fds[0] ?? -1 });
    const look = container.request<{ output: string }>("exec", { args: ["nslookup", "db", "127.0.0.11"], tty: false, stdin: false, capture: 4096, timeoutMs: 10_000 });
    expect((await asked).includes("\x02db")).toBe(true);
    expect((await look).output).toMatch(/NXDOMAIN|can't/);
    server.close();
    native.close(fds[1] ?? -1);
  });

  test("of a container without DNS there are none", async () => {
    const container = serving("exec sleep 1000");
    await container.started();
    await expect(container.request("dns-sockets")).rejects.toThrow(/no DNS/);
  });
});
