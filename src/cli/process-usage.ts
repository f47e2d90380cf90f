import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cgroupDirectories, cgroupsOf, readMounts } from "../core/index.ts";
import type { CgroupMembership } from "../core/index.ts";
import type { ContainerSummary } from "../engine/index.ts";
import { processesOf } from "./process-table.ts";
import type { ProcessRow } from "./process-table.ts";

/** What the processes of one supervised process use together. */
export interface ProcessUsage {
  /** On the host; 0: it does not run. */
  readonly pid: number;
  /** Processor time, seconds: of those that live now, or of its control group. */
  readonly time: number;
  /** Bytes. */
  readonly memory: number;
  readonly count: number;
}

interface Member extends ProcessRow {
  readonly group: string;
  readonly inside: number;
  readonly memory: number;
}

/**
 * What each supervised process of a container uses. Which process belongs to which says its control group
 * (`p-NAME`) where the unified hierarchy is there, else descent. What stays is `main`'s, but for init itself.
 */
export async function usageOfProcesses(container: ContainerSummary, now: number): Promise<ReadonlyMap<string, ProcessUsage>> {
  const first = container.state?.pid ?? 0;
  const states = container.state?.supervision?.processes ?? [];
  if (first <= 0) return new Map();
  const members = (await Promise.all((await processesOf(first, now)).map(memberOf))).filter((member) => member.pid !== first);
  const owners = ownersOf(members, states);
  const result = new Map<string, ProcessUsage>();
  for (const state of states) {
    const own = members.filter((member) => owners.get(member.pid) === state.name);
    const group = await groupUsage(first, `p-${state.name}`);
    result.set(state.name, {
      pid: members.find((member) => state.pid > 0 && member.inside === state.pid)?.pid ?? 0,
      time: group?.time ?? own.reduce((sum, member) => sum + member.time, 0),
      memory: group?.memory ?? own.reduce((sum, member) => sum + member.memory, 0),
      count: own.length,
    });
  }
  return result;
}

/** Host pid → the supervised process that it belongs to. */
export async function processOwners(container: ContainerSummary, rows: readonly ProcessRow[]): Promise<ReadonlyMap<number, string>> {
  const states = container.state?.supervision?.processes ?? [];
  return states.length === 0 ? new Map() : ownersOf(await Promise.all(rows.map(memberOf)), states);
}

function ownersOf(members: readonly Member[], states: readonly { readonly name: string; readonly pid: number }[]): ReadonlyMap<number, string> {
  const owners = new Map<number, string>();
  const names = new Set(states.map((state) => state.name));
  for (const member of members) {
    const started = states.find((state) => state.pid > 0 && state.pid === member.inside);
    const name = started?.name ?? (member.group.startsWith("p-") ? member.group.slice(2) : undefined);
    if (name !== undefined && names.has(name)) owners.set(member.pid, name);
  }
  for (let grown = true; grown; ) {
    grown = false;
    for (const member of members) {
      const parent = owners.get(member.ppid);
      if (parent === undefined || owners.has(member.pid) || member.group === "exec") continue;
      owners.set(member.pid, parent);
      grown = true;
    }
  }
  return owners;
}

async function memberOf(row: ProcessRow): Promise<Member> {
  const [group, status] = await Promise.all([unifiedGroup(row.pid), content(`/proc/${row.pid}/status`)]);
  const inside = Number(/^NSpid:.*\s(\d+)$/m.exec(status)?.[1] ?? 0);
  const memory = Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0) + Number(/^RssShmem:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  return { ...row, group: group?.path.split("/").at(-1) ?? "", inside, memory: memory * 1024 };
}

/** Exact, and with those that have ended: where the group has the controllers (version 2). */
async function groupUsage(first: number, leaf: string): Promise<{ readonly time: number; readonly memory: number } | undefined> {
  const group = await unifiedGroup(first);
  const [own] = group === undefined ? [] : cgroupDirectories([group], await readMounts());
  if (own === undefined) return undefined;
  const directory = join(dirname(own.directory), leaf);
  const [memory, cpu] = await Promise.all([content(`${directory}/memory.current`), content(`${directory}/cpu.stat`)]);
  const microseconds = /^usage_usec (\d+)$/m.exec(cpu)?.[1];
  if (memory === "" || microseconds === undefined) return undefined;
  return { memory: Number(memory), time: Number(microseconds) / 1e6 };
}

/** Its place in the hierarchy of version 2. */
async function unifiedGroup(pid: number): Promise<CgroupMembership | undefined> {
  return (await cgroupsOf(pid)).find(({ controllers }) => controllers.length === 0);
}

const content = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");
