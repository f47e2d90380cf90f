import { readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readBook } from "./facts.ts";
import type { Book } from "./facts.ts";

// Logs and records against what the workloads have written down themselves.

export interface BookQuestion {
  readonly root: string;
  readonly books: string;
  /** Monitors that were killed since the last question: each may cost one line, and hide one end from its record. */
  readonly killed: number;
  /** The disk was full, or the machine went down: what was written then is not counted. */
  readonly amnesty: boolean;
}

/** What was found missing before, and is not to be found again. */
const known = new Set<string>();

export function judgeBooks(question: BookQuestion): readonly string[] {
  const lost: string[] = [];
  const wrong: string[] = [];
  const containers = entries(join(question.root, "containers")).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const byHost = new Map(containers.map((id) => [id.slice(0, 12), id]));
  const books = new Map<string, Book[]>();
  for (const name of [...entries(question.books)].sort()) {
    const host = name.split("-")[0] ?? "";
    if (!byHost.has(host)) rmSync(join(question.books, name), { force: true });
    else books.set(host, [...(books.get(host) ?? []), readBook(join(question.books, name))]);
  }
  for (const [host, id] of byHost) {
    const directory = join(question.root, "containers", id);
    const state = parsed(text(join(directory, "state.json"))) as { status?: string; exitCode?: number } | undefined;
    const runs = (books.get(host) ?? []).filter((book) => book.run !== "");
    lost.push(...lostLines(directory, runs, state?.status === "exited").map((line) => `${host} ${line}`));
    const last = runs.at(-1);
    if (state?.status === "exited" && last?.ended === true && state.exitCode !== last.code && !(state.exitCode === -1 && question.killed > 0))
      wrong.push(`container ${host} ended with ${last.code}; its record says ${state.exitCode ?? "nothing"}`);
    const events = judgeEvents(directory);
    lost.push(...events.broken.map((line) => `${host} ${line}`));
    wrong.push(...events.wrong.map((line) => `container ${host}: ${line}`));
  }
  const fresh = (all: readonly string[]): readonly string[] => all.filter((line) => !known.has(line) && known.add(line));
  const newlyLost = fresh(lost);
  const newlyWrong = fresh(wrong);
  if (question.amnesty) return [];
  return [...(newlyLost.length > question.killed ? [`${newlyLost.length} lines are lost by ${question.killed} killed monitors: ${newlyLost.slice(0, 8).join("; ")}`] : []), ...newlyWrong];
}

function lostLines(directory: string, runs: readonly Book[], over: boolean): readonly string[] {
  const seen = new Map<string, Set<number>>();
  for (const line of text(join(directory, "log/container.log")).split("\n")) {
    const record = parsed(line) as { log?: string } | undefined;
    const [, run = "", number = ""] = /^(\S+-[0-9a-f]+) (\d+) \.{40}\n$/.exec(record?.log ?? "") ?? [];
    if (run !== "") seen.set(run, (seen.get(run) ?? new Set()).add(Number(number)));
  }
  return runs.flatMap(({ run, written }, at) => {
    const numbers = seen.get(run) ?? new Set<number>();
    // Of the run that goes on, the end may be on its way.
    const upTo = over || at < runs.length - 1 ? written : Math.min(written, Math.max(0, ...numbers));
    return Array.from({ length: upTo }, (_, n) => n + 1).filter((n) => !numbers.has(n)).map((n) => `${run} ${n}`);
  });
}

/** Every start but the last has its end; whole lines but for those that a kill cut. */
function judgeEvents(directory: string): { readonly broken: readonly string[]; readonly wrong: readonly string[] } {
  const broken: string[] = [];
  const wrong: string[] = [];
  let open: number | undefined;
  text(join(directory, "events.log"))
    .split("\n")
    .forEach((line, at) => {
      if (line === "") return;
      const event = parsed(line) as { type?: string; run?: number } | undefined;
      if (event === undefined) broken.push(`events.log:${at + 1}: ${line.slice(0, 80)}`);
      if (event?.type === "start") {
        if (open !== undefined) wrong.push(`run ${open} has a start in its events, and no end`);
        open = event.run ?? -1;
      }
      if (event?.type === "exit") open = undefined;
    });
  return { broken, wrong };
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}

function entries(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
