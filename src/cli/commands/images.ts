import { shortId, StackError } from "../../core/index.ts";
import type { ContainerSummary } from "../../engine/index.ts";
import { defineCommand } from "../command.ts";
import { ofServices } from "../containers.ts";
import { boolean, text } from "../flags.ts";
import { printListing } from "../output/listing.ts";
import { humanDuration, humanSize } from "../output/units.ts";
import { projectOrName } from "../project.ts";

export const command = defineCommand({
  name: "images",
  summary: "List images used by the created containers",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags: {
    format: text("Output format: table, json, or a Go template"),
    quiet: boolean("Only display IDs", { short: "q" }),
  },
  async run(context, flags, services) {
    const [{ name, project }, engine] = await Promise.all([projectOrName(context, services), context.doors.engine()]);
    const containers = ofServices(await engine.containers({ project: name }), services, project).filter((c) => c.record.image !== undefined);
    if (flags.quiet) {
      const ids = new Set(containers.map((c) => (c.record.image?.id ?? "").replace(/^sha256:/, "")));
      await context.stdout.write([...ids].map((id) => `${id}\n`).join(""));
      return 0;
    }
    const now = context.clock.now();
    const rows = await Promise.all(
      [...containers]
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map(async (container) => {
          const id = container.record.image?.id;
          const image = id === undefined ? undefined : await engine.images.find(id);
          const { repository, tag } = splitReference(container);
          const created = Date.parse(image?.created ?? "");
          const platform = image === undefined ? "N/A" : [image.platform.os, image.platform.architecture, image.platform.variant].filter((p) => p !== undefined).join("/");
          return {
            ID: id ?? "",
            ContainerName: container.name,
            Repository: repository,
            Tag: tag,
            Platform: platform,
            Size: image?.size ?? 0,
            Created: image?.created ?? "",
            LastTagTime: image === undefined ? "" : new Date(image.pulledAt).toISOString(),
            ShortID: id === undefined ? "" : shortId(id),
            HumanSize: image === undefined ? "N/A" : humanSize(image.size),
            RunningFor: Number.isNaN(created) ? "N/A" : `${humanDuration(Math.max(0, now - created))} ago`,
          };
        }),
    );
    await printListing(context, flags.format, {
      rows,
      columns: [
        { heading: "CONTAINER", field: "ContainerName" },
        { heading: "REPOSITORY", field: "Repository" },
        { heading: "TAG", field: "Tag" },
        { heading: "PLATFORM", field: "Platform" },
        { heading: "IMAGE ID", field: "ShortID" },
        { heading: "SIZE", field: "HumanSize" },
        { heading: "CREATED", field: "RunningFor" },
      ],
      json: "array",
      table: { minimum: 20 },
      jsonRow: (row) => Object.fromEntries(Object.entries(row).filter(([key]) => !["ShortID", "HumanSize", "RunningFor"].includes(key))),
    });
    return 0;
  },
});

/** `localhost:5000/web:1` → repository and tag; `<none>` for what a reference does not say. */
export function splitReference(container: Pick<ContainerSummary, "record" | "name">): { readonly repository: string; readonly tag: string } {
  const reference = container.record.image?.reference;
  if (reference === undefined) throw new StackError("internal", `container ${container.name} has no image`);
  const [name = "", digest] = reference.split("@", 2);
  const at = name.lastIndexOf(":");
  const tagged = at > name.lastIndexOf("/");
  const repository = tagged ? name.slice(0, at) : name;
  return { repository: repository.replace(/^docker\.io\/(library\/)?/, ""), tag: tagged ? name.slice(at + 1) : digest === undefined ? "latest" : "<none>" };
}
