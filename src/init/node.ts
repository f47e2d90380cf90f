import { firstOf, keysOf, parseJson, textMember, versionFor } from "./app.ts";
import type { App, Directory, Language } from "./app.ts";

const DEFAULT = "24";

interface Framework {
  readonly library: string;
  readonly name: string;
  readonly port: number;
  /** Scripts of package.json to try, in order. */
  readonly scripts: readonly string[];
  /** What makes its server listen on the container's address and not on its loopback. */
  readonly arguments?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** The first whose library is there. Those that are built on another stand before it. */
const FRAMEWORKS: readonly Framework[] = [
  { library: "next", name: "Next.js", port: 3000, scripts: ["dev", "start"] },
  { library: "nuxt", name: "Nuxt", port: 3000, scripts: ["dev", "start"], environment: { HOST: "0.0.0.0" } },
  { library: "@angular/core", name: "Angular", port: 4200, scripts: ["start"], arguments: "--host 0.0.0.0" },
  { library: "astro", name: "Astro", port: 4321, scripts: ["dev", "start"], arguments: "--host 0.0.0.0" },
  { library: "gatsby", name: "Gatsby", port: 8000, scripts: ["develop", "start"], arguments: "--host 0.0.0.0" },
  { library: "react-scripts", name: "Create React App", port: 3000, scripts: ["start"] },
  { library: "@nestjs/core", name: "NestJS", port: 3000, scripts: ["start:dev", "dev", "start"] },
  { library: "vite", name: "Vite", port: 5173, scripts: ["dev", "start"], arguments: "--host 0.0.0.0" },
  { library: "fastify", name: "Fastify", port: 3000, scripts: ["dev", "start"] },
  { library: "express", name: "Express", port: 3000, scripts: ["dev", "start"] },
  { library: "koa", name: "Koa", port: 3000, scripts: ["dev", "start"] },
  { library: "hono", name: "Hono", port: 3000, scripts: ["dev", "start"] },
  { library: "@hapi/hapi", name: "hapi", port: 3000, scripts: ["dev", "start"] },
];

interface Manager {
  readonly name: string;
  readonly lock: string;
  readonly install: string;
  readonly run: string;
  /** What stands between a script and arguments for it. */
  readonly separator: string;
}

const NPM: Manager = { name: "npm", lock: "package-lock.json", install: "npm install", run: "npm run", separator: " --" };
const MANAGERS: readonly Manager[] = [
  { name: "pnpm", lock: "pnpm-lock.yaml", install: "corepack enable && pnpm install", run: "pnpm run", separator: "" },
  { name: "yarn", lock: "yarn.lock", install: "corepack enable && yarn install", run: "yarn run", separator: "" },
  { name: "bun", lock: "bun.lock", install: "npm install --global bun && bun install", run: "bun run", separator: "" },
  NPM,
];

export const node: Language = { name: "Node.js", marks: ["package.json"], detect };

async function detect(directory: Directory): Promise<App | undefined> {
  const manifest = parseJson(await directory.text("package.json"));
  if (manifest === undefined) return undefined;
  const libraries = new Set([...keysOf(objectOf(manifest, "dependencies")), ...keysOf(objectOf(manifest, "devDependencies"))].map((l) => l.toLowerCase()));
  const scripts = keysOf(objectOf(manifest, "scripts"));
  const framework = FRAMEWORKS.find((f) => libraries.has(f.library));
  const manager = managerOf(directory, textMember(manifest, "packageManager"));
  const script = [...(framework?.scripts ?? []), "dev", "start", "serve"].find((s) => scripts.includes(s));
  const main = firstOf(directory, ["server.js", "app.js", "index.js", "server.mjs", "index.mjs", "main.js"]) ?? textMember(manifest, "main");
  if (script === undefined && main === "") return undefined;
  const rest = framework?.arguments === undefined ? "" : `${manager.separator} ${framework.arguments}`;
  const start = script === undefined ? `node --watch ${main}` : `${manager.run} ${script}${rest}`;
  const lock = firstOf(directory, [manager.lock]);
  return {
    language: "Node.js",
    because: ["package.json", ...(lock === undefined ? [] : [lock]), ...(framework === undefined ? [] : [framework.name])].join(", "),
    image: `node:${await versionOf(directory, manifest)}`,
    command: `${manager.install} && exec ${start}`,
    ...(framework === undefined && !libraries.has("ws") && script === undefined ? {} : { port: portOf(manifest, script) ?? framework?.port ?? 3000 }),
    environment: { NODE_ENV: "development", ...framework?.environment },
    volumes: { node_modules: "/app/node_modules" },
    libraries,
    database: "url",
  };
}

function objectOf(manifest: unknown, key: string): unknown {
  return typeof manifest === "object" && manifest !== null ? (manifest as Readonly<Record<string, unknown>>)[key] : undefined;
}

function managerOf(directory: Directory, named: string): Manager {
  return MANAGERS.find((m) => named.startsWith(`${m.name}@`)) ?? MANAGERS.find((m) => directory.names.has(m.lock)) ?? NPM;
}

async function versionOf(directory: Directory, manifest: unknown): Promise<string> {
  for (const name of [".nvmrc", ".node-version"]) {
    const written = (await directory.text(name)).trim();
    if (/^v?\d/.test(written)) return versionFor(written, DEFAULT, 1);
  }
  return versionFor(textMember(manifest, "volta", "node") || textMember(manifest, "engines", "node"), DEFAULT, 1);
}

/** `next dev -p 4000`, `PORT=4000 node …`, `vite --port=4000`. */
function portOf(manifest: unknown, script: string | undefined): number | undefined {
  const line = script === undefined ? "" : textMember(manifest, "scripts", script);
  const port = /(?:\bPORT=|--port[= ]|\s-p )(\d{2,5})\b/.exec(line)?.[1];
  return port === undefined ? undefined : Number(port);
}
