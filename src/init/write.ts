import type { App } from "./app.ts";
import { backingsFor } from "./backing.ts";
import type { Backing } from "./backing.ts";
import type { Part } from "./recognise.ts";

export interface StarterFile {
  readonly text: string;
  /** What was recognised, one line each, for the user. */
  readonly found: readonly string[];
}

/** One service on its way to the file. Lines are YAML already, without their indentation. */
interface Block {
  readonly name: string;
  readonly comments: readonly string[];
  readonly lines: readonly string[];
  readonly volumes: readonly string[];
}

/** The text of a first stack file. `own`: keys of stack's own may be used. */
export function starterFile(parts: readonly Part[], own: boolean): StarterFile {
  const libraries = new Set(parts.flatMap((p) => [...(p.app?.libraries ?? [])]));
  const backings = backingsFor(libraries);
  const names = new Set(backings.map((b) => b.backing.name));
  const blocks = parts.flatMap((part) => blocksOf(part, backings.map((b) => b.backing).filter((b) => uses(part, b)), names));
  const services = blocks.length > 0 ? blocks : [nothing(own)];
  const all = [...services, ...backings.map(({ backing, library }) => backingBlock(backing, library))];
  const volumes = [...new Set(all.flatMap((b) => b.volumes))].sort();
  const text = [
    "# Written by `stack init`: a beginning, to be changed. `stack up` starts it, `stack lint` looks it over.",
    "# The source directory is mounted into the containers: what you save is what runs.",
    "",
    "services:",
    all.map(blockText).join("\n\n"),
    ...(volumes.length === 0 ? [] : ["", "# What outlives the containers; `stack down -v` removes them.", "volumes:", ...volumes.map((v) => `  ${v}:`)]),
    "",
  ].join("\n");
  const found = [
    ...parts.flatMap((p) => (p.app === undefined ? [] : [`${p.directory === "" ? "" : `${p.directory}/: `}${p.app.language} (${p.app.because})`])),
    ...parts.flatMap((p) => (Object.keys(p.processes).length === 0 ? [] : [`Procfile (${Object.keys(p.processes).join(", ")})`])),
    ...parts.flatMap((p) => (p.dockerfile === undefined ? [] : ["Dockerfile (images cannot be built yet: the file runs the source in an image of its language)"])),
    ...parts.flatMap((p) => (p.pages ? ["index.html"] : [])),
    ...backings.map(({ backing, library }) => `${backing.image} (${library})`),
  ];
  return { text, found };
}

function uses(part: Part, backing: Backing): boolean {
  return part.app !== undefined && backingsFor(part.app.libraries).some((b) => b.backing === backing);
}

function blockText(block: Block): string {
  return [...block.comments.map((c) => `  # ${c}`), `  ${block.name}:`, ...block.lines.map((l) => `    ${l}`)].join("\n");
}

function blocksOf(part: Part, backings: readonly Backing[], taken: Set<string>): readonly Block[] {
  const { app, processes } = part;
  if (app === undefined) return part.pages ? [pages(part)] : withoutLanguage(part);
  const types = Object.entries(processes);
  const base = freeName(part.directory === "" ? "app" : serviceName(part.directory), taken);
  if (types.length === 0) return appBlocks(base, part, app, app.command, true, backings, []);
  // `release` runs once before the others, as Heroku has it.
  const release = types.find(([name]) => name === "release");
  const others = types.filter(([name]) => name !== "release");
  const install = /^(.*&& )exec /.exec(app.command)?.[1] ?? "";
  const blocks = others.flatMap(([name, command]) => appBlocks(freeName(serviceName(name), taken), part, app, `${install}exec ${shell(command)}`, name === "web", backings, release === undefined ? [] : ["release"]));
  if (release === undefined) return blocks;
  const job = appBlocks("release", part, app, `${install}exec ${shell(release[1])}`, false, backings, []);
  return [...job.map((b) => ({ ...b, lines: [...b.lines, 'restart: "no"'] })), ...blocks];
}

/** A Procfile's line is for a shell; `exec` takes one program. */
function shell(command: string): string {
  return /[;&|<>]/.test(command) ? `sh -c ${singleQuoted(command)}` : command;
}

function singleQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function appBlocks(name: string, part: Part, app: App, command: string, serves: boolean, backings: readonly Backing[], jobs: readonly string[]): readonly Block[] {
  const source = part.directory === "" ? "." : `./${part.directory}`;
  const told = Object.assign({}, ...backings.map((b) => b.tells[app.database] ?? b.tells.url ?? {})) as Readonly<Record<string, string>>;
  const port = serves ? (part.dockerfile?.port ?? app.port) : undefined;
  const prefix = part.directory === "" ? "" : `${serviceName(part.directory)}-`;
  const volumes = Object.entries(app.volumes).map(([volume, target]) => [`${prefix}${volume.replaceAll("_", "-")}`, target] as const);
  const environment = { ...app.environment, ...(Object.keys(part.processes).length > 0 && port !== undefined ? { PORT: `"${port}"` } : {}), ...told };
  const waits: readonly (readonly [string, string])[] = [
    ...(app.before === undefined ? [] : [[`${prefix}${app.before.name}`, "service_completed_successfully"] as const]),
    ...jobs.map((j) => [j, "service_completed_successfully"] as const),
    ...backings.map((b) => [b.name, "service_healthy"] as const),
  ];
  const main: Block = {
    name,
    comments: [`${app.language}: recognised by ${app.because}.`, ...(part.dockerfile === undefined ? [] : ["There is a Dockerfile too; stack cannot build images yet, so the source runs in the language's own image."])],
    lines: [
      `image: ${app.image}`,
      "working_dir: /app",
      `command: ["sh", "-c", ${yamlString(command)}]`,
      ...(port === undefined ? [] : ["ports:", `  - "127.0.0.1:${port}:${port}" # this machine alone; without 127.0.0.1 all of its addresses`]),
      ...(Object.keys(environment).length === 0 ? [] : ["environment:", ...Object.entries(environment).map(([key, value]) => `  ${key}: ${value}`)]),
      "volumes:",
      `  - ${source}:/app`,
      ...volumes.map(([volume, target]) => `  - ${volume}:${target}`),
      ...(waits.length === 0 ? [] : ["depends_on:", ...waits.map(([service, condition]) => `  ${service}: {condition: ${condition}}`)]),
      ...(serves ? ["restart: unless-stopped"] : []),
    ],
    volumes: volumes.map(([volume]) => volume),
  };
  if (app.before === undefined) return [main];
  const job: Block = {
    name: `${prefix}${app.before.name}`,
    comments: [app.before.why],
    lines: [`image: ${app.before.image}`, "working_dir: /app", `command: ${JSON.stringify(app.before.command).replaceAll(",", ", ")}`, "volumes:", `  - ${source}:/app`, "restart: on-failure:3"],
    volumes: [],
  };
  return [job, main];
}

/** In double quotes, with `$` kept from being taken for a variable of the stack file. */
function yamlString(text: string): string {
  return JSON.stringify(text).replaceAll("$", "$$$$");
}

function backingBlock(backing: Backing, library: string): Block {
  const volume = `${backing.name}-data`;
  return {
    name: backing.name,
    comments: [`Because of the library ${library}. Other services reach it as ${backing.name}; nothing outside does.`],
    lines: [
      `image: ${backing.image}`,
      ...(Object.keys(backing.environment).length === 0 ? [] : ["environment:", ...Object.entries(backing.environment).map(([key, value]) => `  ${key}: ${value}`)]),
      ...(backing.data === undefined ? [] : ["volumes:", `  - ${volume}:${backing.data}`]),
      "healthcheck:",
      `  test: ["CMD-SHELL", ${JSON.stringify(backing.health)}]`,
      "  interval: 10s",
      `  start_period: ${backing.startPeriod}`,
      "  start_interval: 1s",
      "restart: unless-stopped",
    ],
    volumes: backing.data === undefined ? [] : [volume],
  };
}

function pages(part: Part): Block {
  return {
    name: "web",
    comments: ["Pages: nginx serves the directory of index.html."],
    lines: ["image: nginx:1.28", "ports:", '  - "127.0.0.1:8080:80"', "volumes:", `  - ${part.directory === "" ? "." : `./${part.directory}`}:/usr/share/nginx/html:ro`, "restart: unless-stopped"],
    volumes: [],
  };
}

function withoutLanguage(part: Part): readonly Block[] {
  if (part.dockerfile?.base === undefined) return [];
  const { base, port } = part.dockerfile;
  const tagged = /[:@][^/]*$/.test(base) ? base : `${base}:latest`;
  return [
    {
      name: "app",
      comments: ["There is a Dockerfile. stack cannot build images yet: this is the image that it is based on, with the", "directory mounted. Where a registry has the built image, name that one, and remove the mount."],
      lines: [
        ...(tagged === base ? [] : ["# stack-lint-disable-next-line image-tag -- as in the Dockerfile"]),
        `image: ${tagged}`,
        "working_dir: /app",
        ...(port === undefined ? [] : ["ports:", `  - "127.0.0.1:${port}:${port}"`]),
        "volumes:",
        "  - .:/app",
      ],
      volumes: [],
    },
  ];
}

/** Nothing was recognised: something that runs, to put the real thing in its place. */
function nothing(own: boolean): Block {
  const command = 'command: ["sh", "-c", "while sleep 5; do echo hello; done"]';
  return own
    ? { name: "hello", comments: ["Nothing was recognised here. This one is made of the machine's own tools: no image, no download."], lines: ["rootfs: /", command], volumes: [] }
    : { name: "hello", comments: ["Nothing was recognised here: put your image and its command in place of these."], lines: ["image: busybox:1.37", command], volumes: [] };
}

function serviceName(text: string): string {
  const name = text.toLowerCase().replace(/[^a-z0-9_.-]/g, "-").replace(/^[^a-z0-9]+/, "");
  return name === "" ? "app" : name;
}

function freeName(wanted: string, taken: Set<string>): string {
  let name = wanted;
  for (let n = 2; taken.has(name); n += 1) name = `${wanted}-${n}`;
  taken.add(name);
  return name;
}
