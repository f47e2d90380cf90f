import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { repository, useMachine } from "../support/machine.ts";
import type { NetworkNamespace } from "../support/namespace.ts";
import { applyDockerRules, connectWorld, filterRules, machineAddress, worldAddress } from "../support/world.ts";

const used = useMachine({ images: true });
let world: NetworkNamespace;
beforeAll(async () => {
  world = await connectWorld(used.current);
});
afterAll(async () => world.close());

/** A TCP server of a few lines that says who asked and from where. */
const hello = (name: string) => `[node, -e, 'require("net").createServer((s) => s.on("error", () => {}).end("${name} " + s.remoteAddress)).listen(80)']`;
const echo = `[node, -e, 'const s = require("dgram").createSocket("udp4"); s.on("message", (m, r) => s.send("echo " + m, r.port, r.address)); s.bind(53)']`;
const ask = (host: string, port: number) => ["node", "-e", `require("net").connect(${port}, "${host}").on("data", (d) => process.stdout.write(d)).on("error", (e) => { console.log(e.code); process.exitCode = 1; })`];
const udpPort = 5353;

const file = `services:
  web:
    image: node:20
    init: true
    command: ${hello("web")}
    ports: ["8070:80", "127.0.0.1:8071:80", "[::1]:8072:80"]
    networks: {front: {aliases: [www]}, back: {}}
  many:
    image: node:20
    init: true
    command: ${hello("many")}
    ports: ["8080-8089:80"]
    networks: [front]
    scale: 2
  echo:
    image: node:20
    init: true
    command: ${echo}
    ports: ["${udpPort}:53/udp"]
    networks: [front]
  inner:
    image: node:20
    init: true
    command: ${hello("inner")}
    networks: [back]
networks:
  front:
  back: {internal: true}
`;
const exec = (service: string, argv: readonly string[]) => used.current.stack("exec", "-T", service, ...argv);

/** Until the server inside listens: its own kernel table says so. */
async function listens(service: string, port: number) {
  const wait = `const hex = ":${port.toString(16).toUpperCase().padStart(4, "0")} "; const fs = require("fs"); (function look() { if (fs.readFileSync("/proc/net/tcp6", "utf8").includes(hex) || fs.readFileSync("/proc/net/tcp", "utf8").includes(hex)) return; setImmediate(look); })()`;
  expect((await exec(service, ["node", "-e", wait])).code).toBe(0);
}

describe("networks", () => {
  test("come up with everything that they publish", async () => {
    const machine = used.current;
    machine.write("compose.yaml", file);
    await machine.ok("up", "-d");
    await machine.until("the servers run", (all) => all.length === 5 && all.every((c) => c.state?.status === "running"));
    for (const service of ["web", "inner", "many"]) await listens(service, 80);
  });

  test("published ports answer on 127.0.0.1, ::1 and from outside", async () => {
    const { network } = used.current;
    expect(await network.tcp({ port: 8070 })).toMatch(/^web /);
    expect(await network.tcp({ port: 8071 })).toMatch(/^web /);
    expect(await network.tcp({ host: "::1", port: 8072 })).toMatch(/^web /);
    expect(await network.tcp({ host: "::1", port: 8070 })).toMatch(/^web /);
    expect(await world.tcp({ host: machineAddress, port: 8070 })).toMatch(/^web /);
    await expect(world.tcp({ host: machineAddress, port: 8071 }), "published on loopback only").rejects.toThrow();
  });

  test("a client from outside is seen with its own address", async () => {
    expect(await world.tcp({ host: machineAddress, port: 8070 })).toMatch(new RegExp(`${worldAddress}$`));
  });

  test("UDP is published too", async () => {
    expect((await used.current.network.udp({ port: udpPort, send: "a" })).text).toBe("echo a");
    expect(await world.udp({ host: machineAddress, port: udpPort, send: "b" })).toEqual({ text: "echo b", from: machineAddress });
  });

  test("a range of host ports gives each replica a free one", async () => {
    const machine = used.current;
    const addresses = [await machine.ok("port", "--index", "1", "many", "80"), await machine.ok("port", "--index", "2", "many", "80")];
    const ports = addresses.map((a) => Number(/^0\.0\.0\.0:(808\d)\n$/.exec(a)?.[1]));
    expect(new Set(ports).size).toBe(2);
    for (const port of ports) expect(await machine.network.tcp({ port })).toMatch(/^many /);
  });

  test("services find each other by name and alias, on the networks that they share alone", async () => {
    expect((await exec("echo", ask("web", 80))).stdout).toMatch(/^web /);
    expect((await exec("echo", ask("www", 80))).stdout).toMatch(/^web /);
    expect((await exec("web", ask("inner", 80))).stdout).toMatch(/^inner /);
    expect((await exec("echo", ask("inner", 80))).stdout).toMatch(/ENOTFOUND|EAI_AGAIN/);
  });

  test("a container reaches a published port through the host's address", async () => {
    expect((await exec("echo", ask(machineAddress, 8070))).stdout).toMatch(/^web /);
  });

  test("what leaves has the machine's address; an internal network has no way out", async () => {
    const port = await world.listen({ port: 0, answer: "from " });
    expect((await exec("web", ask(worldAddress, port))).stdout).toBe(`from ::ffff:${machineAddress}`.replace("::ffff:", ""));
    expect((await exec("inner", ask(worldAddress, port))).stdout).toMatch(/ENETUNREACH|EHOSTUNREACH|ETIMEDOUT/);
    await world.unlisten(port);
  });

  test("nobody outside reaches 127.0.0.1 of this machine by the way of our rules", async () => {
    const port = await used.current.network.listen({ host: "127.0.0.1", port: 0, answer: "private" });
    await expect(world.tcp({ host: machineAddress, port })).rejects.toThrow(/ECONNREFUSED/);
    await used.current.network.unlisten(port);
  });

  test("a DNS server on port 53 of the host and one inside a container are in nobody's way", async () => {
    const machine = used.current;
    const port = await machine.network.listen({ port: 53 });
    expect(port).toBe(53);
    expect((await exec("echo", ask("web", 80))).stdout).toMatch(/^web /); // echo itself holds 53/udp
    await machine.network.unlisten(53);
  });

  test("go with `down`, every rule of theirs too", async () => {
    const machine = used.current;
    await machine.ok("down");
    expect(await machine.remains()).toEqual([]);
  });
});

describe("beside Docker, whose policy drops what is forwarded", () => {
  test("containers get out and are reached, and Docker's rules are as before afterwards", async () => {
    const machine = used.current;
    applyDockerRules(machine);
    const before = filterRules(machine);
    expect(before).toContain(":FORWARD DROP");
    await machine.ok("up", "-d");
    await listens("web", 80);
    const port = await world.listen({ port: 0, answer: "from " });
    expect((await exec("web", ask(worldAddress, port))).stdout).toContain("from ");
    expect(await world.tcp({ host: machineAddress, port: 8070 })).toMatch(/^web /);
    expect(await machine.network.tcp({ port: 8070 })).toMatch(/^web /);
    expect((await exec("echo", ask("web", 80))).stdout).toMatch(/^web /);
    await machine.ok("down");
    expect(filterRules(machine)).toBe(before);
    await world.unlisten(port);
    expect(await machine.remains()).toEqual([]);
  });
});

describe("with nothing in PATH but node", () => {
  test("everything works: no program of the host is called", async () => {
    const machine = used.current;
    const bin = join(machine.scratch, "bin");
    mkdirSync(bin);
    symlinkSync(process.execPath, join(bin, "node"));
    const env = { PATH: bin };
    const stack = async (...args: string[]) => {
      const result = await machine.command([process.execPath, join(repository, "dist/stack.js"), ...args], { env }).ended;
      expect(result.code, result.output).toBe(0);
      return result.stdout;
    };
    await stack("up", "-d");
    await listens("web", 80);
    expect(await machine.network.tcp({ port: 8070 })).toMatch(/^web /);
    expect(await stack("exec", "-T", "echo", ...ask("web", 80))).toMatch(/^web /);
    expect(readFileSync(join(machine.containers[0]!.directory, "container.json"), "utf8")).toContain('"echo"');
    await stack("down", "-v");
    expect(await machine.remains()).toEqual([]);
  });
});

describe("modes", () => {
  afterEach(async () => {
    await used.current.stack("down", "-v", "-t", "1");
  });

  test("none has only loopback, host has the host's links, service:x has those of x", async () => {
    const machine = used.current;
    machine.write(
      "compose.yaml",
      `services:
  base: {image: "node:20", init: true, command: ${hello("base")}}
  joined: {image: "busybox:1", network_mode: "service:base", command: [sleep, "1000"]}
  alone: {image: "busybox:1", network_mode: none, command: [sleep, "1000"]}
  host: {image: "busybox:1", network_mode: host, command: [sleep, "1000"]}
`,
    );
    await machine.ok("up", "-d");
    await listens("base", 80);
    expect((await exec("alone", ["ls", "/sys/class/net"])).stdout.trim()).toBe("lo");
    expect((await exec("host", ["ls", "/sys/class/net"])).stdout).toContain("cable");
    expect((await exec("joined", ["nc", "127.0.0.1", "80"])).stdout).toMatch(/^base /);
    expect((await exec("joined", ["hostname"])).stdout).toBe((await exec("base", ["hostname"])).stdout);
    await machine.ok("down");
    expect(await machine.remains()).toEqual([]);
  });

  test("two projects share an external network and an external volume", async () => {
    const machine = used.current;
    machine.write("owner.yaml", `services:\n  a: {image: "node:20", init: true, command: ${hello("a")}, networks: [shared], volumes: ["data:/data"]}\nnetworks: {shared: {name: meeting}}\nvolumes: {data: {name: common}}\n`);
    machine.write("guest.yaml", `services:\n  b: {image: "node:20", init: true, command: ${hello("b")}, networks: [shared], volumes: ["data:/data"]}\nnetworks: {shared: {name: meeting, external: true}}\nvolumes: {data: {name: common, external: true}}\n`);
    const early = await machine.stack("-p", "guest", "-f", "guest.yaml", "up", "-d");
    expect(early.code).not.toBe(0);
    expect(early.stderr).toContain("meeting");
    await machine.ok("-p", "owner", "-f", "owner.yaml", "up", "-d");
    await machine.ok("-p", "guest", "-f", "guest.yaml", "up", "-d");
    await machine.ok("-p", "owner", "-f", "owner.yaml", "exec", "-T", "a", "sh", "-c", "echo written > /data/by-a");
    expect(await machine.ok("-p", "guest", "-f", "guest.yaml", "exec", "-T", "b", "cat", "/data/by-a")).toBe("written\n");
    expect(await machine.ok("-p", "guest", "-f", "guest.yaml", "exec", "-T", "b", ...ask("a", 80))).toMatch(/^a /);
    await machine.ok("-p", "guest", "-f", "guest.yaml", "down", "-v");
    expect(machine.containers.map((c) => c.record.name)).toEqual(["owner-a-1"]);
    await machine.ok("-p", "owner", "-f", "owner.yaml", "down", "-v");
    expect(await machine.remains()).toEqual([]);
  });
});
