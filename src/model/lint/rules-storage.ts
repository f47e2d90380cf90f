import { resolve } from "node:path";
import { child, childItems, childMap, childString, scalarText, stringOf } from "../tree.ts";
import type { Node } from "../tree.ts";
import { parseBytes } from "../units.ts";
import { knownImage } from "./known-images.ts";
import type { LintInput, LintRule, Tell } from "./rule.ts";

/** Where data is, and whether it is there at all. */
export const storageRules: readonly LintRule[] = [
  {
    id: "database-without-volume",
    level: "warning",
    summary: "a database with no volume where it keeps its data",
    why: "The data is in an anonymous volume or in the container's own layer: `down` leaves a nameless volume behind at best, and the next `up` begins empty.",
    bad: "services:\n  db:\n    image: postgres:17\n",
    good: "services:\n  db:\n    image: postgres:17\n    volumes: [db:/var/lib/postgresql/data]\nvolumes:\n  db:\n",
    check: (input, tell) => {
      for (const { name, node } of input.services) {
        const image = node.entries.get("image");
        const data = knownImage(stringOf(image))?.data;
        if (image === undefined || data === undefined || isTool(node.entries.get("entrypoint"), node.entries.get("command"))) continue;
        const targets = [...childItems(node, "volumes").flatMap((m) => childString(m, "target") ?? []), ...tmpfsOf(node.entries.get("tmpfs"))];
        if (node.entries.has("volumes_from") || targets.some((t) => data.some((d) => t === d || t.startsWith(`${d}/`)))) continue;
        const near = targets.find((t) => data.some((d) => d.startsWith(`${t}/`) || t.startsWith(d.slice(0, d.lastIndexOf("/") + 1))));
        tell(image, {
          message: `Service "${name}" keeps its data in ${data[0] ?? ""}, where no volume is mounted${near === undefined ? "" : ` (${near} is not it)`}`,
          hint: `Add a volume: ${name}-data:${data[0] ?? ""}. If it may be lost, say so with \`tmpfs\`.`,
        });
      }
    },
  },
  {
    id: "missing-source",
    level: "error",
    summary: "a file that is to be mounted, or a config or secret is to come from, and is not there",
    why: "Long-form mounts, configs and secrets fail at the start. A short-form mount makes an empty directory of that name, and the program finds a directory where it expects its configuration.",
    bad: "services:\n  web:\n    image: nginx:1.27\n    volumes: [./nginx.conf:/etc/nginx/nginx.conf:ro]\n",
    good: {
      "compose.yaml": "services:\n  web:\n    image: nginx:1.27\n    volumes: [./nginx.conf:/etc/nginx/nginx.conf:ro]\n",
      "nginx.conf": "events {}\n",
    },
    check: checkSources,
  },
  {
    id: "tiny-memory",
    level: "warning",
    summary: "a memory limit of less than 4 MB",
    why: "A number without a unit is bytes: mem_limit: 512 is half a kilobyte, and nothing starts.",
    bad: "services:\n  app:\n    image: nginx:1.27\n    mem_limit: 512\n",
    good: "services:\n  app:\n    image: nginx:1.27\n    mem_limit: 512m\n",
    check: (input, tell) => {
      for (const { name, node } of input.services) {
        const limits = child(child(child(node, "deploy"), "resources"), "limits");
        for (const [key, at] of [["mem_limit", node.entries.get("mem_limit")], ["deploy.resources.limits.memory", child(limits, "memory")], ["shm_size", node.entries.get("shm_size")]] as const) {
          const bytes = at?.kind === "scalar" && at.value !== null ? parseBytes(scalarText(at)) : undefined;
          const least = key === "shm_size" ? 4096 : 4 << 20;
          if (at !== undefined && bytes !== undefined && bytes > 0 && bytes < least)
            tell(at, { message: `Service "${name}": ${key} is ${bytes} bytes`, hint: `Write the unit, for example ${at.kind === "scalar" && /^\d+$/.test(scalarText(at)) ? scalarText(at) : "256"}m.` });
        }
      }
    },
  },
];

async function checkSources(input: LintInput, tell: Tell): Promise<void> {
  for (const { name, node } of input.services)
    for (const mount of childItems(node, "volumes")) {
      const source = child(mount, "source");
      const path = stringOf(source);
      if (childString(mount, "type") !== "bind" || source === undefined || path === undefined || !path.startsWith("/")) continue;
      const create = child(child(mount, "bind"), "create_host_path");
      const creates = create?.kind === "scalar" && create.value === true;
      const target = childString(mount, "target") ?? "";
      // A directory that is made on the way is what people rely on; a file never is. Other machines have other files.
      if (creates && !(looksLikeFile(path) && looksLikeFile(target) && path.startsWith(`${input.directory}/`))) continue;
      if ((await input.reader.kind(path)) !== "missing") continue;
      tell(mount, {
        message: creates
          ? `Service "${name}" mounts ${path}, which is not there: an empty directory will be made of it`
          : `Service "${name}" mounts ${path}, which is not there: it cannot start`,
        hint: creates ? "Create the file first." : "Create it, or write `bind: {create_host_path: true}`.",
      });
    }
  for (const [section, word] of [["configs", "config"], ["secrets", "secret"]] as const) {
    const used = new Set(input.services.flatMap(({ node }) => childItems(node, section).flatMap((m) => stringOf(child(m, "source")) ?? [])));
    for (const [name, entry] of childMap(input.root, section)?.entries ?? []) {
      const file = child(entry, "file");
      const path = stringOf(file);
      if (file === undefined || path === undefined || !used.has(name) || (await input.reader.kind(resolve(input.directory, path))) !== "missing") continue;
      tell(file, { message: `The ${word} "${name}" comes from ${path}, which is not there: who uses it cannot start`, hint: "Create the file." });
    }
  }
}

function looksLikeFile(path: string): boolean {
  return /\/[^/]+\.[A-Za-z][A-Za-z0-9]{0,7}$/.test(path) && !/\.(?:d|git|cache|local|config|ssh|aws|kube|docker|m2)$/.test(path);
}

function tmpfsOf(node: Node | undefined): readonly string[] {
  const items = node?.kind === "seq" ? node.items : node === undefined ? [] : [node];
  return items.flatMap((i) => (stringOf(i) ?? "").split(":", 1)[0] ?? []);
}

/** A client or a one-off job in the image of a database. */
function isTool(entrypoint: Node | undefined, command: Node | undefined): boolean {
  const firstOf = (node: Node | undefined): string => {
    const word = node?.kind === "seq" ? (stringOf(node.items[0]) ?? "") : (stringOf(node) ?? "");
    return word.trim().split(/\s+/)[0] ?? "";
  };
  if (firstOf(entrypoint) !== "") return true;
  const first = firstOf(command);
  return /^(?:sh|bash|\/bin\/(?:ba)?sh)$/.test(first) || (/^[a-z]/.test(first) && !/(?:^|\/)(?:postgres|mysqld|mariadbd|mongod|docker-entrypoint\.sh|neo4j|influxd|cassandra)$/.test(first));
}
