import type { HostPath } from "../core/index.ts";
import type { OnUnhealthy, ReadyProbe, Restart, RestartTiming, SubProcess } from "./project.ts";
import type { Report } from "./report.ts";
import { child, formatPath, isNull, scalarText, stringOf } from "./tree.ts";
import type { MapNode, Node, Path } from "./tree.ts";
import { parseDuration, splitCommand } from "./units.ts";
import { checkProcess, restartsForEver } from "./supervision.ts";
import { didYouMean } from "./suggest.ts";

/** Our own keys of one service, read. */
export interface OwnKeys {
  readonly rootfs?: HostPath;
  readonly restart_policy: RestartTiming;
  readonly ready: readonly ReadyProbe[];
  readonly on_unhealthy?: OnUnhealthy;
  readonly processes: Readonly<Record<string, SubProcess>>;
  readonly expect: readonly string[];
  readonly on_orphan_exit?: "log" | "unhealthy" | "restart";
}

export const RESTART_TIMING: RestartTiming = { first_delay: 0, delay: 100, factor: 2, max_delay: 60_000, jitter: 0, reset_after: 10_000 };

/**
 * Reads `x-stack`, which the schema has checked; what only reading can find is reported. `timing`: what other keys say of
 * the times between restarts; `restart_policy` goes before them.
 */
export function readOwnKeys(node: Node | undefined, path: Path, report: Report, timing: Partial<RestartTiming> = {}): OwnKeys {
  const reader = new OwnReader(report);
  const base = { ...RESTART_TIMING, ...timing };
  if (node?.kind !== "map") return { restart_policy: base, ready: [], processes: {}, expect: [] };
  const rootfs = stringOf(node.entries.get("rootfs"));
  const unhealthy = reader.onUnhealthy(node.entries.get("on_unhealthy"), [...path, "on_unhealthy"]);
  const orphan = stringOf(node.entries.get("on_orphan_exit"));
  return {
    ...(rootfs === undefined ? {} : { rootfs: rootfs as HostPath }),
    restart_policy: reader.timing(node.entries.get("restart_policy"), [...path, "restart_policy"], base),
    ready: reader.probes(node.entries.get("ready"), [...path, "ready"]),
    ...(unhealthy === undefined ? {} : { on_unhealthy: unhealthy }),
    processes: reader.processes(node.entries.get("processes"), [...path, "processes"]),
    expect: reader.words(node.entries.get("expect")),
    ...(orphan === "log" || orphan === "unhealthy" || orphan === "restart" ? { on_orphan_exit: orphan } : {}),
  };
}

class OwnReader {
  readonly #report: Report;

  constructor(report: Report) {
    this.#report = report;
  }

  timing(node: Node | undefined, path: Path, base: RestartTiming = RESTART_TIMING): RestartTiming {
    const duration = (key: "first_delay" | "delay" | "max_delay" | "reset_after"): number | undefined => this.#milliseconds(child(node, key), [...path, key]);
    const first = duration("first_delay") ?? base.first_delay;
    const delay = duration("delay") ?? base.delay;
    const ceiling = child(node, "max_delay");
    const written = duration("max_delay");
    if (written !== undefined && ceiling !== undefined && written < Math.max(delay, first))
      this.#bad(ceiling, [...path, "max_delay"], `the ceiling is lower than ${written < delay ? "delay" : "first_delay"} (${Math.max(delay, first)} ms)`);
    return {
      first_delay: first,
      delay,
      factor: this.#number(child(node, "factor"), [...path, "factor"], 1, 100) ?? base.factor,
      // A ceiling that nobody wrote does not cut what somebody did write.
      max_delay: written ?? Math.max(base.max_delay, delay, first),
      jitter: this.#number(child(node, "jitter"), [...path, "jitter"], 0, 1) ?? base.jitter,
      reset_after: duration("reset_after") ?? base.reset_after,
    };
  }

  onUnhealthy(node: Node | undefined, path: Path): OnUnhealthy | undefined {
    if (node === undefined || isNull(node)) return undefined;
    const short = stringOf(node);
    if (short === "restart" || short === "stop" || short === "none") return { action: short, after: 1, max: 0 };
    const after = this.#number(child(node, "after"), [...path, "after"], 1, 1e6) ?? 1;
    const max = this.#number(child(node, "max"), [...path, "max"], 0, 1e6) ?? 0;
    const run = child(node, "run");
    const action = stringOf(child(node, "action"));
    if (run !== undefined) {
      if (action !== undefined) this.#bad(run, path, "`run` and `action` exclude each other");
      return { action: "run", command: this.#command(run, [...path, "run"]), after, max };
    }
    return { action: action === "stop" || action === "none" ? action : "restart", after, max };
  }

  /** One probe may name several kinds: all of them have to hold. */
  probes(node: Node | undefined, path: Path): readonly ReadyProbe[] {
    if (node === undefined || isNull(node)) return [];
    const items = node.kind === "seq" ? node.items : [node];
    return items.flatMap((item, i) => (item.kind === "map" ? this.#probe(item, node.kind === "seq" ? [...path, `[${i}]`] : path) : []));
  }

  #probe(item: MapNode, path: Path): ReadyProbe[] {
    const timeoutMs = this.#milliseconds(item.entries.get("timeout"), [...path, "timeout"]);
    const intervalMs = this.#milliseconds(item.entries.get("interval"), [...path, "interval"]);
    const every = item.entries.get("interval");
    if (intervalMs !== undefined && intervalMs < 1 && every !== undefined) this.#bad(every, [...path, "interval"], "has to be 1ms at least");
    const timeout = { ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }), ...(intervalMs === undefined ? {} : { interval: intervalMs }) };
    const found: ReadyProbe[] = [];
    for (const [kind, node] of item.entries) {
      const at = [...path, kind];
      if (kind === "tcp") found.push({ kind, port: this.#port(node, at), ...timeout });
      else if (kind === "http") found.push(this.#http(node, at, timeout));
      else if (kind === "log") found.push({ kind, pattern: this.#pattern(node, at), ...timeout });
      else if (kind === "exec") found.push({ kind, command: this.#command(node, at), ...timeout });
      else if (kind === "file") found.push({ kind, path: this.#absolute(node, at), ...timeout });
      else if (kind === "exit") found.push({ kind, code: this.#number(node, at, 0, 255) ?? 0, ...timeout });
    }
    if (found.length === 0 && item.entries.size > 0) this.#bad(item, path, "names no probe", "One of tcp, http, log, exec, file, exit.");
    return found;
  }

  #http(node: Node, path: Path, timeout: { readonly timeout?: number; readonly interval?: number }): ReadyProbe {
    const own = node.kind === "map" ? node : undefined;
    const body = stringOf(own?.entries.get("body"));
    if (body !== undefined) this.#pattern(own?.entries.get("body") ?? node, [...path, "body"]);
    const wanted = own?.entries.get("status");
    return {
      kind: "http",
      port: this.#port(own?.entries.get("port") ?? node, own === undefined ? path : [...path, "port"]),
      path: stringOf(own?.entries.get("path")) ?? "/",
      status: wanted === undefined ? [[200, 399]] : this.#statuses(wanted, [...path, "status"]),
      ...(body === undefined ? {} : { body }),
      ...timeout,
    };
  }

  /** `200`, `200-299`, `200,204` or a list of these. */
  #statuses(node: Node, path: Path): readonly (readonly [number, number])[] {
    const ranges: (readonly [number, number])[] = [];
    for (const item of node.kind === "seq" ? node.items : [node]) {
      for (const part of (item.kind === "scalar" ? scalarText(item) : "").split(",")) {
        const [, first, last] = /^\s*([1-5]\d\d)(?:-([1-5]\d\d))?\s*$/.exec(part) ?? [];
        const low = Number(first);
        const high = Number(last ?? first);
        if (first === undefined || high < low)
          this.#bad(item, path, `"${part}" is no status code or range of them`, "For example 200, 200-299 or 200,204.");
        else ranges.push([low, high]);
      }
    }
    return ranges;
  }

  processes(node: Node | undefined, path: Path): Readonly<Record<string, SubProcess>> {
    const result: Record<string, SubProcess> = {};
    if (node?.kind !== "map") return result;
    for (const [name, entry] of node.entries) {
      if (entry.kind !== "map") continue;
      if (name === "main") this.#bad(entry, [...path, name], "main is the name of the container's own command", "Give the process another name.");
      result[name] = this.#process(entry, [...path, name], node);
      checkProcess(entry, result[name], (at, key, problem, hint) => {
        this.#bad(at, [...path, name, key], problem, hint);
      });
    }
    this.#processCycles(node, path);
    return result;
  }

  #process(node: MapNode, path: Path, all: MapNode): SubProcess {
    const oneshot = child(node, "oneshot");
    const isOneshot = oneshot?.kind === "scalar" && oneshot.value === true;
    const essential = child(node, "essential");
    const command = node.entries.get("command");
    return {
      command: command === undefined ? [] : this.#command(command, [...path, "command"]),
      ...textMember("user", node),
      environment: this.#environment(node.entries.get("environment")),
      ...textMember("working_dir", node),
      restart: this.#restart(node.entries.get("restart"), [...path, "restart"], isOneshot),
      restart_policy: this.timing(node.entries.get("restart_policy"), [...path, "restart_policy"]),
      essential: essential?.kind === "scalar" && essential.value === true,
      oneshot: isOneshot,
      ...textMember("stop_signal", node),
      stop_grace_period: this.#milliseconds(node.entries.get("stop_grace_period"), [...path, "stop_grace_period"]) ?? 10_000,
      ready: this.probes(node.entries.get("ready"), [...path, "ready"]),
      depends_on: this.#dependsOn(node.entries.get("depends_on"), [...path, "depends_on"], all),
    };
  }

  #restart(node: Node | undefined, path: Path, oneshot: boolean): Restart {
    const text = node?.kind === "scalar" ? (node.value === false ? "no" : scalarText(node)) : undefined;
    if (node === undefined || text === undefined) return oneshot ? { policy: "no" } : { policy: "always" };
    const [, word, attempts] = /^(no|always|unless-stopped|on-failure)(?::(\d{1,9}))?$/.exec(text) ?? [];
    if (word === undefined || (attempts !== undefined && word !== "on-failure"))
      this.#bad(node, path, `"${text}" is no restart policy`, "One of no, always, on-failure, on-failure:N, unless-stopped.");
    if (oneshot && (word === "always" || word === "unless-stopped"))
      this.#bad(node, path, `a one-shot process cannot have restart: ${word}`, "It ends when it is done: write no or on-failure.");
    if (word === "on-failure") return { policy: word, max_attempts: Number(attempts ?? 0) };
    return { policy: word === "always" || word === "unless-stopped" ? word : "no" };
  }

  #dependsOn(node: Node | undefined, path: Path, all: MapNode): SubProcess["depends_on"] {
    const result: Record<string, "started" | "ready" | "completed"> = {};
    const add = (name: string, condition: string, at: Node): void => {
      if (!all.entries.has(name)) this.#bad(at, path, `there is no process "${name}"`, didYouMean(name, all.entries.keys()));
      else if (condition === "completed" && restartsForEver(all.entries.get(name)))
        this.#bad(at, path, `"${name}" never completes: it is started again whenever it ends`, "Make it a oneshot, give it restart: \"no\", or wait for ready.");
      else if (condition === "started" || condition === "ready" || condition === "completed") result[name] = condition;
      else this.#bad(at, path, `"${condition}" is no condition`, "One of started, ready, completed.");
    };
    if (node?.kind === "map")
      for (const [name, value] of node.entries) add(name, isNull(value) ? "started" : (stringOf(value) ?? ""), value);
    else if (node?.kind === "seq") for (const item of node.items) add(stringOf(item) ?? "", "started", item);
    return result;
  }

  #processCycles(all: MapNode, path: Path): void {
    const open = new Set<string>();
    const done = new Set<string>();
    const visit = (name: string, chain: readonly string[]): void => {
      open.add(name);
      const depends = child(all.entries.get(name), "depends_on");
      const names =
        depends?.kind === "map"
          ? [...depends.entries.keys()]
          : depends?.kind === "seq"
            ? depends.items.flatMap((i) => stringOf(i) ?? [])
            : [];
      for (const next of names) {
        if (open.has(next)) this.#bad(depends ?? all, [...path, name, "depends_on"], `circular: ${[...chain, next].join(" -> ")}`);
        else if (!done.has(next) && all.entries.has(next)) visit(next, [...chain, next]);
      }
      open.delete(name);
      done.add(name);
    };
    for (const name of all.entries.keys()) if (!done.has(name)) visit(name, [name]);
  }

  #environment(node: Node | undefined): Readonly<Record<string, string | null>> {
    const result: Record<string, string | null> = {};
    if (node?.kind === "map")
      for (const [key, value] of node.entries) result[key] = value.kind === "scalar" && value.value !== null ? scalarText(value) : null;
    else if (node?.kind === "seq")
      for (const item of node.items) {
        const text = stringOf(item) ?? "";
        const equals = text.indexOf("=");
        if (equals === -1) result[text] = null;
        else result[text.slice(0, equals)] = text.slice(equals + 1);
      }
    return result;
  }

  words(node: Node | undefined): readonly string[] {
    if (node?.kind === "seq") return node.items.map((i) => (i.kind === "scalar" ? scalarText(i) : ""));
    return node?.kind === "scalar" && node.value !== null ? [scalarText(node)] : [];
  }

  #command(node: Node, path: Path): readonly string[] {
    if (node.kind === "seq") return this.#nonEmpty(node, path, this.words(node));
    const split = splitCommand(node.kind === "scalar" ? scalarText(node) : "");
    if (split === undefined) {
      this.#bad(node, path, "not a command line: a quote or parenthesis has no partner", "Write it as a list: [program, argument, …].");
      return [];
    }
    if (split.stoppedAt !== undefined)
      this.#bad(node, path, "no shell reads this line, but it has one of ; & | < >", 'Write ["sh", "-c", "…"].');
    return this.#nonEmpty(node, path, split.words);
  }

  #nonEmpty(node: Node, path: Path, words: readonly string[]): readonly string[] {
    if (words.length === 0) this.#bad(node, path, "the command is empty");
    return words;
  }

  #port(node: Node, path: Path): number {
    return this.#number(node, path, 1, 65535) ?? 0;
  }

  #pattern(node: Node, path: Path): string {
    const pattern = node.kind === "scalar" ? scalarText(node) : "";
    try {
      new RegExp(pattern);
    } catch (error) {
      this.#bad(node, path, `not a regular expression: ${error instanceof Error ? error.message : String(error)}`);
    }
    return pattern;
  }

  #absolute(node: Node, path: Path): string {
    const text = node.kind === "scalar" ? scalarText(node) : "";
    if (!text.startsWith("/")) this.#bad(node, path, `"${text}" is not an absolute path in the container`);
    return text;
  }

  #number(node: Node | undefined, path: Path, low: number, high: number): number | undefined {
    if (node === undefined || isNull(node)) return undefined;
    const value =
      node.kind === "scalar" ? Number(typeof node.value === "string" && node.value.trim() === "" ? Number.NaN : node.value) : Number.NaN;
    if (Number.isFinite(value) && value >= low && value <= high) return value;
    this.#bad(node, path, `${node.kind === "scalar" ? JSON.stringify(node.value) : "this"} is no number from ${low} to ${high}`);
    return undefined;
  }

  #milliseconds(node: Node | undefined, path: Path): number | undefined {
    if (node?.kind !== "scalar" || node.value === null) return undefined;
    const nanoseconds = parseDuration(scalarText(node));
    if (nanoseconds !== undefined && nanoseconds >= 0) return nanoseconds / 1e6;
    this.#bad(node, path, `"${scalarText(node)}" is not a duration`, "Write numbers with units: 500ms, 10s, 1m30s.");
    return undefined;
  }

  #bad(node: Node, path: Path, problem: string, hint?: string): void {
    this.#report.error(node, { rule: "invalid-value", message: `${formatPath(path.filter((p) => p !== "x-stack"))}: ${problem}`, hint });
  }
}

function textMember<K extends string>(key: K, node: MapNode): { readonly [P in K]?: string } {
  const value = node.entries.get(key);
  return value?.kind === "scalar" && value.value !== null ? ({ [key]: scalarText(value) } as { readonly [P in K]?: string }) : {};
}
