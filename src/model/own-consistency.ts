import type { Report } from "./report.ts";
import { child, childItems, childMap, childString, formatPath, isNull, locate, scalarText, stringOf } from "./tree.ts";
import type { MapNode, Node, Path } from "./tree.ts";

export interface OwnConsistencyInput {
  readonly root: MapNode;
  readonly active: ReadonlySet<string>;
  readonly report: Report;
}

/** What our own keys and the others of a service say about each other, where both cannot be. */
export function checkOwnConsistency({ root, active, report }: OwnConsistencyInput): void {
  const services = childMap(root, "services");
  for (const name of active) {
    const service = services?.entries.get(name);
    if (service?.kind !== "map") continue;
    const path: Path = ["services", name];
    const fail = (node: Node, message: string, hint: string): void => {
      report.error(node, { rule: "conflict", message: `${formatPath(path)}: ${message}`, hint, via: locate(root, path).via });
    };
    checkReady(service, fail);
    checkUnhealthy(service, fail);
  }
}

type Fail = (node: Node, message: string, hint: string) => void;

function probesOf(service: MapNode): readonly MapNode[] {
  const ready = child(childMap(service, "x-stack"), "ready");
  const items = ready?.kind === "seq" ? ready.items : ready === undefined ? [] : [ready];
  return items.filter((item): item is MapNode => item.kind === "map");
}

function checkReady(service: MapNode, fail: Fail): void {
  const network = stringOf(service.entries.get("network_mode"));
  const driver = childString(childMap(service, "logging"), "driver");
  const restart = service.entries.get("restart");
  const policy = restart?.kind === "scalar" ? scalarText(restart) : "";
  for (const probe of probesOf(service)) {
    const at = (kind: string): Node | undefined => probe.entries.get(kind);
    const port = at("tcp") ?? at("http");
    if (port !== undefined && network === "none") fail(port, "`ready` waits for a port, but with `network_mode: none` there is no network that could reach it", "Wait for a line of the log, a file or a command.");
    const log = at("log");
    if (log !== undefined && driver === "none") fail(log, "`ready` waits for a line of the log, but with `logging.driver: none` there is none", "Take the logging driver away, or wait for something else.");
    const exit = at("exit");
    if (exit !== undefined && (policy === "always" || policy === "unless-stopped") && !service.entries.has("deploy"))
      fail(exit, `\`ready\` waits for its end, but with \`restart: ${policy}\` it never ends for good`, 'Write `restart: "no"` or `restart: on-failure`.');
  }
}

/** Whether an image brings a health check is not known yet; that one is turned off is. */
function checkUnhealthy(service: MapNode, fail: Fail): void {
  const own = childMap(service, "x-stack");
  const unhealthy = child(own, "on_unhealthy");
  if (unhealthy === undefined || isNull(unhealthy) || stringOf(unhealthy) === "none") return;
  const check = childMap(service, "healthcheck");
  const disable = child(check, "disable");
  const [first] = childItems(check, "test");
  const off = (disable?.kind === "scalar" && disable.value === true) || stringOf(first) === "NONE" || childString(check, "test") === "NONE";
  const others = probesOf(service).length > 0 || childItems(own, "expect").length > 0 || child(own, "processes") !== undefined || child(own, "on_orphan_exit") !== undefined;
  if (off && !others) fail(unhealthy, "`on_unhealthy` never comes to act: the health check is turned off, and there is no other", "Give the service a healthcheck or `ready`.");
}
