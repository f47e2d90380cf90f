import { ipVersion } from "./addresses.ts";
import { isExternal } from "./normalise.ts";
import { isPublished } from "./ports.ts";
import type { Report } from "./report.ts";
import { below, compileRules } from "./rules.ts";
import type { RuleNode } from "./rules.ts";
import { formatPath, scalarText, stringOf } from "./tree.ts";
import type { MapNode, Node, Path } from "./tree.ts";

/** What the schema cannot say about single elements; what they say about each other is in `consistency.ts`. */
type Check = (map: MapNode, path: Path, report: Report) => void;

const CHECKS: RuleNode<Check> = compileRules<Check>({
  "volumes.*": externalAlone,
  "configs.*": oneSourceOf("file", "environment", "content"),
  "secrets.*": oneSourceOf("file", "environment"),
  "services.*.devices.[]": deviceComplete,
  "services.*.ports.[]": portComplete,
  "services.*.develop.watch.[]": watchPath,
  "services.*.deploy.resources.reservations.devices.[]": countOrIds,
  "services.*.gpus.[]": countOrIds,
  "services.*.volumes.[]": mountComplete,
});

export function checkTree(root: Node, report: Report): void {
  walk(root, CHECKS, [], report);
}

function walk(node: Node, rules: RuleNode<Check>, path: Path, report: Report): void {
  if (node.kind === "map") {
    rules.rule?.(node, path, report);
    for (const [key, value] of node.entries) {
      const next = below(rules, key);
      if (next !== undefined) walk(value, next, [...path, key], report);
    }
  } else if (node.kind === "seq" && rules.any !== undefined)
    for (const [index, item] of node.items.entries()) walk(item, rules.any, [...path, `[${index}]`], report);
}

function externalAlone(map: MapNode, path: Path, report: Report): void {
  if (!isExternal(map)) return;
  for (const [key, value] of map.entries)
    if (key !== "name" && key !== "external" && !key.startsWith("x-"))
      report.error(value, {
        rule: "external-conflict",
        message: `${formatPath(path)}: \`${key}\` cannot stand beside \`external: true\`: somebody else made it`,
        hint: `Remove \`${key}\`, or \`external\`.`,
        atKey: true,
      });
}

function oneSourceOf(...sources: readonly string[]): Check {
  return (map, path, report) => {
    const present = sources.filter((s) => map.entries.has(s));
    const second = map.entries.get(present[1] ?? "");
    if (second !== undefined)
      report.error(second, {
        rule: "conflict",
        message: `${formatPath(path)}: only one of ${list(present)} can be the source`,
        hint: "Keep one of them.",
        atKey: true,
      });
    else if (present.length === 0 && !map.entries.has("external"))
      report.error(map, {
        rule: "missing-key",
        message: `${formatPath(path)}: says no source`,
        hint: `Add one of ${list(sources)}.`,
        atKey: true,
      });
  };
}

function list(words: readonly string[]): string {
  return words.map((w) => `\`${w}\``).join(", ");
}

function portComplete(map: MapNode, path: Path, report: Report): void {
  const target = map.entries.get("target");
  if (target === undefined)
    report.error(map, {
      rule: "missing-key",
      message: `${formatPath(path)}: has no \`target\``,
      hint: "Say which port of the container is meant.",
    });
  else if (target.kind === "scalar" && typeof target.value === "number" && (target.value < 1 || target.value > 65535))
    report.error(target, { rule: "invalid-port", message: `${formatPath(path)}: ${scalarText(target)} is no port (1 to 65535)` });
  const published = map.entries.get("published");
  if (published?.kind === "scalar" && published.value !== null && scalarText(published) !== "" && !isPublished(scalarText(published)))
    report.error(published, {
      rule: "invalid-port",
      message: `${formatPath(path)}: "${scalarText(published)}" is no port or range of ports`,
    });
  hostAddress(map, path, report);
}

function deviceComplete(map: MapNode, path: Path, report: Report): void {
  if (!map.entries.has("target"))
    report.error(map, { rule: "missing-key", message: `${formatPath(path)}: has no \`target\``, hint: "Say where in the container the device is to be; a CDI name is written short: - vendor.com/class=name." });
}

function hostAddress(map: MapNode, path: Path, report: Report): void {
  const address = map.entries.get("host_ip");
  const text = stringOf(address);
  if (address === undefined || text === undefined || text === "127.0.0.1" || text === "0.0.0.0" || ipVersion(text) !== 0) return;
  report.error(address, {
    rule: "invalid-port",
    message: `${formatPath(path)}: "${text}" is no IP address`,
    hint: 'For example "127.0.0.1".',
  });
}

function watchPath(map: MapNode, path: Path, report: Report): void {
  const value = map.entries.get("path");
  if (value !== undefined && stringOf(value) === "")
    report.error(value, { rule: "missing-key", message: `${formatPath([...path, "path"])} is empty` });
}

function countOrIds(map: MapNode, path: Path, report: Report): void {
  const ids = map.entries.get("device_ids");
  if (ids !== undefined && map.entries.has("count"))
    report.error(ids, {
      rule: "conflict",
      message: `${formatPath(path)}: \`count\` and \`device_ids\` exclude each other`,
      hint: "Keep one of them.",
      atKey: true,
    });
}

function mountComplete(map: MapNode, path: Path, report: Report): void {
  const type = stringOf(map.entries.get("type"));
  if (!map.entries.has("target"))
    report.error(map, {
      rule: "missing-key",
      message: `${formatPath(path)}: has no \`target\``,
      hint: "Say where in the container it is mounted.",
    });
  const source = map.entries.get("source");
  if (type !== "bind") return;
  if (source?.kind === "scalar" && source.value === "")
    report.warn(source, {
      rule: "empty-source",
      message: `${formatPath(path)}: the source is empty, so the directory of the project is mounted`,
      hint: "Write `.` if that is what you mean.",
    });
  else if (source === undefined || (source.kind === "scalar" && source.value === null))
    report.error(map, {
      rule: "missing-key",
      message: `${formatPath(path)}: a bind mount needs a \`source\``,
      hint: "Say which directory or file of the host.",
    });
}
