import { describe, expect, test } from "vitest";
import { watchRules } from "../support/firewalls.ts";
import { useServed } from "../support/served.ts";
import { inMachine } from "../support/world.ts";

const served = useServed();

describe("when somebody empties nftables", () => {
  const elements = (): string => inMachine(served.machine, ["nft", "list", "ruleset"]);

  test("our table and every published port's element come back, within a second, without a command", async () => {
    const machine = served.machine;
    await served.up();
    expect(elements()).toMatch(/tcp \. 8070 : /);
    for (const flush of ["flush ruleset", `flush table inet ${/table inet (stack-\S+)/.exec(elements())?.[1] ?? ""}`]) {
      await using rules = await watchRules(machine);
      const began = performance.now();
      inMachine(machine, ["nft", flush]);
      await rules.until(/(?:add|create) element inet stack-\S+ any4 \{ tcp \. 8070/);
      expect(performance.now() - began, flush).toBeLessThan(1500);
      expect(elements()).toMatch(/udp \. 8071 : /);
      await served.worksBothWays(flush);
    }
  });

  test("also when the agent was dead meanwhile: whoever comes next mends it", async () => {
    const machine = served.machine;
    await served.up();
    await using rules = await watchRules(machine);
    for (const { pid } of machine.sweep.processes().filter((p) => p.what.startsWith("stack-agent "))) process.kill(pid, "SIGKILL");
    inMachine(machine, ["nft", "flush ruleset"]);
    await rules.until(/(?:add|create) element inet stack-\S+ any4 \{ tcp \. 8070/);
    await served.worksBothWays("after the agent's death");
  });
});
