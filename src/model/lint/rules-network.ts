import { isIPv4 } from "../addresses.ts";
import { child, childItems, childMap, childString, stringOf } from "../tree.ts";
import type { MapNode } from "../tree.ts";
import { knownImage } from "./known-images.ts";
import { portsOf, replicasOf } from "./rules-ports.ts";
import { pairsOf } from "./rules-secrets.ts";
import type { LintInput, LintRule, LintService, Tell } from "./rule.ts";

/** How services find each other. */
export const networkRules: readonly LintRule[] = [
  {
    id: "static-address",
    level: "error",
    summary: "a fixed address outside its network's subnet, on a network without one, or wanted twice",
    why: "The container cannot start: the address is not to be had.",
    bad: "services:\n  web:\n    image: nginx:1.27\n    networks:\n      back: {ipv4_address: 10.9.0.5}\nnetworks:\n  back:\n    ipam:\n      config: [{subnet: 10.8.0.0/24}]\n",
    good: "services:\n  web:\n    image: nginx:1.27\n    networks:\n      back: {ipv4_address: 10.8.0.5}\nnetworks:\n  back:\n    ipam:\n      config: [{subnet: 10.8.0.0/24}]\n",
    check: checkAddresses,
  },
  {
    id: "localhost-dependency",
    level: "warning",
    summary: "localhost in a variable of one service where another service listens on that port",
    why: "localhost in a container is the container itself: the connection is refused.",
    bad: "services:\n  app:\n    image: ghcr.io/example/app:1\n    environment:\n      CACHE_URL: redis://localhost:6379\n  cache:\n    image: redis:7.4\n",
    good: "services:\n  app:\n    image: ghcr.io/example/app:1\n    environment:\n      CACHE_URL: redis://cache:6379\n  cache:\n    image: redis:7.4\n",
    check: (input, tell) => {
      for (const service of input.services) {
        if (service.node.entries.has("network_mode")) continue;
        for (const { key, value, at } of pairsOf(service.node.entries.get("environment"))) {
          const port = /(?:^|\/\/|@)(?:localhost|127\.0\.0\.1):(\d{2,5})(?:\/|$)/.exec(value)?.[1];
          if (port === undefined || listens(service, Number(port))) continue;
          const other = input.services.find((s) => s !== service && !s.node.entries.has("network_mode") && isDatabase(s.node, Number(port)));
          if (other !== undefined)
            tell(at, { message: `Service "${service.name}": ${key} points at the container itself, but it is "${other.name}" that listens on ${port}`, hint: `Write ${other.name}:${port} in place of localhost:${port}.` });
        }
      }
    },
  },
  {
    id: "published-port-inside",
    level: "warning",
    summary: "another service addressed by the port that it publishes, not by the one on which it listens",
    why: "Between services there is no publishing: db:5433 is refused when 5433:5432 is what db publishes.",
    bad: 'services:\n  app:\n    image: ghcr.io/example/app:1\n    environment:\n      API: http://api:8081/\n  api:\n    image: ghcr.io/example/api:1\n    ports: ["8081:3000"]\n',
    good: 'services:\n  app:\n    image: ghcr.io/example/app:1\n    environment:\n      API: http://api:3000/\n  api:\n    image: ghcr.io/example/api:1\n    ports: ["8081:3000"]\n',
    check: (input, tell) => {
      const byName = new Map(input.services.map((s) => [s.name, s]));
      for (const service of input.services)
        for (const { key, value, at } of pairsOf(service.node.entries.get("environment"))) {
          const [, host = "", port = ""] = /(?:^|\/\/|@)([a-zA-Z0-9._-]+):(\d{2,5})(?:\/|$)/.exec(value) ?? [];
          const other = byName.get(host);
          if (other === undefined || other === service || other.node.entries.has("network_mode")) continue;
          const ports = portsOf(other.node);
          const wrong = ports.find((p) => p.published === port && p.target !== Number(port));
          if (wrong !== undefined && !listens(other, Number(port)))
            tell(at, { message: `Service "${service.name}": ${key} names port ${port}, which "${host}" publishes but does not listen on`, hint: `Write ${host}:${wrong.target}.`, also: [{ at: wrong.node, note: `service "${host}" publishes it` }] });
        }
    },
  },
];

function listens(service: LintService, port: number): boolean {
  return portsOf(service.node).some((p) => p.target === port) || isDatabase(service.node, port);
}

function isDatabase(service: MapNode, port: number): boolean {
  return knownImage(childString(service, "image"))?.dataPorts?.includes(port) === true;
}

function checkAddresses(input: LintInput, tell: Tell): void {
  const taken = new Map<string, { readonly service: string; readonly node: MapNode }>();
  for (const { name, node, active } of input.services)
    for (const [network, entry] of childMap(node, "networks")?.entries ?? []) {
      const at = child(entry, "ipv4_address");
      const address = stringOf(at);
      if (at === undefined || address === undefined || !isIPv4(address) || !active) continue;
      const definition = childMap(childMap(input.root, "networks"), network);
      if (definition?.entries.has("external") === true) continue;
      const subnets = childItems(child(definition, "ipam"), "config").flatMap((pool) => childString(pool, "subnet") ?? []);
      const problem = addressProblem(address, subnets, network);
      if (problem !== undefined) tell(at, { message: `Service "${name}": ${problem}`, hint: subnets.length === 0 ? `Give "${network}" a subnet: ipam: {config: [{subnet: 172.30.0.0/24}]}.` : "Choose one inside." });
      const replicas = replicasOf(node) ?? 1;
      if (replicas > 1) tell(at, { message: `Service "${name}" has ${replicas} replicas, and all of them want the address ${address}`, hint: "Remove the address: services find each other by name." });
      const other = taken.get(`${network} ${address}`);
      if (other !== undefined) tell(at, { message: `Services "${other.service}" and "${name}" both want the address ${address}`, hint: "Change one of them.", also: [{ at: other.node, note: `service "${other.service}"` }] });
      else if (entry.kind === "map") taken.set(`${network} ${address}`, { service: name, node: entry });
    }
}

function addressProblem(address: string, subnets: readonly string[], network: string): string | undefined {
  if (subnets.length === 0) return `the network "${network}" has no subnet of its own from which ${address} could be taken`;
  return subnets.some((s) => contains(s, address)) || !subnets.some((s) => s.includes(".")) ? undefined : `${address} is not in ${subnets.join(", ")} of the network "${network}"`;
}

function contains(subnet: string, address: string): boolean {
  const [base = "", bits = "32"] = subnet.split("/");
  if (!isIPv4(base)) return false;
  const shift = 32 - Number(bits);
  const number = (text: string): number => text.split(".").reduce((all, part) => all * 256 + Number(part), 0);
  return Math.floor(number(base) / 2 ** shift) === Math.floor(number(address) / 2 ** shift);
}
