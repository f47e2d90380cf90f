import { join } from "node:path";
import { paths } from "../../core/index.ts";
import { defineCommand } from "../command.ts";
import { boolean, text } from "../flags.ts";
import { printListing } from "../output/listing.ts";
import { checkService, projectOrName } from "../project.ts";

export const command = defineCommand({
  name: "volumes",
  summary: "List volumes",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags: {
    format: text("Output format: table, 'table TEMPLATE', json, or a Go template"),
    quiet: boolean("Only display volume names", { short: "q" }),
  },
  async run(context, flags, services) {
    const [{ name, project }, engine] = await Promise.all([projectOrName(context, services), context.doors.engine()]);
    if (project !== undefined) for (const service of services) checkService(project, service);
    const containers = (await engine.containers({ project: name })).filter((c) => services.length === 0 || services.includes(c.service));
    const mounted = new Set(containers.flatMap((c) => c.record.volumes.map((v) => v.name)));
    const volumes = (await engine.volumes.list()).filter((v) => mounted.has(v.name) || (services.length === 0 && v.project === name)).sort((a, b) => (a.name < b.name ? -1 : 1));
    if (flags.quiet) await context.stdout.write(volumes.map((v) => `${v.name}\n`).join(""));
    else
      await printListing(context, flags.format, {
        rows: volumes.map((v) => ({
          Availability: "N/A",
          Driver: v.driver,
          Group: "N/A",
          Labels: Object.entries(v.labels)
            .map(([key, value]) => `${key}=${value}`)
            .join(","),
          Links: "N/A",
          Mountpoint: join(paths.volumes(context.doors.root()), v.name, "_data"),
          Name: v.name,
          Scope: "local",
          Size: "N/A",
          Status: "N/A",
        })),
        columns: [
          { heading: "DRIVER", field: "Driver" },
          { heading: "VOLUME NAME", field: "Name" },
        ],
        json: "lines",
        table: { minimum: 10 },
      });
    return 0;
  },
});
