import type { StartTimings, TimedStep } from "../../engine/index.ts";
import { criticalPath, waitedFor } from "../../reconcile/index.ts";
import { printable, renderTable } from "./table.ts";
import { humanDuration, humanSize } from "./units.ts";

/** Beyond so many the graph shows the critical path and what took longest. */
const mostRows = 40;
const longestDetail = 80;

/** One stretch of time: an operation, or what was before the first and between them. */
interface Stretch {
  readonly what: string;
  readonly start: number;
  readonly end: number;
  readonly critical: boolean;
  readonly detail: string;
}

/** What the command waited for one after the other: together as long as the whole start. */
export function criticalStretches(timings: StartTimings): readonly Stretch[] {
  const { operations, asked, planned, ended } = timings;
  const stretches: Stretch[] = [before("load the files, reach the agent", 0, asked), before("look at what is there, plan", asked, planned)];
  for (const { operation, queued } of criticalPath(operations, planned)) {
    const step = operations[operation];
    if (step?.time === undefined) continue;
    if (queued >= Math.max(1, ended / 100)) stretches.push(before("(wait for a free hand)", step.time.start - queued, step.time.start));
    stretches.push(stretchOf(step, true));
  }
  const last = stretches.at(-1)?.end ?? planned;
  if (ended - last >= Math.max(1, ended / 100)) stretches.push(before("finish", last, ended));
  return stretches;
}

const before = (what: string, start: number, end: number): Stretch => ({ what, start, end, critical: true, detail: "" });

function stretchOf(step: TimedStep, critical: boolean): Stretch {
  const { start, end } = step.time ?? { start: 0, end: 0 };
  return { what: step.id, start, end, critical, detail: detailOf(step) };
}

function detailOf({ status, error, held, fetched, kind }: TimedStep): string {
  if (status === "failed") return short(`failed: ${error ?? "unknown"}`);
  if (held !== undefined) return short(`${held.container}: ${held.why}`);
  if (kind === "ensure-image") return fetched === undefined ? "was here" : `pulled ${humanSize(fetched)}`;
  return "";
}

function short(text: string): string {
  const line = printable(text.trim());
  return line.length > longestDetail ? `${line.slice(0, longestDetail - 1)}…` : line;
}

export function renderHead({ project, goal, services, began, ended, ok }: StartTimings, now: number): string {
  const named = services.length === 0 ? "" : ` ${services.join(" ")}`;
  return `${project}: ${goal}${named}, ${humanDuration(Math.max(0, now - Date.parse(began))).toLowerCase()} ago, ${ok ? "took" : "failed after"} ${seconds(ended)}\n`;
}

/** The critical path as a table. */
export function renderCriticalTable(timings: StartTimings): string {
  const path = criticalStretches(timings);
  const rows = path.map(({ what, start, end, detail }) => [what, seconds(end - start).padStart(9), share(end - start, timings.ended), detail]);
  const beside = timings.operations.filter((step) => step.time !== undefined).length - path.filter(({ what }) => timings.operations.some(({ id }) => id === what)).length;
  const skipped = timings.operations.filter((step) => step.status === "skipped").length;
  const failed = timings.operations.filter((step) => step.status === "failed" && !path.some(({ what }) => what === step.id));
  const rest = [
    ...failed.map((step) => `${step.id} (beside these) ${detailOf(step)}`),
    ...(beside > 0 ? [`${beside} more operation${beside === 1 ? "" : "s"} ran beside these: the start would have been no quicker without ${beside === 1 ? "it" : "them"}`] : []),
    ...(skipped > 0 ? [`${skipped} operation${skipped === 1 ? " was" : "s were"} skipped`] : []),
  ];
  return `${trimmed(renderTable([["CRITICAL PATH", "     TOOK", "SHARE", ""], ...rows]))}${rest.map((line) => `${line}\n`).join("")}`;
}

/** When everything was, as bars: dark what is on the critical path, light what was done beside it. */
export function renderBars(timings: StartTimings, columns: number): string {
  const { shown, left } = rowsOf(timings);
  const label = Math.max(...shown.map(({ what }) => what.length));
  const width = Math.max(20, columns - label - 13);
  const at = (time: number): number => Math.min(width, Math.floor((time / Math.max(timings.ended, 0.01)) * width));
  const lines = shown.map(({ what, start, end, critical }) => {
    const from = Math.min(at(start), width - 1);
    const bar = (critical ? "█" : "░").repeat(Math.max(1, at(end) - from));
    return `${what.padEnd(label)}  ${(" ".repeat(from) + bar).padEnd(width)} ${seconds(end - start).padStart(9)}\n`;
  });
  return `${lines.join("")}${left > 0 ? `and ${left} more, none longer than ${seconds(Math.max(...hiddenTimes(timings, shown)))}\n` : ""}`;
}

function rowsOf(timings: StartTimings): { readonly shown: readonly Stretch[]; readonly left: number } {
  const critical = criticalStretches(timings);
  const named = new Set(critical.map(({ what }) => what));
  const others = timings.operations.filter((step) => step.time !== undefined && !named.has(step.id)).map((step) => stretchOf(step, false));
  const longest = [...others].sort((a, b) => b.end - b.start - (a.end - a.start)).slice(0, Math.max(0, mostRows - critical.length));
  const shown = [...critical, ...longest].sort((a, b) => a.start - b.start || a.end - b.end);
  return { shown, left: others.length - longest.length };
}

function hiddenTimes(timings: StartTimings, shown: readonly Stretch[]): readonly number[] {
  const names = new Set(shown.map(({ what }) => what));
  return timings.operations.flatMap(({ id, time }) => (time === undefined || names.has(id) ? [] : [time.end - time.start]));
}

/** For Graphviz: who waited for whom; the critical path is bold. */
export function renderDot(timings: StartTimings): string {
  const { operations, planned } = timings;
  const path = criticalPath(operations, planned).map(({ operation }) => operation);
  const isNext = (from: number, to: number): boolean => path.some((step, i) => step === from && path[i + 1] === to);
  const nodes = operations.map((step, index) => {
    const time = step.time === undefined ? step.status : `${seconds(step.time.end - step.time.start)}${step.status === "failed" ? ", failed" : ""}`;
    return `  n${index} [label="${quoted(step.id)}\\n${time}"${path.includes(index) ? ", color=red, penwidth=2" : ""}];\n`;
  });
  const edges = operations.flatMap((step, index) => step.after.map((from) => `  n${from} -> n${index}${isNext(from, index) ? " [color=red, penwidth=2]" : ""};\n`));
  return `digraph "${quoted(timings.project)}" {\n  rankdir=LR;\n  node [shape=box, fontname="sans-serif"];\n${nodes.join("")}${edges.join("")}}\n`;
}

const quoted = (text: string): string => printable(text).replace(/["\\]/g, "\\$&");

/** The record as it is kept, with what follows from it: for each operation what it waited for longest, and the critical path. */
export function timingsJson(timings: StartTimings): object {
  const { operations, planned } = timings;
  return {
    ...timings,
    operations: operations.map((step, index) => {
      const waited = step.time === undefined ? undefined : waitedFor(operations, index);
      return { ...step, ...(waited === undefined ? {} : { waitedFor: waited }) };
    }),
    criticalPath: criticalPath(operations, planned).map(({ operation, queued, took }) => ({ operation, id: operations[operation]?.id, queued: hundredths(queued), took: hundredths(took) })),
  };
}

const hundredths = (ms: number): number => Math.round(ms * 100) / 100;

const share = (part: number, whole: number): string => `${whole <= 0 ? 0 : Math.round((part / whole) * 100)} %`.padStart(5);

const trimmed = (table: string): string => table.replace(/ +$/gm, "");

/** Milliseconds: `0.6 ms`, `12 ms`, `4.21 s`, `2 min 05 s`. */
function seconds(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(2)} s`;
  return `${Math.floor(ms / 60_000)} min ${String(Math.floor((ms % 60_000) / 1000)).padStart(2, "0")} s`;
}
