import { IMPLICIT } from "../normalise.ts";
import { child, childItems, childMap, childString, scalarText, stringOf } from "../tree.ts";
import type { MapNode, Node } from "../tree.ts";
import { parseDuration } from "../units.ts";
import { isOfficial } from "./known-images.ts";
import type { LintRule, LintService } from "./rule.ts";
import { written } from "./rule.ts";

/** Who waits for whom, and how anybody knows that something works. */
export const healthRules: readonly LintRule[] = [
  {
    id: "missing-healthcheck",
    level: "error",
    summary: "service_healthy asked of a service that has no health check",
    why: "Without a check nothing ever becomes healthy: who waits for it never starts. Only a check that the image itself brings can save it.",
    bad: "services:\n  app:\n    image: ghcr.io/example/app:1\n    depends_on:\n      db: {condition: service_healthy}\n  db:\n    image: postgres:17\n    volumes: [db:/var/lib/postgresql/data]\nvolumes:\n  db:\n",
    good: "services:\n  app:\n    image: ghcr.io/example/app:1\n    depends_on:\n      db: {condition: service_healthy}\n  db:\n    image: postgres:17\n    volumes: [db:/var/lib/postgresql/data]\n    healthcheck:\n      test: pg_isready -U postgres\nvolumes:\n  db:\n",
    check: (input, tell) => {
      const byName = new Map(input.services.map((s) => [s.name, s]));
      for (const { name, node } of input.services)
        for (const [dependency, entry] of childMap(node, "depends_on")?.entries ?? []) {
          const target = byName.get(dependency);
          if (target === undefined || childString(entry, "condition") !== "service_healthy") continue;
          const state = checkOf(target);
          if (state === "there") continue;
          tell(child(entry, "condition") ?? entry, {
            message:
              state === "off"
                ? `Service "${name}" waits for "${dependency}" to be healthy, whose health check is switched off: it never starts`
                : state === "none"
                  ? `Service "${name}" waits for "${dependency}" to be healthy, which has no health check, and neither has its image: it never starts`
                  : `Service "${name}" waits for "${dependency}" to be healthy, which has no health check here: it never starts unless the image brings one`,
            hint: `Give "${dependency}" a \`healthcheck\`.`,
            also: [{ at: target.node, note: `service "${dependency}"` }],
            ...(state === "unknown" ? { level: "warning" as const } : {}),
          });
        }
    },
  },
  {
    id: "dependency-not-awaited",
    level: "warning",
    summary: "depends_on without a condition on a service that has a health check",
    why: "It waits for the process to be started, not for the service to work: the first connections are refused. Write condition: service_started where that is what you want.",
    bad: "services:\n  app:\n    image: ghcr.io/example/app:1\n    depends_on: [cache]\n  cache:\n    image: redis:7.4\n    healthcheck:\n      test: redis-cli ping\n",
    good: "services:\n  app:\n    image: ghcr.io/example/app:1\n    depends_on:\n      cache: {condition: service_healthy}\n  cache:\n    image: redis:7.4\n    healthcheck:\n      test: redis-cli ping\n",
    check: (input, tell) => {
      const byName = new Map(input.services.map((s) => [s.name, s]));
      for (const { name, node } of input.services)
        for (const [dependency, entry] of childMap(node, "depends_on")?.entries ?? []) {
          const target = byName.get(dependency);
          if (target === undefined || checkOf(target) !== "there" || entry.kind !== "map" || !isBare(entry, dependency)) continue;
          tell(entry, {
            message: `Service "${name}" starts as soon as "${dependency}" runs, not when it is healthy`,
            hint: `Write \`${dependency}: {condition: service_healthy}\`, or \`service_started\` where that is meant.`,
            atKey: true,
          });
        }
    },
  },
  {
    id: "restarted-job",
    level: "warning",
    summary: "restart: always or unless-stopped on a service that others wait to complete",
    why: "A job that is started again whenever it ends runs for ever, again and again, while the others start.",
    bad: "services:\n  app:\n    image: ghcr.io/example/app:1\n    depends_on:\n      migrate: {condition: service_completed_successfully}\n  migrate:\n    image: ghcr.io/example/app:1\n    restart: always\n",
    good: "services:\n  app:\n    image: ghcr.io/example/app:1\n    depends_on:\n      migrate: {condition: service_completed_successfully}\n  migrate:\n    image: ghcr.io/example/app:1\n    restart: on-failure\n",
    check: (input, tell) => {
      const byName = new Map(input.services.map((s) => [s.name, s]));
      for (const { name, node } of input.services)
        for (const [dependency, entry] of childMap(node, "depends_on")?.entries ?? []) {
          const restart = byName.get(dependency)?.node.entries.get("restart");
          const policy = stringOf(restart);
          if (restart === undefined || childString(entry, "condition") !== "service_completed_successfully") continue;
          if (policy === "always" || policy === "unless-stopped")
            tell(restart, { message: `Service "${dependency}" is restarted whenever it ends, and "${name}" waits for its end`, hint: "Write restart: on-failure.", also: [{ at: entry, note: `service "${name}" waits` }] });
        }
    },
  },
  {
    id: "stop-without-grace",
    level: "warning",
    summary: "stop_grace_period: 0",
    why: "The process is killed in the middle of what it does; a database has to recover at its next start.",
    bad: "services:\n  app:\n    image: nginx:1.27\n    stop_grace_period: 0s\n",
    good: "services:\n  app:\n    image: nginx:1.27\n    stop_grace_period: 5s\n",
    check: (input, tell) => {
      for (const { name, node } of input.services) {
        const grace = node.entries.get("stop_grace_period");
        if (grace?.kind === "scalar" && grace.value !== null && parseDuration(scalarText(grace)) === 0)
          tell(grace, { message: `Service "${name}" is killed at once when it is to stop`, hint: "Give it some seconds; stopping ends as soon as the process does." });
      }
    },
  },
  {
    id: "missing-restart",
    level: "off",
    summary: "a service with published ports and no restart policy",
    why: "When it ends, or the machine restarts, it stays down.",
    bad: 'services:\n  web:\n    image: nginx:1.27\n    ports: ["8080:80"]\n',
    good: 'services:\n  web:\n    image: nginx:1.27\n    ports: ["8080:80"]\n    restart: unless-stopped\n',
    check: (input, tell) => {
      for (const { name, node } of input.services)
        if (childItems(node, "ports").length > 0 && !node.entries.has("restart") && child(child(node, "deploy"), "restart_policy") === undefined)
          tell(node, { message: `Service "${name}" is not started again when it ends`, hint: "Add restart: unless-stopped.", atKey: true });
    },
  },
  {
    id: "healthcheck-times",
    level: "off",
    summary: "a health check whose timeout is longer than its interval",
    why: "The next check waits for the end of the last: a hanging service is found out later than the interval promises.",
    bad: "services:\n  web:\n    image: nginx:1.27\n    healthcheck:\n      test: nginx -t\n      interval: 5s\n      timeout: 30s\n",
    good: "services:\n  web:\n    image: nginx:1.27\n    healthcheck:\n      test: nginx -t\n      interval: 30s\n      timeout: 5s\n",
    check: (input, tell) => {
      for (const { name, node } of input.services) {
        const check = node.entries.get("healthcheck");
        const [interval, timeout] = [milliseconds(child(check, "interval")), milliseconds(child(check, "timeout"))];
        const at = child(check, "timeout");
        if (at !== undefined && interval !== undefined && timeout !== undefined && timeout > interval)
          tell(at, { message: `Service "${name}": a check may take longer than the time between checks`, hint: "Make `timeout` the shorter one." });
      }
    },
  },
];

function milliseconds(node: Node | undefined): number | undefined {
  return node?.kind === "scalar" && node.value !== null ? parseDuration(scalarText(node)) : undefined;
}

/** `unknown`: the image may have one. */
function checkOf({ node }: LintService): "there" | "off" | "none" | "unknown" {
  const check = childMap(node, "healthcheck");
  const first = stringOf(childItems(check, "test")[0]) ?? childString(check, "test");
  const disabled = child(check, "disable");
  if ((disabled?.kind === "scalar" && disabled.value === true) || first === "NONE") return "off";
  const own = childMap(node, "x-stack");
  const processes = [...(childMap(own, "processes")?.entries.values() ?? [])];
  if (first !== undefined || own?.entries.has("ready") === true || own?.entries.has("expect") === true) return "there";
  if (processes.some((p) => child(p, "ready") !== undefined)) return "there";
  if (own?.entries.has("rootfs") === true) return "none";
  const image = childString(node, "image");
  return image !== undefined && !node.entries.has("build") && isOfficial(image) ? "none" : "unknown";
}

/** Only a name was written: `- db`, or `db:` with nothing about a condition. */
function isBare(entry: MapNode, name: string): boolean {
  if (entry.entries.has(IMPLICIT)) return false;
  return written({ ...entry, at: entry.keyAt ?? entry.at }).replace(/^["']|["']$/g, "") === name && !written(entry).includes("condition");
}
