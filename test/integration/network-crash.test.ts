import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NetworkRecord } from "../../src/network/index.ts";
import { World } from "./network/world.ts";

let world: World;
beforeAll(async () => {
  world = await World.open();
  await world.outside.serve("outside", 80);
  // One that filters forwarding, so that this is among the places where we die.
  world.host.sh("iptables-nft -P FORWARD DROP");
});
afterAll(() => world.close());

const removeAll = async (): Promise<void> => {
  for (const network of await world.call<readonly NetworkRecord[]>("list")) await world.call("remove", network.id);
  await world.call("repair");
};

describe("killed at any moment", () => {
  it("while it makes the first network: the next command makes it whole", async () => {
    let places = 0;
    for (; !(await world.killedAt(places, "create", world.request("app"))); places += 1) {
      const app = await world.network("app");
      const web = await world.container(app);
      expect(web.place.ask("203.0.113.2", 80), `killed before change ${places}`).toBe("203.0.113.1 outside");
      await world.stop(web);
      await removeAll();
      expect(world.remains(), `killed before change ${places}`).toEqual([]);
    }
    expect(places).toBeGreaterThan(6);
    await removeAll();
  });

  it("while it makes the first network: removing takes everything away", async () => {
    let places = 0;
    for (; !(await world.killedAt(places, "create", world.request("app"))); places += 1) {
      await removeAll();
      expect(world.remains(), `killed before change ${places}`).toEqual([]);
      expect(world.host.run("sysctl", "-n", "net.ipv4.ip_forward").trim()).toBe("0");
    }
    await removeAll();
  });

  it("while it removes the last network: the next command ends it", async () => {
    for (let place = 0, finished = false; !finished; place += 1) {
      const { id } = await world.network("app");
      finished = await world.killedAt(place, "remove", id);
      // Without a record nobody would know that there is something to take down.
      if ((await world.call<readonly NetworkRecord[]>("list")).length === 0) expect(world.remains(), `no record, killed before change ${place}`).toEqual([]);
      await removeAll();
      expect(world.remains(), `killed before change ${place}`).toEqual([]);
      expect(world.host.run("sysctl", "-n", "net.ipv4.ip_forward").trim()).toBe("0");
    }
  });
});
