import type { Facts, NetworkFact, ProcessFact } from "./facts.ts";

/** What there has to be, as the test knows it from the file and the commands that it gave. */
export interface Expectation {
  readonly services: Readonly<Record<string, ServiceExpectation>>;
  readonly networks: number;
  /** Names of volumes that are there, or may be. */
  readonly volumes: readonly string[];
}

export interface ServiceExpectation {
  readonly replicas: number;
  readonly version: string;
  /** `runs`: without a pause. `cycles`: ends and is started again. `ended`: has ended for good. */
  readonly life: "runs" | "cycles" | "ended";
  /** Networks that each of its containers is in. */
  readonly networks: number;
  /** It publishes one port for each container. */
  readonly published: boolean;
}

export const nothing: Expectation = { services: {}, networks: 0, volumes: [] };

/** Everything that is not as it has to be, one sentence each. Pure. */
export function judge(facts: Facts, expected: Expectation): readonly string[] {
  const services = Object.entries(expected.services);
  const alive = services.filter(([, s]) => s.life !== "ended").reduce((sum, [, s]) => sum + s.replicas, 0);
  return [
    ...judgeContainers(facts, expected),
    ...judgeMonitors(facts, alive),
    ...judgeAgent(facts, alive),
    ...facts.processes.filter((p) => p.what === "unknown" || p.what === "command").map((p) => `process ${p.pid} is left: ${p.command}`),
    ...judgeCgroups(facts, alive),
    ...judgeNetwork(facts, expected, alive),
    ...judgeFiles(facts, expected),
  ];
}

const mains = (facts: Facts): readonly ProcessFact[] => facts.processes.filter((p) => p.what === "container" && p.service !== "");

function judgeContainers(facts: Facts, expected: Expectation): readonly string[] {
  const found: string[] = [];
  for (const [name, service] of Object.entries(expected.services)) {
    const running = new Set(mains(facts).filter((p) => p.service === name && p.version === service.version).map((p) => p.pidNamespace)).size;
    const least = service.life === "runs" ? service.replicas : 0;
    const most = service.life === "ended" ? 0 : service.replicas;
    if (running < least || running > most) found.push(`service ${name} (version ${service.version}) runs ${running} times, not ${least === most ? least : `${least} to ${most}`}`);
  }
  for (const p of mains(facts)) {
    const service = expected.services[p.service];
    if (service === undefined) found.push(`process ${p.pid} of service ${p.service} runs, and is not wanted`);
    else if (service.version !== p.version) found.push(`process ${p.pid} of service ${p.service} is of version ${p.version}, not ${service.version}`);
  }
  const namespaces = new Map<string, Set<string>>();
  for (const p of facts.processes.filter((each) => each.what === "container" && each.innerPid === 1)) namespaces.set(p.id, (namespaces.get(p.id) ?? new Set()).add(p.pidNamespace));
  for (const [id, of] of namespaces) if (of.size > 1) found.push(`container ${short(id)} runs ${of.size} times at once`);
  return found;
}

function judgeMonitors(facts: Facts, alive: number): readonly string[] {
  const found: string[] = [];
  const monitors = facts.processes.filter((p) => p.what === "monitor");
  const ids = new Set(monitors.map((m) => m.id));
  if (ids.size !== alive) found.push(`${ids.size} monitors, not ${alive}`);
  if (monitors.length !== ids.size) found.push(`two monitors of one container: ${monitors.map((m) => `${m.pid} ${short(m.id)}`).join(", ")}`);
  for (const monitor of monitors)
    if (!facts.locks.some((lock) => lock.pid === monitor.pid && lock.path === `containers/${monitor.id}/lock`)) found.push(`monitor ${monitor.pid} does not hold the lock of ${short(monitor.id)}`);
  for (const p of facts.processes) if (p.what === "container" && !ids.has(p.id)) found.push(`process ${p.pid} of container ${short(p.id)} (${p.service}) has no monitor`);
  for (const lock of facts.locks)
    if (lock.path.startsWith("containers/") && !monitors.some((m) => m.pid === lock.pid)) found.push(`lock ${lock.path} is held by ${lock.pid}, no monitor`);
  return found;
}

function judgeAgent(facts: Facts, alive: number): readonly string[] {
  const found: string[] = [];
  const agents = facts.processes.filter((p) => p.what === "agent");
  const wanted = alive > 0 ? 1 : 0;
  if (agents.length !== wanted) found.push(`${agents.length} agents, not ${wanted}: ${agents.map((a) => `${a.pid} ${a.command}`).join(", ")}`);
  const forks = facts.processes.filter((p) => p.what === "forks").length;
  if (forks > agents.length) found.push(`${forks} processes that fork monitors, and ${agents.length} agents`);
  for (const agent of agents) if (!facts.locks.some((lock) => lock.pid === agent.pid && lock.path.endsWith("/agent.lock"))) found.push(`agent ${agent.pid} does not hold its lock`);
  for (const lock of facts.locks)
    if (!lock.path.startsWith("containers/") && !(lock.path.endsWith("/agent.lock") && agents.some((a) => a.pid === lock.pid)) && !/^layers\/.*\.use$/.test(lock.path))
      found.push(`lock ${lock.path} is ${lock.waits ? "awaited" : "held"} by ${lock.pid}`);
  return found;
}

function judgeCgroups(facts: Facts, alive: number): readonly string[] {
  const monitors = new Set(facts.processes.filter((p) => p.what === "monitor").map((p) => p.id));
  return facts.cgroups.flatMap(({ path, id }) => {
    if (id === "") return alive === 0 && facts.files.every((file) => !/^containers\/[0-9a-f]{64}$/.test(file)) ? [`control group ${path} is left`] : [];
    return monitors.has(id) ? [] : [`control group ${path} is of no monitor's container`];
  });
}

function judgeNetwork(facts: Facts, expected: Expectation, alive: number): readonly string[] {
  const found: string[] = [];
  const services = Object.values(expected.services);
  const attached = services.filter((s) => s.life !== "ended").reduce((sum, s) => sum + s.replicas * s.networks, 0);
  const published = services.filter((s) => s.life !== "ended" && s.published).reduce((sum, s) => sum + s.replicas, 0);
  const pins = facts.mounts.filter((mount) => mount === "netns/router").length;
  for (const mount of facts.mounts) if (mount !== "netns/router") found.push(`mount ${mount} is left`);
  if (expected.networks === 0) {
    if (pins !== 0) found.push("the router's namespace is left");
    if (facts.host.links.some((link) => link !== "lo")) found.push(`links are left: ${facts.host.links.join(" ")}`);
    if (facts.host.tables.length > 0) found.push(`nftables tables are left: ${facts.host.tables.join(", ")}`);
    if (facts.listening.length > 0) found.push(`ports are held: ${facts.listening.join(" ")}`);
    return found;
  }
  if (alive === 0) return found;
  if (pins !== 1) found.push(`the router's namespace is pinned ${pins} times`);
  const uplinks = facts.host.links.filter((link) => link !== "lo");
  if (uplinks.length !== 1) found.push(`links of the host, beside lo: ${uplinks.join(" ") || "none"}`);
  if (facts.host.tables.length !== 1) found.push(`nftables tables of the host: ${facts.host.tables.join(", ") || "none"}`);
  if (facts.router === undefined) return found;
  found.push(...judgeRouter(facts.router, expected.networks, attached));
  found.push(...judgePorts(facts, published));
  const seen = new Map<string, string>();
  for (const { id, addresses } of facts.inside)
    for (const address of addresses) {
      const other = seen.get(address);
      if (other !== undefined && other !== id) found.push(`address ${address} is had by ${short(other)} and ${short(id)}`);
      seen.set(address, id);
    }
  return found;
}

function judgeRouter(router: NetworkFact, networks: number, attached: number): readonly string[] {
  const found: string[] = [];
  const bridges = router.links.filter((link) => link.startsWith("br-"));
  const ends = router.links.filter((link) => link.startsWith("v-"));
  const others = router.links.filter((link) => !bridges.includes(link) && !ends.includes(link) && link !== "lo" && link !== "uplink");
  if (bridges.length !== networks) found.push(`${bridges.length} bridges, not ${networks}`);
  if (ends.length !== attached) found.push(`${ends.length} links of containers, not ${attached}`);
  if (others.length > 0) found.push(`links in the router: ${others.join(" ")}`);
  for (const bridge of bridges) if (!router.addresses.some((a) => a.link === bridge && a.address.includes("."))) found.push(`bridge ${bridge} has no address`);
  return found;
}

function judgePorts(facts: Facts, published: number): readonly string[] {
  const found: string[] = [];
  if (facts.host.elements.length !== published) found.push(`${facts.host.elements.length} ports are led to containers, not ${published}: ${facts.host.elements.join(", ")}`);
  const ports = new Set(facts.listening);
  if (ports.size !== published) found.push(`${ports.size} ports are held, not ${published}: ${[...ports].join(" ")}`);
  const addresses = new Set(facts.inside.flatMap((each) => each.addresses));
  for (const element of facts.host.elements) {
    const target = / → (\S+)/.exec(element)?.[1] ?? "";
    if (!addresses.has(target)) found.push(`port ${element} leads to no container`);
  }
  return found;
}

function judgeFiles(facts: Facts, expected: Expectation): readonly string[] {
  const found: string[] = [];
  const total = Object.values(expected.services).reduce((sum, s) => sum + s.replicas, 0);
  const count = (pattern: RegExp): number => facts.files.filter((file) => pattern.test(file)).length;
  const containers = count(/^containers\/[0-9a-f]{64}$/);
  if (containers !== total) found.push(`${containers} directories of containers, not ${total}`);
  const networks = count(/^networks\/[0-9a-f]{64}\.json$/);
  if (networks !== expected.networks) found.push(`${networks} records of networks, not ${expected.networks}`);
  for (const file of facts.files) {
    if (file.startsWith("volumes/") && file.split("/").length === 2 && !/^volumes\/\.?[a-z]*\.?lock$/.test(file) && !expected.volumes.includes(file.slice(8))) found.push(`volume ${file} is left`);
    if (file.startsWith("tmp/")) found.push(`file ${file} is left`);
    if (/(^|\/)\.[^/]+\.[0-9a-z]{8,}$/.test(file)) found.push(`half-written file ${file} is left`);
    if (file.endsWith("/creating") && !facts.files.includes(file.replace(/creating$/, "container.json"))) found.push(`file ${file} is left`);
    if (expected.networks === 0 && /^(projects|netns)\//.test(file) && !/lock$/.test(file)) found.push(`file ${file} is left`);
  }
  return found;
}

const short = (id: string): string => id.slice(0, 12);
