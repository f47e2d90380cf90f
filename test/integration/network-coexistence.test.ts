import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ContainerId } from "../../src/core/index.ts";
import type { NetworkRecord } from "../../src/network/index.ts";
import type { Container } from "./network/world.ts";
import { RoomError, World } from "./network/world.ts";

let world: World;
let app: NetworkRecord;
let web: Container;

beforeAll(async () => {
  world = await World.open();
  await world.outside.serve("outside", 80);
});
afterAll(() => world.close());

beforeEach(async () => {
  app = await world.network("app");
  web = await world.container(app);
  await web.place.serve("web", 80);
});
afterEach(async () => {
  await world.stop(web);
  for (const network of await world.call<readonly NetworkRecord[]>("list")) await world.call("remove", network.id);
  world.host.sh("nft flush ruleset; iptables-legacy -P FORWARD ACCEPT; iptables-legacy -F; iptables-legacy -X; sysctl -qw net.ipv4.ip_forward=0");
  expect(world.remains()).toEqual([]);
});

const out = (): string => web.place.ask("203.0.113.2", 80);
const through = "203.0.113.1 outside";
const repair = (): Promise<readonly string[]> => world.call("repair");
const warnings = (): Promise<readonly string[]> => world.call("warnings");
const published = async (): Promise<string> => {
  world.probe("publish", await world.call<string>("natTable"), "tcp", "any", "8080", web.ip, "80");
  return world.outside.ask("203.0.113.1", 8080);
};

describe("other people's filters", () => {
  it("Docker's: policy drop, its own chains; our two rules are in DOCKER-USER, and back after a restart of Docker", async () => {
    const docker = "iptables-nft -N DOCKER-USER; iptables-nft -N DOCKER-FORWARD; iptables-nft -A FORWARD -j DOCKER-USER; iptables-nft -A FORWARD -j DOCKER-FORWARD; iptables-nft -A DOCKER-USER -j RETURN; iptables-nft -P FORWARD DROP";
    world.host.sh(docker);
    expect(out()).toBe("silence");
    expect((await repair()).join()).toContain("ip filter DOCKER-USER");
    expect(out()).toBe(through);
    expect(await published()).toBe("203.0.113.2 web");
    expect(await repair()).toEqual([]);
    const listed = world.host.run("iptables-nft", "-S").split("\n").filter((l) => l.includes("stk"));
    expect(listed.map((l) => l.replace(/stk\w+/, "LINK")).sort()).toEqual(["-A DOCKER-USER -i LINK -j ACCEPT", "-A DOCKER-USER -o LINK -j ACCEPT"]);
    world.host.sh("iptables-nft -F; iptables-nft -X; " + docker);
    expect(out()).toBe("silence");
    await repair();
    expect(out()).toBe(through);
  });

  it("ufw's: policy drop on FORWARD, in iptables and ip6tables", async () => {
    world.host.sh("iptables-nft -P FORWARD DROP; ip6tables-nft -P FORWARD DROP");
    await repair();
    expect(out()).toBe(through);
    expect(await published()).toBe("203.0.113.2 web");
    world.host.sh("iptables-nft -F FORWARD");
    expect((await repair()).join()).toContain("ip filter FORWARD");
    expect(out()).toBe(through);
  });

  it("the old iptables' (legacy): the same, with everything else of the table as it was", async () => {
    const before = "iptables-legacy -N DOCKER; iptables-legacy -N DOCKER-USER; iptables-legacy -A FORWARD -j DOCKER-USER; iptables-legacy -A FORWARD -o docker0 -j DOCKER; iptables-legacy -A DOCKER -p tcp -m tcp --dport 80 -j ACCEPT; iptables-legacy -A DOCKER-USER -j RETURN; iptables-legacy -A INPUT -i lo -j ACCEPT; iptables-legacy -P FORWARD DROP; iptables-legacy -A OUTPUT -d 203.0.113.2 -j ACCEPT";
    world.host.sh(before);
    expect(world.host.ask("203.0.113.2", 80)).toBe("203.0.113.1 outside");
    expect(out()).toBe("silence");
    const rules = (): readonly string[] => world.host.run("iptables-legacy", "-S").trim().split("\n");
    const counted = (): string | undefined => /\[(\d+:\d+)\] -A OUTPUT/.exec(world.host.run("iptables-legacy-save", "-c", "-t", "filter"))?.[1];
    const [theirs, packets] = [rules(), counted()];
    expect((await repair()).join()).toContain("legacy");
    expect(out()).toBe(through);
    expect(await repair()).toEqual([]);
    const ours = rules().filter((r) => r.includes("stk")).map((r) => r.replace(/stk\w+/, "LINK"));
    expect(ours.sort()).toEqual(["-A DOCKER-USER -i LINK -j ACCEPT", "-A DOCKER-USER -o LINK -j ACCEPT"]);
    expect(rules().filter((r) => !r.includes("stk"))).toEqual(theirs);
    expect(counted()).toBe(packets);
    world.host.sh("iptables-legacy -F DOCKER-USER; iptables-legacy -F FORWARD; iptables-legacy -X DOCKER-USER");
    await repair();
    expect(out()).toBe(through);
    await world.stop(web);
    await world.call("remove", app.id);
    expect(rules().join()).not.toContain("stk");
    app = await world.network("app");
    web = await world.container(app);
  });

  it("firewalld's: an inet table that rejects at its end", async () => {
    world.host.sh(`nft -f - <<'X'
table inet firewalld {
  chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept; ct state { established, related } accept; reject with icmpx admin-prohibited; }
}
X`);
    expect(out()).not.toBe(through);
    expect((await repair()).join()).toContain("inet firewalld filter_FORWARD");
    expect(out()).toBe(through);
  });

  it("a rule set of the user's own is not touched, but told", async () => {
    world.host.sh("nft add table inet mine; nft 'add chain inet mine fw { type filter hook forward priority 0; policy drop; }'");
    expect(await repair()).toEqual([]);
    expect(await warnings()).toEqual([expect.stringMatching(/inet mine fw.*nft insert rule inet mine fw iifname stk/)]);
    expect(out()).toBe("silence");
    world.host.sh("nft delete table inet mine");
    await repair();
    expect(await warnings()).toEqual([]);
  });

  it("a filter that appears or reloads while a stack runs is noticed, and passed", async () => {
    const mended = await world.mendedAfter(() => world.host.sh("iptables-nft -P FORWARD DROP"));
    expect(mended).toEqual(["forwarding through ip filter FORWARD"]);
    expect(out()).toBe(through);
    expect(await world.mendedAfter(() => world.host.sh("iptables-nft -F FORWARD"))).toHaveLength(1);
    expect(out()).toBe(through);
  });

  it("where the filters let us through nothing is added", async () => {
    world.host.sh("iptables-nft -A FORWARD -i eth0 -o eth0 -j DROP");
    expect(await repair()).toEqual([]);
    expect(world.host.run("iptables-nft", "-S")).not.toContain("stk");
  });
});

describe("repair", () => {
  const breakages: readonly (readonly [string, () => void])[] = [
    ["a deleted bridge, with a container on it", () => router(`ip link delete ${app.bridge}`)],
    ["a bridge without its gateway", () => router(`ip addr flush dev ${app.bridge}`)],
    ["a deleted uplink", () => world.host.sh("ip link delete $(ip -o link | grep -o 'stk[0-9a-f]*' | head -1)")],
    ["the host's route", () => world.host.sh(`ip route delete ${app.subnet4 ?? ""}`)],
    ["the router's way out", () => router("ip route delete default")],
    ["the host's nftables flushed", () => world.host.sh("nft flush ruleset")],
    ["the router's nftables flushed", () => router("nft flush ruleset")],
    ["forwarding switched off", () => world.host.sh("sysctl -qw net.ipv4.ip_forward=0")],
    ["links set down", () => world.host.sh("ip link set $(ip -o link | grep -o 'stk[0-9a-f]*' | head -1) down")],
  ];
  const router = (script: string): string => world.host.run("nsenter", `--net=${join(world.root, "netns/router")}`, "--", "sh", "-ec", script);

  it.each(breakages)("mends %s, and says so", async (_what, damage) => {
    const whole = [through, `${app.gateway4 ?? ""} web`];
    const now = (): readonly string[] => [out(), world.host.ask(web.ip, 80)];
    damage();
    expect(now()).not.toEqual(whole);
    expect(await repair()).not.toEqual([]);
    // Who found no neighbour meanwhile remembers that for some seconds.
    web.place.sh("ip neigh flush all");
    router("ip neigh flush all");
    expect(now()).toEqual(whole);
    expect(await repair()).toEqual([]);
  });

  it("removes a bridge whose network has gone", async () => {
    router("ip link add br-00000000dead type bridge");
    expect(await repair()).toEqual(["bridge br-00000000dead of no network"]);
    expect(router("ip -o link")).not.toContain("br-00000000dead");
  });

  it("makes everything again after a restart of the machine", async () => {
    await world.call("removeNetns", join(world.root, "netns/router"));
    // The kernel takes the uplink away with the namespace, when it comes to it: perhaps before us, perhaps while we do.
    world.host.sh("link=$(ip -o link | grep -o 'stk[0-9a-f]*' | head -1); [ -z \"$link\" ] || ip link delete \"$link\" || ! ip link show \"$link\"; nft flush ruleset");
    await web.place.close();
    const other = await world.container(app); // connecting alone notices
    expect(other.place.ask("203.0.113.2", 80)).toBe(through);
    await world.stop(other);
  });

  it("without records takes away what a crash left", async () => {
    const { rmSync } = await import("node:fs");
    rmSync(join(world.root, "networks"), { recursive: true });
    rmSync(join(world.root, "netns/router.json"));
    await repair();
    expect(world.remains()).toEqual([]);
    expect(existsSync(join(world.root, "netns/router"))).toBe(false);
  });
});

describe("the end", () => {
  it("a network in use is not removed, and the message names who uses it", async () => {
    await expect(world.call("remove", app.id)).rejects.toMatchObject({ code: "network-in-use", message: expect.stringContaining("app") as string });
  });

  it("everything goes with the last network, and forwarding back to what it was", async () => {
    world.host.sh("iptables-nft -P FORWARD DROP");
    await repair();
    await world.stop(web);
    await world.call("remove", app.id);
    await world.call("remove", app.id);
    expect(world.remains()).toEqual([]);
    expect(world.host.run("sysctl", "-n", "net.ipv4.ip_forward").trim()).toBe("0");
    app = await world.network("app");
    web = await world.container(app);
  });

  it("forwarding stays where somebody else needs it by now", async () => {
    world.host.sh("ip link add docker0 type bridge");
    await world.stop(web);
    await world.call("remove", app.id);
    expect(world.host.run("sysctl", "-n", "net.ipv4.ip_forward").trim()).toBe("1");
    world.host.sh("ip link delete docker0; sysctl -qw net.ipv4.ip_forward=0");
    app = await world.network("app");
    web = await world.container(app);
  });
});

describe("addresses", () => {
  const young = "d".repeat(64) as ContainerId;
  const spare = "f".repeat(64) as ContainerId;

  it("new networks avoid what the host routes and what other data roots have", async () => {
    world.host.sh("ip route add 172.18.0.0/15 via 203.0.113.2; ip addr add 172.20.5.1/24 dev lan0");
    const second = await world.network("second");
    const elsewhere = join(world.scratch, "root2");
    const third = await world.network("third", {}, elsewhere);
    expect([app.subnet4, second.subnet4, third.subnet4]).toEqual(["172.17.0.0/16", "172.21.0.0/16", "172.22.0.0/16"]);
    const foreign = await world.container(third, elsewhere);
    await foreign.place.serve("foreign", 80);
    expect(web.place.ask(foreign.ip, 80)).toBe("silence");
    expect(foreign.place.ask("203.0.113.2", 80)).toBe(through);
    world.probe("publish", await world.in<string>(elsewhere, "natTable"), "tcp", "any", "9090", foreign.ip, "80");
    expect(web.place.ask("203.0.113.1", 9090)).toMatch(/ foreign$/);
    await world.stop(foreign, elsewhere);
    await world.in(elsewhere, "remove", third.id);
    expect(out()).toBe(through);
    world.host.sh("ip route delete 172.18.0.0/15; ip addr delete 172.20.5.1/24 dev lan0");
  });

  it("a subnet that the host routes already is refused, and nothing is left of the attempt", async () => {
    world.host.sh("ip route add 10.77.0.0/24 via 203.0.113.2");
    const refused = world.network("clash", { ipam: [{ subnet: "10.77.0.0/24", auxAddresses: {} }] });
    await expect(refused).rejects.toThrow(/clash.*10\.77\.0\.0\/24.*eth0/);
    await expect(refused).rejects.toBeInstanceOf(RoomError);
    expect((await world.call<readonly NetworkRecord[]>("list")).map((n) => n.name)).toEqual(["app"]);
    world.host.sh("ip route delete 10.77.0.0/24");
    expect(out()).toBe(through);
  });

  it("are given once, however many ask at the same time, and come back when given up", async () => {
    const ids = Array.from({ length: 40 }, (_, i) => (1000 + i).toString(16).padStart(64, "0") as ContainerId);
    const got = await Promise.all(ids.map((container) => world.connect({ network: app.id, container })));
    const ips = got.map(([c]) => c?.endpoint.ipv4);
    expect(new Set(ips).size).toBe(40);
    const again = await world.connect({ network: app.id, container: ids[0] ?? young });
    expect(again[0]?.endpoint.ipv4).toBe(ips[0]);
    await world.call("disconnect", ids[5]);
    const [next] = await world.connect({ network: app.id, container: spare });
    expect(next?.endpoint.ipv4).toBe(ips[5]);
    await expect(world.connect({ network: app.id, container: young, ipv4: ips[7] ?? "" })).rejects.toMatchObject({ code: "address-taken" });
    for (const id of [...ids, spare]) await world.call("disconnect", id);
  });

  it("of a container that is just being made are not swept away", async () => {
    await world.connect({ network: app.id, container: young });
    await world.call("sweep", [web.id]);
    expect(Object.keys((await world.call<NetworkRecord>("find", "app")).endpoints).sort()).toEqual([web.id, young].sort());
    await world.call("disconnect", young);
  });
});

describe("the way to DNS inside a container", () => {
  it("leads 127.0.0.11:53 to our ports by UDP and TCP, and needs no port 53 of its own", async () => {
    await web.place.serve("own", 53, { udp: true, address: "0.0.0.0" });
    await web.place.serve("own", 53, { address: "0.0.0.0" });
    await web.place.serve("stack", 40053, { udp: true, address: "127.0.0.11" });
    await web.place.serve("stack", 40054, { address: "127.0.0.11" });
    expect(web.place.ask("127.0.0.11", 53)).toBe("127.0.0.1 own");
    world.probe("redirect-dns", web.place.netns, "40053", "40054");
    expect(web.place.ask("127.0.0.11", 53, "udp")).toBe("127.0.0.1 stack");
    expect(web.place.ask("127.0.0.11", 53)).toBe("127.0.0.1 stack");
    expect(web.place.ask("127.0.0.1", 53, "udp")).toBe("127.0.0.1 own");
    expect(web.place.ask(web.ip, 53)).toBe(`${web.ip} own`);
  });

  it("passes a strict firewall of the container's own", async () => {
    await web.place.serve("stack", 40053, { udp: true, address: "127.0.0.11" });
    await web.place.serve("stack", 40054, { address: "127.0.0.11" });
    world.probe("redirect-dns", web.place.netns, "40053", "40054");
    web.place.sh("iptables-nft -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT; iptables-nft -A INPUT -m conntrack --ctstate INVALID -j DROP; iptables-nft -A INPUT -i lo -m conntrack --ctstate NEW -j ACCEPT; iptables-nft -P INPUT DROP; iptables-nft -t nat -A POSTROUTING -j MASQUERADE");
    expect(web.place.ask("127.0.0.11", 53, "udp")).toMatch(/ stack$/);
    expect(web.place.ask("127.0.0.11", 53)).toMatch(/ stack$/);
  });
});
