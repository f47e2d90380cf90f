import { defineCommand } from "../command.ts";
import { isAlive, ofServices } from "../containers.ts";
import { text } from "../flags.ts";
import { printListing } from "../output/listing.ts";
import { projectOrName } from "../project.ts";
import { processesOf } from "../process-table.ts";
import { processOwners } from "../process-usage.ts";

export const command = defineCommand({
  name: "top",
  summary: "Display the running processes",
  positionals: ["[services...]"],
  usage: "[SERVICES...]",
  flags: { format: text("Output format: table, json, or a Go template") },
  async run(context, flags, services) {
    const [{ name, project }, engine] = await Promise.all([projectOrName(context, services), context.doors.engine()]);
    const containers = ofServices(await engine.containers({ project: name }), services, project).filter(isAlive);
    const now = context.clock.now();
    const supervised = containers.some((c) => (c.state?.supervision?.processes ?? []).length > 0);
    const rows = await Promise.all(
      containers.map(async (container) => {
        const pid = container.state?.pid ?? 0;
        const processes = pid > 0 ? await processesOf(pid, now) : [];
        const owners = await processOwners(container, processes);
        return processes.map((p) => ({
          Service: container.service,
          Number: String(container.number),
          ...(supervised ? { Process: owners.get(p.pid) ?? "" } : {}),
          UID: p.uid,
          PID: String(p.pid),
          PPID: String(p.ppid),
          C: String(p.cpu),
          STime: startText(p.startedAt, now),
          TTY: p.tty,
          Time: clockText(p.time),
          Command: p.command,
        }));
      }),
    );
    const columns = ["Service", "Number", ...(supervised ? ["Process"] : []), "UID", "PID", "PPID", "C", "STime", "TTY", "Time", "Command"].map((field) => ({
      field,
      heading: field === "Number" ? "#" : field === "Command" ? "CMD" : field.toUpperCase(),
    }));
    await printListing(context, flags.format, { rows: rows.flat(), columns, json: "array", table: { gap: 2, minimum: 4 } });
    return 0;
  },
});

/** `11:55` today, `Nov20` before, as ps writes it. */
function startText(at: number, now: number): string {
  const date = new Date(at);
  if (now - at < 86_400_000) return `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;
  return `${date.toLocaleString("en", { month: "short" })}${String(date.getDate()).padStart(2, "0")}`;
}

function clockText(seconds: number): string {
  const part = (n: number): string => String(Math.floor(n)).padStart(2, "0");
  return `${part(seconds / 3600)}:${part((seconds % 3600) / 60)}:${part(seconds % 60)}`;
}
