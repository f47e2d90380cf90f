import type { SubProcess } from "./project.ts";
import { child, childMap, childString, isNull, scalarText } from "./tree.ts";
import type { MapNode, Node } from "./tree.ts";
import { parseDuration } from "./units.ts";

/** Policies with which whoever waits for the end of a process waits for ever. */
export function restartsForEver(process: Node | undefined): boolean {
  const oneshot = child(process, "oneshot");
  if (oneshot?.kind === "scalar" && oneshot.value === true) return false;
  const restart = child(process, "restart");
  const policy = restart?.kind === "scalar" && restart.value !== null ? (restart.value === false ? "no" : scalarText(restart)) : "always";
  return policy === "always" || policy === "unless-stopped";
}

/** What one process says that cannot be carried out. */
export function checkProcess(node: MapNode, process: SubProcess, bad: (at: Node, key: string, problem: string, hint?: string) => void): void {
  const ready = node.entries.get("ready") ?? node;
  for (const probe of process.ready) {
    if (probe.kind === "exit" && restartsForEver(node))
      bad(ready, "ready", "it is ready when it has ended, and started again whenever it ends", 'Make it a oneshot, or give it restart: "no".');
  }
  const restart = node.entries.get("restart");
  if (process.restart.policy === "no" && restart !== undefined && node.entries.has("restart_policy"))
    bad(node.entries.get("restart_policy") ?? node, "restart_policy", "there are no restarts to which it could apply: restart is no", "Leave it out, or set restart.");
}

/** What a service says that leaves no place for our init, or its processes no time. */
export function checkSupervision(service: MapNode, fail: (at: Node | undefined, rule: string, message: string, hint?: string) => void): void {
  const own = childMap(service, "x-stack");
  const key = ["processes", "expect", "on_orphan_exit"].find((name) => asked(own?.entries.get(name)));
  if (own === undefined || key === undefined) return;
  const refuse = (at: Node, why: string, hint: string): void => {
    fail(at, "conflict", `\`${key}\` needs stack's own init as process 1, ${why}`, hint);
  };
  const init = service.entries.get("init");
  if (init?.kind === "scalar" && init.value === false) refuse(init, "and `init: false` says that there is none", "Leave `init` out.");
  const runtime = service.entries.get("runtime");
  const name = runtime?.kind === "scalar" && runtime.value !== null ? scalarText(runtime) : "";
  if (runtime !== undefined && !["", "stack", "stack-runtime"].includes(name)) refuse(runtime, `and the runtime ${name} starts the command itself`, "Leave `runtime` out.");
  const pid = service.entries.get("pid");
  if (pid?.kind === "scalar" && pid.value !== null && scalarText(pid) !== "") refuse(pid, "and in a shared pid namespace there is no process 1 to be", "Leave `pid` out.");
  checkGraces(service, own, fail);
  checkLogs(service, own, fail);
}

/** Who waits for a line of a process's log needs one. */
function checkLogs(service: MapNode, own: MapNode, fail: (at: Node | undefined, rule: string, message: string, hint?: string) => void): void {
  if (childString(childMap(service, "logging"), "driver") !== "none") return;
  for (const [name, process] of childMap(own, "processes")?.entries ?? []) {
    const ready = child(process, "ready");
    const log = (ready?.kind === "seq" ? ready.items : [ready]).map((probe) => child(probe, "log")).find((found) => found !== undefined);
    if (log !== undefined) fail(log, "conflict", `processes.${name}.ready waits for a line of the log, but with \`logging.driver: none\` there is none`, "Take the logging driver away, or wait for something else.");
  }
}

function asked(node: Node | undefined): boolean {
  if (node === undefined || isNull(node)) return false;
  return node.kind === "map" ? node.entries.size > 0 : node.kind === "seq" ? node.items.length > 0 : true;
}

/** The service's grace bounds that of all its processes: a longer one would be cut without a word. */
function checkGraces(service: MapNode, own: MapNode, fail: (at: Node | undefined, rule: string, message: string, hint?: string) => void): void {
  const whole = durationOf(service.entries.get("stop_grace_period")) ?? 10e9;
  for (const [name, process] of childMap(own, "processes")?.entries ?? []) {
    const written = child(process, "stop_grace_period");
    const grace = durationOf(written);
    if (written === undefined || grace === undefined || grace <= whole) continue;
    fail(
      written,
      "conflict",
      `processes.${name}.stop_grace_period is longer than that of the whole service (${whole / 1e9}s), after which everything is killed`,
      "Make the service's `stop_grace_period` as long.",
    );
  }
}

/** Nanoseconds. */
function durationOf(node: Node | undefined): number | undefined {
  return node?.kind === "scalar" && node.value !== null ? parseDuration(scalarText(node)) : undefined;
}
