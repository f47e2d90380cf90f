import { execFileSync } from "node:child_process";
import type { Machine } from "./machine.ts";
import { NetworkNamespace } from "./namespace.ts";

/** Addresses for documentation (RFC 5737): nobody's. */
export const worldAddress = "198.51.100.1";
export const machineAddress = "198.51.100.2";

/** Another machine, at the other end of the first one's only cable and its default route: what is "outside". */
export async function connectWorld(machine: Machine): Promise<NetworkNamespace> {
  const world = await NetworkNamespace.open();
  const run = (enter: readonly string[], ...command: string[]) => execFileSync(enter[0] ?? "", [...enter.slice(1), "ip", ...command], { stdio: "pipe" });
  const here = machine.network.enter;
  run(here, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", String(world.pid));
  for (const [enter, address] of [[here, machineAddress], [world.enter, worldAddress]] as const) {
    run(enter, "address", "add", `${address}/24`, "dev", "cable");
    run(enter, "link", "set", "cable", "up");
  }
  run(here, "route", "add", "default", "via", worldAddress);
  machine.links.push("cable");
  return world;
}

/** The filter rules that a Docker Engine 28 leaves in a host's namespace, most of all `FORWARD DROP`. */
const dockerRules = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
COMMIT
`;

export function inMachine(machine: Machine, argv: readonly string[], input?: string): string {
  const [file = "", ...args] = [...machine.network.enter, ...argv];
  return execFileSync(file, args, { encoding: "utf8", ...(input === undefined ? {} : { input }) });
}

/** As if dockerd had been started, or restarted, in this network. */
export function applyDockerRules(machine: Machine): void {
  inMachine(machine, ["iptables-nft-restore"], dockerRules);
}

/** All filter rules, for comparing before and after. */
export function filterRules(machine: Machine): string {
  return inMachine(machine, ["iptables-nft-save", "-t", "filter"]).replaceAll(/^#.*\n|\[\d+:\d+\]/gm, "");
}
