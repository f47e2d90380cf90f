import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { useMachine } from "./machine.ts";
import type { Machine } from "./machine.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { connectWorld, machineAddress, worldAddress } from "./world.ts";

const server = 'require("net").createServer((s) => s.on("error", () => {}).end("web " + s.remoteAddress)).listen(80, () => console.log("listens"))';
const ask = `require("net").connect(PORT, "${worldAddress}").on("data", (d) => process.stdout.write(d)).on("error", (e) => { console.log(e.code); process.exitCode = 1; })`;

/** A machine with a world outside, and a stack that publishes a port and asks the world: taken down after each test. */
export interface Served {
  readonly machine: Machine;
  readonly world: NetworkNamespace;
  /** Until the server listens. */
  up(): Promise<void>;
  /**
   * In, out, and from the machine itself. A packet that meets a filter which is being mended is sent again by the
   * kernel a second later: connecting is waiting.
   */
  worksBothWays(when: string): Promise<void>;
}

export function useServed(): Served {
  const used = useMachine({ images: true });
  let world: NetworkNamespace | undefined;
  let worldPort = 0;
  beforeAll(async () => {
    world = await connectWorld(used.current);
    worldPort = await world.listen({ port: 0, answer: "from " });
  });
  afterAll(async () => world?.close());
  afterEach(async () => {
    await used.current.ok("down", "-v", "-t", "1");
    expect(await used.current.remains()).toEqual([]);
  });
  return {
    get machine() {
      return used.current;
    },
    get world() {
      if (world === undefined) throw new Error("the world is there only while a test runs");
      return world;
    },
    async up() {
      const machine = used.current;
      machine.write("compose.yaml", `services:\n  web: {image: "node:20", init: true, command: [node, -e, ${JSON.stringify(server)}], ports: ["8070:80", "8071:80/udp"]}\n`);
      await machine.ok("up", "-d");
      const logs = machine.start(["logs", "-f"]);
      await logs.until("listens");
      logs.signal("SIGKILL");
      await logs.ended.catch(() => undefined);
    },
    async worksBothWays(when) {
      const machine = used.current;
      expect(await this.world.tcp({ host: machineAddress, port: 8070 }), `${when}: from outside, with the client's own address`).toBe(`web ::ffff:${worldAddress}`);
      expect(await machine.network.tcp({ port: 8070 }), `${when}: from the machine`).toMatch(/^web /);
      const out = await machine.stack("exec", "-T", "web", "node", "-e", ask.replace("PORT", String(worldPort)));
      expect(out.stdout, `${when}: the way out`).toBe(`from ${machineAddress}`);
    },
  };
}
