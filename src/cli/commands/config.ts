import { resolve } from "node:path";
import { StackError, writeFileAtomic } from "../../core/index.ts";
import { canonicalText, configHash, diagnosticsJson, loadModel as mergeFiles, modelText, toYaml } from "../../model/index.ts";
import type { Diagnostic, LoadRequest, Project, Variable } from "../../model/index.ts";
import { defineCommand } from "../command.ts";
import type { Context } from "../context.ts";
import { boolean, text } from "../flags.ts";
import type { FlagValues } from "../flags.ts";
import { renderTable } from "../output/table.ts";
import { Silent } from "../errors.ts";
import { checkService, loadRequest, ModelError, showWarnings } from "../project.ts";
import type { Loaded } from "../project.ts";

const flags = {
  environment: boolean("Print environment used for interpolation."),
  format: text("Format the output", { choices: ["yaml", "json"] }),
  hash: text("Print the service config hash, one per line."),
  images: boolean("Print the image names, one per line."),
  lockImageDigests: boolean("Produces an override file with image digests"),
  models: boolean("Print the model names, one per line."),
  networks: boolean("Print the network names, one per line."),
  noConsistency: boolean("Don't check model consistency - warning: may produce an invalid file"),
  noEnvResolution: boolean("Don't resolve service env files"),
  noInterpolate: boolean("Don't interpolate environment variables"),
  noNormalize: boolean("Don't normalize the model"),
  noPathResolution: boolean("Don't resolve file paths"),
  output: text("Save to file (default to stdout)", { short: "o" }),
  profiles: boolean("Print the profile names, one per line."),
  quiet: boolean("Only validate the configuration, don't print anything", { short: "q" }),
  resolveImageDigests: boolean("Pin image tags to digests"),
  services: boolean("Print the service names, one per line."),
  variables: boolean("Print model variables and default values."),
  volumes: boolean("Print the volume names, one per line."),
};

type ConfigFlags = FlagValues<typeof flags>;

export const command = defineCommand({
  name: "config",
  summary: "Parse, resolve and render the stack file in canonical format",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags,
  async run(context, flags, services) {
    const skip = {
      interpolation: flags.noInterpolate,
      normalization: flags.noNormalize,
      pathResolution: flags.noPathResolution,
      consistency: flags.noConsistency,
      envResolution: flags.noEnvResolution,
    };
    // As with Docker Compose: the document and the names of services are not of the project that would be made of them.
    if (flags.noInterpolate && (flags.services || !isList(flags))) {
      const text = await uninterpolated(context, flags, services, skip);
      if (!flags.quiet || flags.services) await print(context, flags, text);
      return 0;
    }
    const loaded = await load(context, flags, services, { skip, support: true, tolerant: true });
    for (const service of services) checkService(loaded.project, service);
    const listed = lists(flags, loaded, services);
    if (listed !== undefined) await print(context, flags, listed);
    else if (!flags.quiet)
      await print(context, flags, flags.lockImageDigests ? await lock(context, loaded.project, flags) : await document(context, flags, narrowed(loaded.project, services)));
    return 0;
  },
});

async function load(context: Context, flags: ConfigFlags, services: readonly string[], more: Partial<LoadRequest>): Promise<Loaded> {
  return reported(context, flags, await context.doors.loadProject(loadRequest(context, services, more)));
}

/**
 * What the model has to say, on standard error, which is text for people, and with `--format json` one document
 * (`schemas/diagnostics.schema.json`). Standard output stays what it is with Docker Compose: the project or nothing.
 */
async function reported<R extends { readonly ok: boolean; readonly diagnostics: readonly Diagnostic[] }>(context: Context, flags: ConfigFlags, result: R): Promise<Extract<R, { readonly ok: true }>> {
  if (flags.format === "json") {
    const shown = result.ok && context.globals.progress === "quiet" ? [] : result.diagnostics;
    if (shown.length > 0) await context.stderr.write(diagnosticsJson(shown));
    if (!result.ok) throw new Silent(1);
  } else if (!result.ok) throw new ModelError(result.diagnostics);
  else await showWarnings(context, result.diagnostics);
  return result as Extract<R, { readonly ok: true }>;
}

async function print(context: Context, flags: ConfigFlags, text: string): Promise<void> {
  if (flags.output === undefined) await context.stdout.write(text);
  else await writeFileAtomic(resolve(context.cwd, flags.output), text, { mode: 0o644 });
}

/** The merged document as it was written: values may still be variables, so nothing is made of it. */
async function uninterpolated(context: Context, flags: ConfigFlags, services: readonly string[], skip: NonNullable<LoadRequest["skip"]>): Promise<string> {
  if (flags.resolveImageDigests || flags.lockImageDigests)
    throw new StackError("usage", "--no-interpolate cannot be combined with --resolve-image-digests or --lock-image-digests");
  const { model } = await reported(context, flags, await mergeFiles(loadRequest(context, services, { skip })));
  if (flags.services) return lines(Object.keys((model["services"] ?? {})).sort());
  return modelText(model, flags.format === "json" ? "json" : "yaml");
}

type Lister = (project: Project, loaded: Loaded, flags: ConfigFlags) => string;

/** The flags that print something else than the document; of several, Docker Compose heeds the first of these. */
const LISTS: readonly (readonly [flag: keyof ConfigFlags, list: Lister])[] = [
  ["services", ({ services }) => lines(Object.keys(services))],
  ["volumes", ({ volumes }) => lines(Object.keys(volumes).sort())],
  ["networks", ({ networks }) => lines(Object.keys(networks).sort())],
  ["models", ({ models }) => lines(Object.values(models).map((m) => m.model).sort())],
  ["hash", (project, _loaded, { hash = "*" }) => hashes(project, hash)],
  ["profiles", ({ services, disabled_services: disabled }) => lines([...new Set([...Object.values(services), ...Object.values(disabled)].flatMap((s) => s.profiles))].sort())],
  ["images", (project) => lines(Object.values(project.services).map((s) => s.image ?? `${project.name}-${s.name}`))],
  ["variables", (_project, { variables }, { format }) => variablesTable(variables, format)],
  ["environment", (_project, { environment }) => lines([...environment].map(([key, value]) => `${key}=${value}`).sort())],
];

function isWanted(flags: ConfigFlags, flag: keyof ConfigFlags): boolean {
  return flags[flag] !== undefined && flags[flag] !== false;
}

function isList(flags: ConfigFlags): boolean {
  return LISTS.some(([flag]) => isWanted(flags, flag));
}

/** What such a flag prints; undefined: the whole document is wanted. */
function lists(flags: ConfigFlags, loaded: Loaded, services: readonly string[]): string | undefined {
  const [flag, list] = LISTS.find(([name]) => isWanted(flags, name)) ?? [];
  return list?.(flag === "images" ? narrowed(loaded.project, services) : loaded.project, loaded, flags);
}

const lines = (items: readonly string[]): string => items.map((item) => `${item}\n`).join("");

function variablesTable(variables: readonly Variable[], format: string | undefined): string {
  const sorted = [...variables].sort((a, b) => (a.name < b.name ? -1 : 1));
  if (format === "json") return `${JSON.stringify(Object.fromEntries(sorted.map((v) => [v.name, { Name: v.name, DefaultValue: v.defaultValue, PresenceValue: v.alternateValue, Required: v.required }])), undefined, 4)}\n`;
  const rows = sorted.map((v) => [v.name, String(v.required), v.defaultValue, v.alternateValue]);
  return renderTable([["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"], ...rows], { minimum: 20 });
}

function hashes(project: Project, wanted: string): string {
  const names = wanted === "*" ? Object.keys(project.services) : wanted.split(",");
  for (const name of names) checkService(project, name);
  return lines([...names].sort().map((name) => `${name} ${configHash(project.services[name] ?? unknown(name))}`));
}

function unknown(name: string): never {
  throw new StackError("no-such-service", `no such service: ${name}`);
}

async function document(context: Context, flags: ConfigFlags, project: Project): Promise<string> {
  const style = flags.format === "json" ? "json" : "yaml";
  const shown = flags.resolveImageDigests ? withImages(project, new Map(await pinnedImages(context, project))) : project;
  return canonicalText(shown, style, { keepFiles: flags.noEnvResolution });
}

function withImages(project: Project, images: ReadonlyMap<string, string>): Project {
  const services = Object.entries(project.services).map(([name, service]) => {
    const image = images.get(name);
    return [name, image === undefined ? service : { ...service, image, canonical: { ...service.canonical, image } }] as const;
  });
  return { ...project, services: Object.fromEntries(services) };
}

async function lock(context: Context, project: Project, flags: ConfigFlags): Promise<string> {
  const services = Object.fromEntries((await pinnedImages(context, project)).map(([name, image]) => [name, { image }]));
  return flags.format === "json" ? `${JSON.stringify({ services }, undefined, 2)}\n` : toYaml({ services });
}

/** Service → its image with the digest that is here. */
async function pinnedImages(context: Context, project: Project): Promise<readonly (readonly [string, string])[]> {
  const engine = await context.doors.engine();
  return Promise.all(
    Object.values(project.services).flatMap((service) => {
      const reference = service.image;
      if (reference === undefined) return [];
      return [
        (async () => {
          if (reference.includes("@")) return [service.name, reference] as const;
          const image = (await engine.images.find(reference)) ?? (await engine.images.pull(reference, { signal: context.interrupts.graceful, ...(service.platform === undefined ? {} : { platform: service.platform }) }));
          if (image.digest === undefined)
            throw new StackError("image-not-found", `image ${reference} of service "${service.name}" has no digest of a registry`, { hint: "It was loaded from a file; push it to a registry and pull it from there." });
          return [service.name, `${reference}@${image.digest}`] as const;
        })(),
      ];
    }),
  );
}

/** With services named: those, and what they depend on. */
function narrowed(project: Project, services: readonly string[]): Project {
  if (services.length === 0) return project;
  const wanted = new Set(services);
  for (const name of wanted) for (const dependency of Object.keys(project.services[name]?.depends_on ?? {})) wanted.add(dependency);
  const kept = Object.values(project.services).filter((s) => wanted.has(s.name));
  const used = <T>(all: Readonly<Record<string, T>>, names: readonly string[]): Readonly<Record<string, T>> => Object.fromEntries(Object.entries(all).filter(([key]) => names.includes(key)));
  return {
    ...project,
    services: Object.fromEntries(kept.map((s) => [s.name, s])),
    networks: used(project.networks, kept.flatMap((s) => Object.keys(s.networks))),
    volumes: used(project.volumes, kept.flatMap((s) => s.volumes.flatMap((v) => (v.type === "volume" && v.source !== undefined ? [v.source] : [])))),
    configs: used(project.configs, kept.flatMap((s) => s.configs.map((c) => c.source))),
    secrets: used(project.secrets, kept.flatMap((s) => [...s.secrets, ...(s.build?.secrets ?? [])].map((c) => c.source))),
    models: used(project.models, kept.flatMap((s) => Object.keys(s.models))),
  };
}
