import { watch } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseProjectName, paths } from "../../core/index.ts";
import type { ContainerSummary, EngineEvent } from "../../engine/index.ts";
import { parseTime } from "../../logs/index.ts";
import { momentOf } from "../amounts.ts";
import { defineCommand } from "../command.ts";
import { ofServices } from "../containers.ts";
import type { Context } from "../context.ts";
import { boolean, text } from "../flags.ts";
import { printable } from "../output/table.ts";
import { projectOrName } from "../project.ts";

interface Happening {
  /** ISO 8601 */
  readonly time: string;
  readonly action: string;
  readonly container: ContainerSummary;
  readonly attributes: Readonly<Record<string, string>>;
}

export const command = defineCommand({
  name: "events",
  summary: "Receive real time events from containers",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags: {
    json: boolean("Output events as a stream of json objects"),
    since: text("Show all events created since timestamp"),
    until: text("Stream events until this timestamp"),
  },
  async run(context, flags, services) {
    const now = context.clock.now();
    const since = momentOf(flags.since, "--since", now, parseTime);
    const until = momentOf(flags.until, "--until", now, parseTime);
    const [{ name, project }, engine] = await Promise.all([projectOrName(context, services), context.doors.engine()]);
    const show = (happening: Happening): Promise<void> => context.stdout.write(render(happening, flags.json));
    if (since !== undefined) {
      const containers = ofServices(await engine.containers({ project: name }), services, project);
      const past = (await Promise.all(containers.map((c) => history(context, c)))).flat().sort((a, b) => Date.parse(a.time) - Date.parse(b.time));
      for (const happening of past) {
        const at = Date.parse(happening.time) * 1000;
        if (at >= since && (until === undefined || at <= until)) await show(happening);
      }
    }
    const left = until === undefined ? undefined : until / 1000 - context.clock.now();
    if (left !== undefined && left <= 0) return 0;
    const over = new AbortController();
    const forget = left === undefined ? () => undefined : context.clock.after(left, () => over.abort());
    const signal = AbortSignal.any([context.interrupts.graceful, over.signal]);
    await live(context, name, signal, (event) => {
      const happening = event.type === "container" && (services.length === 0 || services.includes(event.container.service)) ? happeningOf(event, context.clock.now()) : undefined;
      if (happening !== undefined) void show(happening);
    });
    forget();
    return context.interrupts.graceful.aborted ? 130 : 0;
  },
});

/** From whatever agent the project has; where it has none, from the next one. */
async function live(context: Context, name: string, signal: AbortSignal, onEvent: (event: EngineEvent) => void): Promise<void> {
  const project = parseProjectName(name);
  const directory = project === undefined ? paths.projects(context.doors.root()) : paths.project(context.doors.root(), project);
  while (!signal.aborted) {
    await mkdir(paths.projects(context.doors.root()), { recursive: true, mode: 0o700 });
    const changed = nextChange([paths.projects(context.doors.root()), directory], signal);
    const agent = await context.doors.findAgent(name);
    if (agent !== undefined) {
      await agent.events(signal, onEvent).catch(() => undefined);
      await agent[Symbol.asyncDispose]();
    } else await changed;
  }
}

/** Resolves at the next change in one of the directories that are there. */
function nextChange(directories: readonly string[], signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      for (const watcher of watchers) watcher.close();
      resolve();
    };
    const watchers = directories.flatMap((directory) => {
      try {
        const watcher = watch(directory, done);
        watcher.on("error", done);
        return [watcher];
      } catch {
        return [];
      }
    });
    signal.addEventListener("abort", done, { once: true });
    if (signal.aborted) done();
  });
}

function happeningOf(event: Extract<EngineEvent, { type: "container" }>, now: number): Happening | undefined {
  const { container, change } = event;
  const { state } = container;
  const base = { time: new Date(now).toISOString(), container, attributes: {} };
  switch (change) {
    case "created":
      return { ...base, action: "create" };
    case "started":
      return { ...base, action: "start", time: state?.startedAt ?? base.time };
    case "exited":
    case "restarting":
      return { ...base, action: "die", time: state?.finishedAt ?? base.time, attributes: { exitCode: String(state?.exitCode ?? -1), ...(change === "restarting" ? { restarting: "true" } : {}) } };
    case "paused":
      return { ...base, action: "pause" };
    case "unpaused":
      return { ...base, action: "unpause" };
    case "health":
      return { ...base, action: `health_status: ${container.health}` };
    case "removed":
      return { ...base, action: "destroy" };
  }
}

const actions: Readonly<Record<string, string>> = { created: "create", start: "start", exit: "die", oom: "oom", pause: "pause", unpause: "unpause", killed: "kill", "stop-requested": "kill", "restart-scheduled": "restart" };

/** What the container's own record of events says (native/PROTOCOL.md, events.log). */
async function history(context: Context, container: ContainerSummary): Promise<readonly Happening[]> {
  const path = join(paths.container(context.doors.root(), container.id), "events.log");
  const created: Happening = { time: container.record.createdAt, action: "create", container, attributes: {} };
  const recorded = (await readFile(path, "utf8").catch(() => "")).split("\n").flatMap((line): Happening[] => {
    try {
      const { t, type, code } = JSON.parse(line) as { readonly t: string; readonly type: string; readonly code?: number };
      const action = actions[type];
      if (action === undefined || action === "create" || Number.isNaN(Date.parse(t))) return [];
      return [{ time: t, action, container, attributes: code === undefined ? {} : { exitCode: String(code) } }];
    } catch {
      return [];
    }
  });
  // Monitor and init both record an end, so that a killed monitor loses none.
  return [created, ...recorded.filter((happening, i) => happening.action !== "die" || recorded[i - 1]?.action !== "die")];
}

function render({ time, action, container, attributes }: Happening, json: boolean): string {
  const image = container.record.image?.reference ?? container.record.rootfs ?? "";
  const all = { ...attributes, image, name: container.name };
  if (json) return `${JSON.stringify({ action, attributes: all, id: container.id, service: container.service, time, type: "container" })}\n`;
  const list = Object.entries(all)
    .map(([key, value]) => `${key}=${value}`)
    .join(", ");
  return printable(`${time.replace("T", " ").replace("Z", "")} container ${action} ${container.id} (${list})`) + "\n";
}
