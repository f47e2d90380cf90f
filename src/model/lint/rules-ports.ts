import { child, childItems, childString, scalarText, stringOf } from "../tree.ts";
import type { MapNode, Node } from "../tree.ts";
import { DATABASE_PORTS, imageName, knownImage } from "./known-images.ts";
import type { LintRule, LintService, Tell } from "./rule.ts";

/** What is reachable, and from where. */
export const portRules: readonly LintRule[] = [
  {
    id: "exposed-database",
    level: "warning",
    summary: "a database's port published on all addresses of the machine",
    why: "Published ports pass by most firewalls, and bots find an open database within hours. Services of the stack reach it without any published port.",
    bad: 'services:\n  db:\n    image: postgres:17\n    ports:\n      - "5432:5432"\n    volumes:\n      - db:/var/lib/postgresql/data\nvolumes:\n  db:\n',
    good: 'services:\n  db:\n    image: postgres:17\n    ports:\n      - "127.0.0.1:5432:5432"\n    volumes:\n      - db:/var/lib/postgresql/data\nvolumes:\n  db:\n',
    check: (input, tell) => {
      for (const service of input.services)
        for (const port of portsOf(service.node)) {
          const what = databaseAt(service.node, port.target);
          if (what === undefined || !EVERYWHERE.has(port.address) || onHost(service.node)) continue;
          const shown = port.published === undefined ? `${port.target}` : `${port.published}:${port.target}`;
          tell(port.node, {
            message: `Service "${service.name}" publishes the port of ${what} on every address of the machine`,
            hint: `For this machine alone: "127.0.0.1:${port.published === undefined ? ":" : ""}${shown}". For the other services: nothing, they reach ${service.name}:${port.target} anyway.`,
          });
        }
    },
  },
  {
    id: "duplicate-port",
    level: "error",
    summary: "one port of the machine published twice",
    why: "The second service, or the second replica, cannot start: the port is taken.",
    bad: 'services:\n  a:\n    image: nginx:1.27\n    ports: ["8080:80"]\n  b:\n    image: nginx:1.27\n    ports: ["8080:80"]\n',
    good: 'services:\n  a:\n    image: nginx:1.27\n    ports: ["8080:80"]\n  b:\n    image: nginx:1.27\n    ports: ["8081:80"]\n',
    check: (input, tell) => checkTaken(input.services.filter((s) => s.active && !onHost(s.node)), tell),
  },
  {
    id: "ignored-ports",
    level: "warning",
    summary: "ports of a service that has no network of its own",
    why: "With network_mode host the service listens on the machine itself; with none or that of another service nothing is published here.",
    bad: 'services:\n  web:\n    image: nginx:1.27\n    network_mode: none\n    ports: ["8080:80"]\n',
    good: "services:\n  web:\n    image: nginx:1.27\n    network_mode: none\n",
    check: (input, tell) => {
      for (const { name, node } of input.services) {
        const mode = childString(node, "network_mode") ?? "";
        const ports = node.entries.get("ports");
        if (ports === undefined || childItems(node, "ports").length === 0 || !/^(?:host|none|service:.*|container:.*)$/.test(mode)) continue;
        const other = /^service:(.*)$/.exec(mode)?.[1];
        tell(ports, {
          message: `Service "${name}": \`ports\` has no effect with network_mode ${mode}`,
          hint: other === undefined ? "Remove one of them." : `Publish them at service "${other}", whose network it is.`,
          atKey: true,
        });
      }
    },
  },
  {
    id: "expose-without-effect",
    level: "off",
    summary: "expose",
    why: "Services of one network reach all of each other's ports; expose opens and closes none.",
    bad: 'services:\n  web:\n    image: nginx:1.27\n    expose: ["80"]\n',
    good: "services:\n  web:\n    image: nginx:1.27\n",
    check: (input, tell) => {
      for (const { name, node } of input.services) {
        const expose = node.entries.get("expose");
        if (expose !== undefined) tell(expose, { message: `Service "${name}": \`expose\` opens nothing`, hint: "Remove it, or keep it as documentation.", atKey: true });
      }
    },
  },
];

const EVERYWHERE = new Set(["", "0.0.0.0", "::"]);

interface PublishedPort {
  readonly node: Node;
  readonly target: number;
  /** `8080` or `8000-8010`. */
  readonly published: string | undefined;
  readonly address: string;
  readonly protocol: string;
}

export function portsOf(service: MapNode): readonly PublishedPort[] {
  return childItems(service, "ports").flatMap((node) => {
    const target = child(node, "target");
    const published = child(node, "published");
    if (target?.kind !== "scalar") return [];
    const text = published?.kind === "scalar" ? scalarText(published) : "";
    return [
      {
        node,
        target: Number(target.value),
        published: text === "" || text === "0" ? undefined : text,
        address: stringOf(child(node, "host_ip")) ?? "",
        protocol: childString(node, "protocol") ?? "tcp",
      },
    ];
  });
}

function onHost(service: MapNode): boolean {
  return childString(service, "network_mode") === "host";
}

function databaseAt(service: MapNode, port: number): string | undefined {
  const image = childString(service, "image");
  if (image !== undefined && knownImage(image)?.dataPorts?.includes(port) === true) return imageName(image);
  return DATABASE_PORTS.get(port);
}

/** How many containers a service starts with; `undefined`: nobody can say. */
export function replicasOf(service: MapNode): number | undefined {
  const node = child(child(service, "deploy"), "replicas") ?? service.entries.get("scale");
  if (node === undefined) return 1;
  return node.kind === "scalar" && typeof node.value === "number" ? node.value : undefined;
}

function checkTaken(services: readonly LintService[], tell: Tell): void {
  const taken = new Map<string, { readonly address: string; readonly node: Node; readonly service: string }[]>();
  for (const { name, node } of services) {
    const replicas = replicasOf(node) ?? 1;
    for (const port of portsOf(node)) {
      if (port.published === undefined || port.published.includes("-")) continue;
      if (replicas > 1) {
        tell(port.node, {
          message: `Service "${name}" has ${replicas} replicas, and all of them want port ${port.published} of the machine`,
          hint: `Publish a range ("${port.published}-${Number(port.published) + replicas - 1}:${port.target}"), leave the host port out, or put a proxy in front.`,
        });
        continue;
      }
      const key = `${port.published}/${port.protocol}`;
      const others = taken.get(key) ?? [];
      const other = others.find((o) => o.address === port.address || overlaps(o.address, port.address));
      if (other !== undefined && other.node !== port.node)
        tell(port.node, {
          message:
            other.service === name
              ? `Service "${name}" publishes port ${key} twice`
              : `Services "${other.service}" and "${name}" both want port ${key} of the machine`,
          hint: "Give one of them another port before the colon.",
          also: [{ at: other.node, note: `service "${other.service}" has it` }],
        });
      taken.set(key, [...others, { address: port.address, node: port.node, service: name }]);
    }
  }
}

function overlaps(a: string, b: string): boolean {
  if (a === "" || b === "") return true;
  const family = (address: string): boolean => address.includes(":");
  return family(a) === family(b) && (EVERYWHERE.has(a) || EVERYWHERE.has(b));
}
