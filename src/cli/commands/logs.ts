import { StackError } from "../../core/index.ts";
import type { ContainerSummary, Engine } from "../../engine/index.ts";
import { parseTime } from "../../logs/index.ts";
import { momentOf } from "../amounts.ts";
import { defineCommand } from "../command.ts";
import { isAlive, ofActive } from "../containers.ts";
import type { Context } from "../context.ts";
import { boolean, integer, text } from "../flags.ts";
import { LogStreams } from "../log-streams.ts";
import { LogPrinter } from "../output/log-printer.ts";
import { processIn, splitTargets } from "../process-targets.ts";
import { projectOrName } from "../project.ts";

export const command = defineCommand({
  name: "logs",
  summary: "View output from containers",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE[:PROCESS]...]",
  flags: {
    follow: boolean("Follow log output", { short: "f" }),
    index: integer("Index of the container if service has multiple replicas"),
    noColor: boolean("Produce monochrome output"),
    noLogPrefix: boolean("Don't print prefix in logs"),
    since: text("Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)"),
    tail: text('Number of lines to show from the end of the logs for each container (default "all")', { short: "n" }),
    timestamps: boolean("Show timestamps", { short: "t" }),
    until: text("Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)"),
  },
  async run(context, flags, names) {
    const { services: whole, targets } = splitTargets(names);
    const services = [...new Set([...whole, ...targets.map((target) => target.service)])];
    // Of a service that is named as a whole, everything.
    const processes = (service: string): readonly string[] | undefined => {
      const own = targets.filter((target) => target.service === service).map((target) => target.process);
      return own.length === 0 || whole.includes(service) ? undefined : own;
    };
    const now = context.clock.now();
    const since = momentOf(flags.since, "--since", now, parseTime);
    const until = momentOf(flags.until, "--until", now, parseTime);
    const tail = tailOf(flags.tail);
    const [{ name, project }, engine] = await Promise.all([projectOrName(context, services), context.doors.engine()]);
    const wanted = (all: readonly ContainerSummary[]): readonly ContainerSummary[] =>
      ofActive(all, services, project).filter((c) => (flags.index === undefined ? !c.oneoff : c.number === flags.index));
    const containers = wanted(await engine.containers({ project: name }));
    if (flags.index !== undefined && services.length === 1 && containers.length === 0)
      throw new StackError("no-such-container", `service "${services[0] ?? ""}" has no container #${flags.index}`);

    const printer = new LogPrinter(context, { noColor: flags.noColor, noPrefix: flags.noLogPrefix, timestamps: flags.timestamps, oneStream: true });
    const streams = new LogStreams(context.doors.root(), printer, context.interrupts.graceful);
    const range = { ...(tail === undefined ? {} : { tail }), ...(since === undefined ? {} : { since }), ...(until === undefined ? {} : { until }) };
    for (const target of targets) for (const container of containers) if (container.service === target.service) processIn(container, target);
    for (const container of containers) streams.add(container, { ...range, follow: flags.follow }, processes(container.service));
    const ending = flags.follow ? followAll(context, engine, streams, containers, name, { wanted: (c) => !c.oneoff && (services.length > 0 ? services.includes(c.service) : project === undefined || project.services[c.service] !== undefined), processes }) : Promise.resolve(streams.close());
    await Promise.all([streams.print(), ending]);
    for (const [container, count] of streams.damaged) await context.stderr.write(`warning: ${count} damaged log record(s) of ${container} skipped\n`);
    return context.interrupts.graceful.aborted ? 130 : 0;
  },
});

interface Following {
  readonly wanted: (container: ContainerSummary) => boolean;
  readonly processes: (service: string) => readonly string[] | undefined;
}

/** Until no container lives any more; those that start meanwhile join, as long as an agent tells. */
async function followAll(context: Context, engine: Engine, streams: LogStreams, containers: readonly ContainerSummary[], project: string, { wanted, processes }: Following): Promise<void> {
  const signal = context.interrupts.graceful;
  const living = new Set<Promise<void>>();
  const leaving = new AbortController();
  const follow = (container: ContainerSummary): void => {
    const end = (async () => {
      if (isAlive(container)) await engine.monitor(container.id).wait(signal).catch(() => undefined);
      await streams.end(container.id);
    })();
    living.add(end);
    void end.finally(() => living.delete(end));
  };
  for (const container of containers) follow(container);
  await using agent = await context.doors.findAgent(project);
  const events = agent?.events(AbortSignal.any([signal, leaving.signal]), (event) => {
    if (event.type !== "container" || event.change !== "started" || !wanted(event.container) || streams.has(event.container.id)) return;
    streams.add(event.container, { since: Date.parse(event.container.state?.startedAt ?? "") * 1000 || 0, follow: true }, processes(event.container.service));
    follow(event.container);
  });
  while (living.size > 0 && !signal.aborted) await Promise.race([...living, aborted(signal)]);
  leaving.abort();
  await events?.catch(() => undefined);
  streams.close();
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function tailOf(value: string | undefined): number | undefined {
  // Docker takes what is no number for "all".
  if (value === undefined || !/^\d{1,12}$/.test(value)) return undefined;
  return Number(value);
}
