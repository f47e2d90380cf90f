import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Docker, Firewalld, Ufw, watchRules } from "../support/firewalls.ts";
import { useMachine } from "../support/machine.ts";
import type { NetworkNamespace } from "../support/namespace.ts";
import { connectWorld, inMachine, machineAddress, worldAddress } from "../support/world.ts";

const used = useMachine({ images: true });
let world: NetworkNamespace;
let worldPort: number;
beforeAll(async () => {
  world = await connectWorld(used.current);
  worldPort = await world.listen({ port: 0, answer: "from " });
});
afterAll(async () => world.close());

const server = 'require("net").createServer((s) => s.on("error", () => {}).end("web " + s.remoteAddress)).listen(80, () => console.log("listens"))';
const ask = `require("net").connect(PORT, "${worldAddress}").on("data", (d) => process.stdout.write(d)).on("error", (e) => { console.log(e.code); process.exitCode = 1; })`;

async function up(): Promise<void> {
  const machine = used.current;
  machine.write("compose.yaml", `services:\n  web: {image: "node:20", init: true, command: [node, -e, ${JSON.stringify(server)}], ports: ["8070:80", "8071:80/udp"]}\n`);
  await machine.ok("up", "-d");
  const logs = machine.start(["logs", "-f"]);
  await logs.until("listens");
  logs.signal("SIGKILL");
  await logs.ended.catch(() => undefined);
}

/**
 * In, out, and from the machine itself. A packet that meets a filter which is being mended is sent again by the
 * kernel a second later: connecting is waiting.
 */
async function worksBothWays(when: string): Promise<void> {
  const machine = used.current;
  expect(await world.tcp({ host: machineAddress, port: 8070 }), `${when}: from outside, with the client's own address`).toBe(`web ::ffff:${worldAddress}`);
  expect(await machine.network.tcp({ port: 8070 }), `${when}: from the machine`).toMatch(/^web /);
  const out = await machine.stack("exec", "-T", "web", "node", "-e", ask.replace("PORT", String(worldPort)));
  expect(out.stdout, `${when}: the way out`).toBe(`from ${machineAddress}`);
}

afterEach(async () => {
  await used.current.ok("down", "-v", "-t", "1");
  expect(await used.current.remains()).toEqual([]);
});

describe("beside a real Docker Engine", () => {
  test("in either order, and when it starts again, both work", async () => {
    const machine = used.current;
    await using docker = new Docker(machine);
    await docker.start();
    machine.links.push("docker0");
    docker.image("box");
    docker.run("run", "-d", "--name", "theirs", "-p", "8099:80", "box", "/bin/busybox", "sh", "-c", "echo theirs > /bin/index.html; exec /bin/busybox httpd -f -p 80 -h /bin");
    const theirs = async (): Promise<string> => (await world.http(`http://${machineAddress}:8099/`)).body;
    await up();
    await worksBothWays("Docker was first");
    expect(await theirs()).toBe("theirs\n");
    inMachine(machine, ["iptables", "-F", "DOCKER-USER"]);
    await worksBothWays("somebody emptied DOCKER-USER");
    await machine.ok("down");
    expect(await theirs(), "Docker's own is as before").toBe("theirs\n");
    await docker[Symbol.asyncDispose]();

    for (const table of ["filter", "nat"]) inMachine(machine, ["sh", "-c", `nft delete table ip ${table}`]);
    await up();
    await worksBothWays("nobody filters");
    const dropping = async (): Promise<void> => {
      await docker.start();
      inMachine(machine, ["iptables", "-P", "FORWARD", "DROP"]); // as versions from 28 do; earlier ones only where nobody forwarded
    };
    await dropping();
    await worksBothWays("Docker came later");
    await docker[Symbol.asyncDispose]();
    await dropping();
    await worksBothWays("Docker started again");
  });
});

describe("beside ufw", () => {
  test("in either order, and after its reload, published ports and the way out work", async () => {
    const machine = used.current;
    using ufw = new Ufw(machine);
    ufw.run("--force", "enable");
    expect(inMachine(machine, ["iptables", "-S", "FORWARD"])).toContain("-P FORWARD DROP");
    await up();
    await worksBothWays("ufw was first");
    ufw.run("reload");
    await worksBothWays("ufw was reloaded");
    ufw.run("disable");
    await worksBothWays("ufw was switched off");
    ufw.run("--force", "enable");
    await worksBothWays("ufw came later");
  });
});

describe("beside firewalld", () => {
  test("in either order, published ports and the way out work", async () => {
    const machine = used.current;
    await using firewalld = new Firewalld(machine);
    await firewalld.start();
    await up();
    await worksBothWays("firewalld was first");
    await firewalld[Symbol.asyncDispose]();
    await worksBothWays("firewalld ended");
    await firewalld.start();
    await worksBothWays("firewalld came later");
  });
});

describe("when somebody empties nftables", () => {
  const elements = (): string => inMachine(used.current, ["nft", "list", "ruleset"]);

  test("our table and every published port's element come back, within a second, without a command", async () => {
    const machine = used.current;
    await up();
    expect(elements()).toMatch(/tcp \. 8070 : /);
    for (const flush of ["flush ruleset", `flush table inet ${/table inet (stack-\S+)/.exec(elements())?.[1] ?? ""}`]) {
      await using rules = await watchRules(machine);
      const began = performance.now();
      inMachine(machine, ["nft", flush]);
      await rules.until(/(?:add|create) element inet stack-\S+ any4 \{ tcp \. 8070/);
      expect(performance.now() - began, flush).toBeLessThan(1500);
      expect(elements()).toMatch(/udp \. 8071 : /);
      await worksBothWays(flush);
    }
  });

  test("also when the agent was dead meanwhile: whoever comes next mends it", async () => {
    const machine = used.current;
    await up();
    await using rules = await watchRules(machine);
    for (const { pid } of machine.sweep.processes().filter((p) => p.what.startsWith("stack-agent "))) process.kill(pid, "SIGKILL");
    inMachine(machine, ["nft", "flush ruleset"]);
    await rules.until(/(?:add|create) element inet stack-\S+ any4 \{ tcp \. 8070/);
    await worksBothWays("after the agent's death");
  });
});
