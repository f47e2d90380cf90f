import { setTimeout as sleep } from "node:timers/promises";
import { shortId } from "../../core/index.ts";
import type { ContainerSummary } from "../../engine/index.ts";
import { defineCommand } from "../command.ts";
import { isAlive, ofServices } from "../containers.ts";
import { boolean, text } from "../flags.ts";
import { renderListing } from "../output/listing.ts";
import { binarySize, humanSize } from "../output/units.ts";
import { projectOrName } from "../project.ts";
import { usageOf } from "../resource-usage.ts";
import type { Usage } from "../resource-usage.ts";

/** The kernel has no event for "uses more now": stats are read at this interval, milliseconds. */
const interval = 1000;

export const command = defineCommand({
  name: "stats",
  summary: "Display a live stream of container(s) resource usage statistics",
  positionals: ["[service]"],
  usage: "[OPTIONS] [SERVICE]",
  flags: {
    all: boolean("Show all containers (default shows just running)", { short: "a" }),
    format: text("Output format: table, 'table TEMPLATE', json, or a Go template"),
    noStream: boolean("Disable streaming stats and only pull the first result"),
    noTrunc: boolean("Do not truncate output"),
  },
  async run(context, flags, services) {
    const [{ name, project }, engine] = await Promise.all([projectOrName(context, services), context.doors.engine()]);
    const select = async (): Promise<readonly ContainerSummary[]> => ofServices(await engine.containers({ project: name }), services, project).filter((c) => flags.all || isAlive(c));
    const { graceful } = context.interrupts;
    let before = await sample(await select());
    const redraw = context.stdout.isTTY && !flags.noStream && (flags.format === undefined || flags.format.startsWith("table"));
    while (!graceful.aborted) {
      // Processor use is a difference: the first look needs a second one.
      await sleep(flags.noStream ? interval / 4 : interval, undefined, { signal: graceful }).catch(() => undefined);
      if (aborted(graceful)) break;
      const containers = await select();
      const now = await sample(containers);
      const output = render(containers, before, now, flags.format, !flags.noTrunc);
      await context.stdout.write(redraw ? `\x1b[H\x1b[J${output}` : output);
      if (flags.noStream) return 0;
      before = now;
    }
    return 130;
  },
});

/** It may have happened while we slept. */
const aborted = (signal: AbortSignal): boolean => signal.aborted;

type Samples = ReadonlyMap<string, Usage>;

async function sample(containers: readonly ContainerSummary[]): Promise<Samples> {
  const usages = await Promise.all(containers.map(async (c) => [c.id, await usageOf(c)] as const));
  return new Map(usages.flatMap(([id, usage]) => (usage === undefined ? [] : [[id, usage] as const])));
}

function render(containers: readonly ContainerSummary[], before: Samples, now: Samples, format: string | undefined, truncate: boolean): string {
  return renderListing(format ?? "table", {
    rows: containers.map((container) => row(container, before.get(container.id), now.get(container.id), truncate)),
    columns: [
      { heading: "CONTAINER ID", field: "ID" },
      { heading: "NAME", field: "Name" },
      { heading: "CPU %", field: "CPUPerc" },
      { heading: "MEM USAGE / LIMIT", field: "MemUsage" },
      { heading: "MEM %", field: "MemPerc" },
      { heading: "NET I/O", field: "NetIO" },
      { heading: "BLOCK I/O", field: "BlockIO" },
      { heading: "PIDS", field: "PIDs" },
    ],
    json: "lines",
    table: { minimum: 10 },
  });
}

function row(container: ContainerSummary, before: Usage | undefined, now: Usage | undefined, truncate: boolean): Readonly<Record<string, unknown>> {
  const id = truncate ? shortId(container.id) : container.id;
  if (now === undefined) return { BlockIO: "--", CPUPerc: "--", Container: container.name, ID: id, MemPerc: "--", MemUsage: "-- / --", Name: container.name, NetIO: "--", PIDs: "--" };
  const cpu = before === undefined || now.at <= before.at ? 0 : Math.max(0, (now.cpu - before.cpu) / (now.at - before.at)) * 100;
  return {
    BlockIO: `${humanSize(now.read)} / ${humanSize(now.written)}`,
    CPUPerc: `${cpu.toFixed(2)}%`,
    Container: container.name,
    ID: id,
    MemPerc: `${((now.memory / now.memoryLimit) * 100).toFixed(2)}%`,
    MemUsage: `${binarySize(now.memory)} / ${binarySize(now.memoryLimit)}`,
    Name: container.name,
    NetIO: `${humanSize(now.received)} / ${humanSize(now.sent)}`,
    PIDs: String(now.pids),
  };
}

