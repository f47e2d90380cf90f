import { shortId, StackError } from "../../core/index.ts";
import type { ContainerSummary } from "../../engine/index.ts";
import { defineCommand } from "../command.ts";
import { isAlive, ofServices } from "../containers.ts";
import { boolean, list, text } from "../flags.ts";
import { printListing } from "../output/listing.ts";
import { commandText, exposedPorts, portsText, publishedPorts, statusText } from "../output/status.ts";
import { humanDuration } from "../output/units.ts";
import { printProcesses } from "../process-list.ts";
import { projectOrName } from "../project.ts";

const states = ["paused", "restarting", "removing", "running", "dead", "created", "exited"];

export const command = defineCommand({
  name: "ps",
  summary: "List containers",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags: {
    all: boolean("Show all stopped containers (including those created by the run command)", { short: "a" }),
    filter: text("Filter services by a property (supported filters: status)"),
    format: text("Output format: table, 'table TEMPLATE', json, or a Go template"),
    noTrunc: boolean("Don't truncate output"),
    orphans: boolean("Include orphaned services (not declared by project)", { initial: true }),
    processes: boolean("Display the supervised processes of the containers"),
    quiet: boolean("Only display IDs", { short: "q" }),
    services: boolean("Display services"),
    status: list(`Filter services by status: ${states.join(", ")}`),
  },
  async run(context, flags, services) {
    const wanted = new Set([...flags.status, ...statusFilter(flags.filter)]);
    const [target, engine] = await Promise.all([projectOrName(context, services), context.doors.engine()]);
    const { name, project } = target;
    const declared = project === undefined ? undefined : new Set(Object.keys(project.services));
    const found = ofServices(await engine.containers({ project: name }), services, project)
      .filter((c) => (wanted.size > 0 ? wanted.has(c.status) : flags.all || isAlive(c)))
      .filter((c) => flags.all || wanted.size > 0 || !c.oneoff)
      .filter((c) => flags.orphans || declared === undefined || declared.has(c.service));
    const containers = [...found].sort((a, b) => (a.name < b.name ? -1 : 1));
    if (flags.quiet) await context.stdout.write(containers.map((c) => `${c.id}\n`).join(""));
    else if (flags.processes) await printProcesses(context, containers, flags.format);
    else if (flags.services) await context.stdout.write([...new Set(containers.map((c) => c.service))].map((s) => `${s}\n`).join(""));
    else {
      const now = context.clock.now();
      await printListing(context, flags.format, {
        rows: containers.map((c) => row(c, now, !flags.noTrunc)),
        columns: ["Name", "Image", "Command", "Service", "Created", "Status", "Ports"].map((c) => ({ heading: c.toUpperCase(), field: c === "Created" ? "RunningFor" : c })),
        table: { minimum: 10 },
        headings: { ID: "CONTAINER ID", RunningFor: "CREATED", CreatedAt: "CREATED AT", Names: "NAMES" },
        json: "lines",
      });
    }
    return 0;
  },
});

function statusFilter(filter: string | undefined): readonly string[] {
  if (filter === undefined || filter === "") return [];
  const [key, value = ""] = filter.split("=", 2);
  if (key === "status") return [value];
  throw new StackError("usage", `unknown filter ${key ?? ""}`, { hint: "For example --filter status=running." });
}

/** The fields of Docker Compose's JSON, under its names. */
export function row(container: ContainerSummary, now: number, truncate: boolean): Readonly<Record<string, unknown>> {
  const { record, state } = container;
  const ports = [...publishedPorts(container), ...exposedPorts(container)];
  const created = Date.parse(record.createdAt);
  return {
    Command: commandText(record.command, truncate),
    CreatedAt: Number.isNaN(created) ? record.createdAt : `${new Date(created).toISOString().slice(0, 19).replace("T", " ")} +0000 UTC`,
    ExitCode: state?.exitCode ?? 0,
    Health: container.health === "none" ? "" : container.health,
    HealthOutput: container.healthOutput ?? "",
    Restarts: state?.restarts ?? 0,
    ID: truncate ? shortId(container.id) : container.id,
    Image: record.image?.reference ?? (record.rootfs === undefined ? "" : `rootfs:${record.rootfs}`),
    Labels: Object.entries(record.labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    LocalVolumes: String(record.volumes.length),
    Mounts: record.volumes.map((v) => v.name).join(","),
    Name: container.name,
    Names: container.name,
    Networks: record.networks.map((n) => n.name).join(","),
    Ports: portsText(ports),
    Project: container.project,
    Publishers: ports.map((p) => ({ URL: p.hostIp, TargetPort: p.containerPort, PublishedPort: p.hostPort, Protocol: p.protocol })),
    RunningFor: `${Number.isNaN(created) ? "unknown" : humanDuration(Math.max(0, now - created))} ago`,
    Service: container.service,
    Size: "0B",
    State: container.status,
    Status: statusText(container, now),
  };
}
