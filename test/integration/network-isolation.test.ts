import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NetworkRecord } from "../../src/network/index.ts";
import type { Container } from "./network/world.ts";
import { World } from "./network/world.ts";

let world: World;
let front: NetworkRecord;
let back: NetworkRecord;
let vault: NetworkRecord;
let six: NetworkRecord;
let web: Container;
let api: Container;
let db: Container;
let safe: Container;
let locked: Container;
let modern: Container;

beforeAll(async () => {
  world = await World.open();
  front = await world.network("front");
  back = await world.network("back");
  vault = await world.network("vault", { internal: true });
  six = await world.network("six", { enableIpv6: true });
  [web, api, db, safe, locked, modern] = [
    await world.container(front), await world.container(front), await world.container(back),
    await world.container(vault), await world.container(vault), await world.container(six),
  ];
  for (const [name, { place }] of Object.entries({ web, api, db, safe, locked, modern })) await place.serve(name, 80);
  await world.outside.serve("outside", 80);
  await world.lan.serve("lan", 80);
  await world.outside.serve("outside", 81, { udp: true });
  await world.host.serve("host", 90);
});
afterAll(() => world.close());

describe("who reaches whom", () => {
  it("containers of one network reach each other, and see who is there", () => {
    expect(web.place.ask(api.ip, 80)).toBe(`${web.ip} api`);
    expect(safe.place.ask(locked.ip, 80)).toBe(`${safe.ip} locked`);
  });

  it("networks do not see each other", () => {
    expect(web.place.ask(db.ip, 80)).toBe("silence");
    expect(db.place.ask(web.ip, 80)).toBe("silence");
    expect(web.place.ask(safe.ip, 80)).toBe("silence");
  });

  it("the way out goes by the host's address, TCP and UDP", () => {
    expect(web.place.ask("203.0.113.2", 80)).toBe("203.0.113.1 outside");
    expect(web.place.ask("203.0.113.2", 81, "udp")).toBe("203.0.113.1 outside");
  });

  it("IPv6 has the same way out", () => {
    expect(modern.place.ask("2001:db8::2", 80)).toBe("2001:db8::1 outside");
    expect(modern.place.ask("203.0.113.2", 80)).toBe("203.0.113.1 outside");
  });

  it("the host reaches every container by its address, and shows the gateway's", () => {
    expect(world.host.ask(web.ip, 80)).toBe(`${front.gateway4 ?? ""} web`);
    expect(world.host.ask(safe.ip, 80)).toBe(`${vault.gateway4 ?? ""} safe`);
    expect(world.host.ask(modern.endpoint.ipv6 ?? "", 80)).toBe(`${six.gateway6 ?? ""} modern`);
  });

  it("a container reaches the host by its gateway and by the host's addresses", async () => {
    expect(web.place.ask(front.gateway4 ?? "", 90)).toBe(`${web.ip} host`);
    expect(web.place.ask("203.0.113.1", 90)).toBe(`${web.ip} host`);
    expect(web.place.ask(await world.call<string>("hostAddress"), 90)).toBe(`${web.ip} host`);
  });

  it("an internal network has no way out, not even with a route, and none to the host", () => {
    expect(safe.place.ask("203.0.113.2", 80)).toBe("Network is unreachable");
    safe.place.sh(`ip route add default via ${vault.gateway4 ?? ""}`);
    expect(safe.place.ask("203.0.113.2", 80)).toBe("silence");
    expect(safe.place.ask("203.0.113.1", 90)).toBe("silence");
    expect(safe.place.ask(vault.gateway4 ?? "", 90)).toBe("refused");
    expect(safe.place.ask(web.ip, 80)).toBe("silence");
  });

  it("the outside reaches no container that publishes nothing, even if it knows the way", () => {
    for (const subnet of [front.subnet4, vault.subnet4]) world.outside.sh(`ip route add ${subnet ?? ""} via 203.0.113.1`);
    expect(world.outside.ask(web.ip, 80)).toBe("silence");
    expect(world.outside.ask(safe.ip, 80)).toBe("silence");
  });

  it("forwarding that we switched on makes no router of the host", () => {
    expect(world.host.run("sysctl", "-n", "net.ipv4.ip_forward").trim()).toBe("1");
    world.outside.sh("ip route add 198.51.100.0/24 via 203.0.113.1");
    expect(world.outside.ask("198.51.100.2", 80)).toBe("silence");
    expect(web.place.ask("198.51.100.2", 80)).toBe("198.51.100.1 lan");
    expect(world.host.ask("198.51.100.2", 80)).toBe("198.51.100.1 lan");
  });
});

describe("published ports", () => {
  let table = "";
  beforeAll(async () => {
    table = await world.call<string>("natTable");
    await api.place.serve("api-udp", 53, { udp: true });
    world.probe("publish", table, "tcp", "any", "8080", api.ip, "80", "udp", "any", "5353", api.ip, "53", "tcp", "203.0.113.1", "8081", db.ip, "80");
  });

  it("are reached from outside, with the client's own address", () => {
    expect(world.outside.ask("203.0.113.1", 8080)).toBe("203.0.113.2 api");
    expect(world.outside.ask("203.0.113.1", 5353, "udp")).toBe("203.0.113.2 api-udp");
    expect(world.outside.ask("203.0.113.1", 8081)).toBe("203.0.113.2 db");
  });

  it("are reached from containers: of the same network, of another, and from the very one", () => {
    expect(web.place.ask("203.0.113.1", 8080)).toBe(`${front.gateway4 ?? ""} api`);
    expect(api.place.ask("203.0.113.1", 8080)).toBe(`${front.gateway4 ?? ""} api`);
    expect(db.place.ask("203.0.113.1", 8080)).toBe(`${front.gateway4 ?? ""} api`);
    expect(web.place.ask(front.gateway4 ?? "", 8080)).toBe(`${front.gateway4 ?? ""} api`);
    expect(web.place.ask("203.0.113.1", 8081)).toBe(`${back.gateway4 ?? ""} db`);
  });

  it("can be taken over from a monitor that was killed, and go idempotently", () => {
    world.probe("publish", table, "tcp", "any", "8080", web.ip, "80");
    expect(world.outside.ask("203.0.113.1", 8080)).toBe("203.0.113.2 web");
    for (let i = 0; i < 2; i += 1) world.probe("unpublish", table, "tcp", "any", "8080", web.ip, "80", "tcp", "any", "1", web.ip, "1", "udp", "any", "5353", api.ip, "53");
    expect(world.outside.ask("203.0.113.1", 8080)).toBe("refused");
    expect(world.outside.ask("203.0.113.1", 8081)).toBe("203.0.113.2 db");
    world.probe("forget-udp", "5353");
    expect(world.outside.ask("203.0.113.1", 5353, "udp")).toBe("refused");
    world.probe("unpublish", "stack-nosuch", "tcp", "any", "8080", web.ip, "80");
  });
});
