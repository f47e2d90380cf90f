import type { SchemaShapes } from "./schema-shapes.ts";
import { didYouMean, nearest } from "./suggest.ts";
import { formatPath } from "./tree.ts";
import type { Path } from "./tree.ts";

/** Names that people know from elsewhere, by where they write them; the path is that of the mapping, names as `*`. A function: made only where something is wrong. */
const elsewhereNames = (): Readonly<Record<string, Readonly<Record<string, string>>>> => ({
  "services.*": {
    env: "Did you mean `environment`?",
    envFrom: "Did you mean `env_file`?",
    cmd: "Did you mean `command`?",
    args: "Did you mean `command`, or `build.args`?",
    net: "Did you mean `network_mode`?",
    network: "Did you mean `networks`?",
    volume_driver: "Did you mean `driver` under the top-level `volumes:`?",
    log_driver: "Did you mean `logging.driver`?",
    log_opt: "Did you mean `logging.options`?",
    replicas: "Did you mean `scale` or `deploy.replicas`?",
    memory: "Did you mean `mem_limit`?",
    mem: "Did you mean `mem_limit`?",
    cpu: "Did you mean `cpus`?",
    health_check: "Did you mean `healthcheck`?",
    livenessProbe: "Did you mean `healthcheck`?",
    readinessProbe: "Did you mean `healthcheck`?",
    interactive: "Did you mean `stdin_open`?",
    detach: "It is a flag: `stack up -d`.",
    rm: "It is a flag: `stack run --rm`.",
    name: "The key above is the name of the service; a container's own is `container_name`.",
    resources: "It belongs under `deploy:`.",
    limits: "It belongs under `deploy.resources:`.",
    workdir: "Did you mean `working_dir`?",
    mounts: "Did you mean `volumes`?",
    depends: "Did you mean `depends_on`?",
  },
  "services.*.healthcheck": { cmd: "Did you mean `test`?", command: "Did you mean `test`?", retry: "Did you mean `retries`?", start_delay: "Did you mean `start_period`?" },
  "services.*.deploy": { limits: "It belongs under `resources:`.", reservations: "It belongs under `resources:`.", scale: "Did you mean `replicas`?" },
  "services.*.deploy.resources.limits": { mem: "Did you mean `memory`?", mem_limit: "Did you mean `memory`?", cpu: "Did you mean `cpus`?" },
  "services.*.deploy.resources.reservations": { mem: "Did you mean `memory`?", cpu: "Did you mean `cpus`?" },
  "services.*.ports.[]": { host: "Did you mean `published`?", container: "Did you mean `target`?", port: "Did you mean `target`?", ip: "Did you mean `host_ip`?" },
  "services.*.volumes.[]": { destination: "Did you mean `target`?", dest: "Did you mean `target`?", src: "Did you mean `source`?", readonly: "Did you mean `read_only`?" },
  "services.*.build": { path: "Did you mean `context`?", file: "Did you mean `dockerfile`?" },
  "secrets.*": { path: "Did you mean `file`?", value: "Did you mean `environment`? A secret's value does not stand in the file.", content: "A secret's value does not stand in the file: use `file` or `environment`." },
  "configs.*": { path: "Did you mean `file`?", value: "Did you mean `content`?", data: "Did you mean `content`?" },
  "networks.*": { subnet: "It belongs under `ipam: {config: [{subnet: …}]}`." },
});

/** Sections of the top level that are often indented one step too far. */
const SECTIONS: readonly string[] = ["volumes", "networks", "configs", "secrets", "include", "models"];

/** More names than these help nobody. */
const MOST = 14;

/** What to do about a key that nobody knows in the mapping at `path`. */
export function unknownKeyHint(key: string, path: Path, known: readonly string[], shapes: SchemaShapes): string {
  const pattern = path.map((part, i) => (part.startsWith("[") ? "[]" : i === 1 ? "*" : part)).join(".");
  const elsewhere = elsewhereNames()[pattern];
  const section = path[1] ?? "";
  if (path.length === 2 && path[0] === "services" && SECTIONS.includes(section)) return `\`${section}:\` is read as a service here: if the section is meant, it begins in the first column, as \`services:\` does.`;
  if (elsewhere !== undefined && Object.hasOwn(elsewhere, key)) return elsewhere[key] ?? "";
  return didYouMean(key, known) ?? misplaced(key, path, known, shapes) ?? (known.length <= MOST ? `Known are ${known.join(", ")}; anything of your own begins with x-.` : "It is no key of the Compose Specification, nor of stack; anything of your own begins with x-.");
}

/** A key that would be right one level up or down. */
function misplaced(key: string, path: Path, known: readonly string[], shapes: SchemaShapes): string | undefined {
  if (path.length === 0) {
    const service = shapes.keysAt(["services", "x"]);
    const lost = service.includes(key) ? key : nearest(key, service);
    if (lost !== undefined) return `\`${lost}\` belongs to a service: indent it below one under \`services:\`.`;
    return /^[a-zA-Z0-9._-]+$/.test(key) ? `If \`${key}\` is a service, it belongs under \`services:\`.` : undefined;
  }
  const inner = known.filter((k) => shapes.keysAt([...path, k]).includes(key));
  if (inner.length > 0 && inner.length <= 3) return `It belongs under ${inner.map((k) => `\`${k}:\``).join(" or ")}.`;
  for (let length = path.length - 1; length >= 0; length -= 1) {
    const above = path.slice(0, length);
    if (length !== 1 && shapes.keysAt(above).includes(key))
      return length === 0 ? `\`${key}\` belongs to the top level: it begins in the first column.` : `\`${key}\` belongs to ${formatPath(above)}: indent it less.`;
  }
  return undefined;
}
