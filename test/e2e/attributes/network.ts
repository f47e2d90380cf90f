import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { service } from "./scene.ts";
import type { Scene } from "./scene.ts";

const SLEEP = "[sleep, '100000']";

/** Names, addresses, ports. */
export const network: Scene = {
  title: "networks",
  before: async (machine) => {
    machine.write("given/compose.yaml", "name: giver\nservices: {x: {image: 'debian:bookworm-slim', command: [sleep, '100000'], networks: [n]}}\nnetworks: {n: {name: given}}\n");
    await machine.ok("-f", "given/compose.yaml", "up", "-d");
  },
  after: async (machine) => {
    await machine.ok("-f", "given/compose.yaml", "down", "-t", "0");
  },
  files: {
    "compose.yaml": `services:
  web:
    image: debian:bookworm-slim
    command: ${SLEEP}
    dns: 192.0.2.53
    dns_opt: [timeout:3]
    dns_search: [example.test]
    extra_hosts: ["other:192.0.2.9", "gateway=host-gateway"]
    links: ["plain:friend"]
    external_links: ["giver-x-1:stranger"]
    mac_address: 02:42:ac:11:65:43
    networks:
      front: {aliases: [www], ipv4_address: 10.123.4.20, ipv6_address: "fd12:3456::20", link_local_ips: [169.254.8.8], interface_name: front0, priority: 10}
      back: {mac_address: "02:42:ac:11:65:44", gw_priority: 5}
      given: {}
    ports:
      - "127.0.0.1:8070:80"
      - {target: 53, published: "8071", host_ip: 127.0.0.1, protocol: udp, mode: host, name: dns, app_protocol: dns}
  plain:
    image: debian:bookworm-slim
    command: ${SLEEP}
    networks: [front, given]
  alone:
    image: debian:bookworm-slim
    command: ${SLEEP}
    network_mode: none
  same:
    image: debian:bookworm-slim
    command: ${SLEEP}
    network_mode: service:web
networks:
  front:
    name: chosen
    driver: bridge
    driver_opts: {com.docker.network.driver.mtu: "1400"}
    enable_ipv6: true
    labels: {team: red}
    ipam:
      driver: default
      config:
        - {subnet: 10.123.4.0/24, gateway: 10.123.4.9, ip_range: 10.123.4.128/25, aux_addresses: {printer: 10.123.4.128}}
        - {subnet: "fd12:3456::/64"}
  back: {}
  given: {external: true}
`,
    "closed/compose.yaml": `services:
  web: {image: "debian:bookworm-slim", command: ${SLEEP}, networks: [inner, old]}
networks:
  inner: {internal: true, enable_ipv4: false, enable_ipv6: true, ipam: {config: [{subnet: "fd12:9999::/64"}]}}
  old: {external: {name: given}}
`,
  },
  checks: [
    {
      of: service("dns", "dns_opt", "dns_search"),
      seen: "resolv.conf, and the servers that are asked for foreign names",
      look: (w) => {
        expect(w.read("web", "/etc/resolv.conf")).toMatch(/^search example\.test$/m);
        expect(w.read("web", "/etc/resolv.conf")).toMatch(/^options .*timeout:3/m);
        expect(w.container("web").record.dns).toEqual(["192.0.2.53"]);
      },
    },
    {
      of: service("extra_hosts"),
      seen: "/etc/hosts, `host-gateway` with the host's address",
      look: (w) => {
        expect(w.read("web", "/etc/hosts")).toMatch(/^192\.0\.2\.9\tother$/m);
        expect(w.read("web", "/etc/hosts")).toMatch(/^\d+\.\d+\.\d+\.\d+\tgateway$/m);
      },
    },
    {
      of: service("links", "external_links"),
      seen: "names that this container alone resolves",
      look: async (w) => {
        expect(w.container("plain").record.networks.map((n) => n.ipv4)).toContain(await w.run("web", "getent ahostsv4 friend | awk '{print $1; exit}'"));
        const stranger = w.machine.containers.find((c) => c.record.project === "giver");
        expect(await w.run("web", "getent ahostsv4 stranger | awk '{print $1; exit}'")).toBe(stranger?.record.networks[0]?.ipv4);
        expect(await w.run("plain", "getent hosts friend || echo unknown")).toBe("unknown");
      },
    },
    {
      of: service("networks", "networks.*.ipv4_address", "networks.*.ipv6_address", "networks.*.link_local_ips", "networks.*.interface_name", "networks.*.priority", "mac_address", "networks.*.mac_address"),
      seen: "interfaces, their order, names and addresses",
      look: async (w) => {
        expect(w.container("web").record.networks.map((n) => n.key)).toEqual(["front", "back", "given"]);
        expect(await w.run("web", "cat /sys/class/net/front0/address /sys/class/net/eth1/address")).toBe("02:42:ac:11:65:43\n02:42:ac:11:65:44");
        expect(await w.run("web", "cat /proc/net/fib_trie")).toMatch(/169\.254\.8\.8/);
        expect(await w.run("web", "cat /proc/net/fib_trie")).toMatch(/10\.123\.4\.20/);
        expect(await w.run("web", "cat /proc/net/if_inet6")).toMatch(/^fd123456000000000000000000000020 .* front0$/m);
      },
    },
    {
      of: service("networks.*.gw_priority"),
      seen: "the interface of the default route",
      look: async (w) => expect(await w.run("web", "awk '$2 == \"00000000\" {print $1}' /proc/net/route")).toBe("eth1"),
    },
    {
      of: service("networks.*.aliases"),
      seen: "the name that others resolve",
      look: async (w) => expect(await w.run("plain", "getent hosts www | awk '{print $1}'")).toMatch(/^(10\.123\.4\.20|fd12:3456::20)$/),
    },
    {
      of: service("network_mode"),
      seen: "no interface but the loopback one, or those of the other service",
      look: (w) => {
        expect(readFileSync(`/proc/${w.main("alone")}/net/dev`, "utf8").match(/^ *\w+(?=:)/gm)?.map((name) => name.trim())).toEqual(["lo"]);
        expect(readFileSync(`/proc/${w.main("same")}/net/dev`, "utf8")).toContain("front0:");
        expect(w.container("alone").record.networks).toEqual([]);
        expect(w.container("same").record.joins).toEqual([w.container("web").id]);
      },
    },
    {
      of: service("ports", "ports.[].target", "ports.[].published", "ports.[].host_ip", "ports.[].protocol"),
      seen: "the sockets that listen on the host",
      look: async (w) => {
        expect((await w.machine.ok("port", "web", "80")).trim()).toBe("127.0.0.1:8070");
        const tcp = (await w.machine.command(["cat", "/proc/net/tcp", "/proc/net/udp"]).ended).stdout;
        expect(tcp).toMatch(/0100007F:1F86 .* 0A /); // 127.0.0.1:8070, listening
        expect(tcp).toMatch(/0100007F:1F87 /); // 127.0.0.1:8071, UDP
      },
    },
    {
      of: ["networks", "networks.*.name", "networks.*.driver", "networks.*.labels", "networks.*.driver_opts"],
      seen: "the network's record, and the MTU in the container",
      look: async (w) => {
        const { networks } = w.container("web").record;
        expect(networks[0]).toMatchObject({ key: "front", name: "chosen" });
        expect(await w.run("web", "cat /sys/class/net/front0/mtu")).toBe("1400");
        const record = w.network("chosen");
        expect(record).toMatchObject({ driver: "bridge", labels: { team: "red" } });
      },
    },
    {
      of: ["networks.*.enable_ipv6", ...["ipam", "ipam.driver", "ipam.config", "ipam.config.[].subnet", "ipam.config.[].gateway", "ipam.config.[].ip_range", "ipam.config.[].aux_addresses"].map((n) => `networks.*.${n}`)],
      seen: "addresses of containers: out of the range, past the taken one; the gateway's",
      look: (w) => {
        expect(w.container("plain").record.networks.find((n) => n.key === "front")).toMatchObject({ ipv4: "10.123.4.129", ipv6: expect.stringMatching(/^fd12:3456::/) });
        expect(w.network("chosen")).toMatchObject({ subnet4: "10.123.4.0/24", gateway4: "10.123.4.9", subnet6: "fd12:3456::/64" });
      },
    },
    {
      of: ["networks.*.external", "networks.*.external.name", "networks.*.internal", "networks.*.enable_ipv4"],
      seen: "another project's network, in both spellings; no way out of an internal one; no IPv4 where it is off",
      look: async (w) => {
        expect(w.container("web").record.networks.find((n) => n.key === "given")?.name).toBe("given");
        const closed = ["-f", "closed/compose.yaml", "-p", "closed"];
        await w.machine.ok(...closed, "up", "-d");
        const found = w.machine.containers.find((c) => c.record.project === "closed");
        expect(found?.record.networks.find((n) => n.key === "inner")).not.toHaveProperty("ipv4");
        expect(found?.record.networks.find((n) => n.key === "old")?.name).toBe("given");
        expect(w.network("closed_inner")).toMatchObject({ internal: true });
        await w.machine.ok(...closed, "down", "-t", "0");
      },
    },
  ],
};
