import { constants } from "node:os";
import type { ContainerSummary } from "../../engine/index.ts";
import { humanDuration } from "./units.ts";

type Port = NonNullable<ContainerSummary["state"]>["ports"][number];

/** So long after a crash the table still says that there was one: as long as a run by default has to be to count as success. */
const recentMs = 10_000;
const longestReason = 100;

/**
 * Docker's words: `Up 3 minutes (healthy)`, `Exited (137) 2 seconds ago`, with what Docker does not say: why it is unhealthy,
 * by what it was ended, how often it failed in a row, and when the next start is.
 */
export function statusText(container: ContainerSummary, now: number): string {
  const { state } = container;
  switch (container.status) {
    case "created":
      return "Created";
    case "dead":
      return "Dead (its monitor was killed)";
    case "running":
      return `Up ${since(state?.startedAt, now)}${healthText(container)}${crashText(container, now)}`;
    case "paused":
      return `Up ${since(state?.startedAt, now)} (Paused)`;
    case "restarting": {
      const next = Math.max(0, Math.ceil((Date.parse(state?.nextRestartAt ?? "") - now) / 1000));
      return `Restarting ${state?.failures ?? 0}×, next in ${next} s, last exit ${endText(container)}`;
    }
    case "exited":
      return `Exited (${codeText(container)}) ${since(state?.finishedAt, now)} ago${causeText(container)}`;
  }
}

function endText(container: ContainerSummary): string {
  return `${codeText(container)}${causeText(container)}`;
}

/** Why a run ended, where its exit code does not say it: ` (out of memory)`, ` (SIGSEGV)`, ` (exec: no such file)`. */
function causeText({ state }: ContainerSummary): string {
  if (state === undefined) return "";
  if (state.oomKilled) return " (out of memory)";
  if (state.endedBy === "health") return ` (${oneLine(state.reason ?? "unhealthy")})`;
  if (state.endedBy === "start-failure" && state.error !== null) return ` (${oneLine(`${state.error.stage}: ${state.error.message}`)})`;
  // What a command stopped ended by its signal as it should.
  return state.signal > 0 && state.endedBy === "" ? ` (${signalName(state.signal)})` : "";
}

/** A container that has just failed and runs again. */
function crashText(container: ContainerSummary, now: number): string {
  const { state } = container;
  if (state === undefined || state.failures === 0 || !(now - Date.parse(state.startedAt) < recentMs)) return "";
  return `, restarted ${state.failures}×, last exit ${endText(container)}`;
}

/** Not the engine's, which this table can do without loading. */
function signalName(signal: number): string {
  return Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ?? `signal ${signal}`;
}

function oneLine(text: string): string {
  const line = text.trim().split("\n").at(-1) ?? "";
  const plain = line.replace(/[\u0000-\u001f\u007f-\u009f]/g, " ");
  return plain.length > longestReason ? `${plain.slice(0, longestReason - 1)}…` : plain;
}

function codeText({ state }: ContainerSummary): string {
  return state === undefined || state.exitCode < 0 ? "unknown" : String(state.exitCode);
}

function healthText({ health, healthOutput }: ContainerSummary): string {
  if (health === "none") return "";
  if (health === "starting") return " (health: starting)";
  return ` (${health})${health === "unhealthy" && healthOutput !== undefined ? `: ${oneLine(healthOutput)}` : ""}`;
}

function since(iso: string | undefined, now: number): string {
  const at = Date.parse(iso ?? "");
  return Number.isNaN(at) ? "Less than a second" : humanDuration(Math.max(0, now - at));
}

/** What it publishes now; every address of the host is listed as IPv4 and IPv6, as Docker lists it. */
export function publishedPorts(container: ContainerSummary): readonly Port[] {
  if (container.status !== "running" && container.status !== "paused") return [];
  return (container.state?.ports ?? []).flatMap((port) => (port.hostIp === "" ? ["0.0.0.0", "::"].map((hostIp) => ({ ...port, hostIp })) : [port]));
}

/** What it says that it listens on, and does not publish, as Docker lists it: with no address and no port of the host. */
export function exposedPorts(container: ContainerSummary): readonly Port[] {
  if (container.status !== "running" && container.status !== "paused") return [];
  const published = new Set((container.state?.ports ?? []).map((port) => `${port.containerPort}/${port.protocol}`));
  return (container.record.exposed ?? []).flatMap((entry) => {
    const [port, protocol] = entry.split("/");
    // Docker knows sctp, too; we publish none of it.
    return published.has(entry) || (protocol !== "tcp" && protocol !== "udp") ? [] : [{ hostIp: "", hostPort: 0, containerPort: Number(port), protocol }];
  });
}

/** `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 9090/tcp`; neighbours are drawn together to a range. */
export function portsText(ports: readonly Port[]): string {
  const sorted = [...ports].sort(
    (a, b) => compare(a.protocol, b.protocol) || compare(a.hostIp, b.hostIp) || a.containerPort - b.containerPort || a.hostPort - b.hostPort,
  );
  const runs: { first: Port; last: Port }[] = [];
  for (const port of sorted) {
    const run = runs.at(-1);
    const follows =
      run !== undefined &&
      run.first.hostIp === port.hostIp &&
      run.first.protocol === port.protocol &&
      port.containerPort === run.last.containerPort + 1 &&
      port.hostPort === (port.hostPort === 0 ? 0 : run.last.hostPort + 1);
    if (follows) run.last = port;
    else runs.push({ first: port, last: port });
  }
  return runs
    .sort((a, b) => a.first.containerPort - b.first.containerPort || compare(a.first.protocol, b.first.protocol) || compare(a.first.hostIp, b.first.hostIp))
    .map(({ first, last }) => (first.hostPort === 0 ? `${range(first.containerPort, last.containerPort)}/${first.protocol}` : `${address(first.hostIp)}:${range(first.hostPort, last.hostPort)}->${range(first.containerPort, last.containerPort)}/${first.protocol}`))
    .join(", ");
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const range = (first: number, last: number): string => (first === last ? String(first) : `${first}-${last}`);

export function address(ip: string): string {
  return ip.includes(":") ? `[${ip}]` : ip;
}

/** Docker's column: words with spaces in single quotes, in double quotes as a whole, at most 20 characters. */
export function commandText(command: readonly string[], truncate: boolean): string {
  const line = command.map((word) => (word.includes(" ") ? `'${word}'` : word)).join(" ");
  const characters = Array.from(line);
  const shown = truncate && characters.length > 20 ? `${characters.slice(0, 19).join("")}…` : line;
  return JSON.stringify(shown);
}
