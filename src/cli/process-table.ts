import { readdir, readFile, readlink } from "node:fs/promises";

/** One process of a container, as the host sees it. */
export interface ProcessRow {
  readonly uid: string;
  readonly pid: number;
  readonly ppid: number;
  /** Processor use over its life, percent. */
  readonly cpu: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly tty: string;
  /** Processor time, seconds. */
  readonly time: number;
  readonly command: string;
}

interface Stat {
  readonly pid: number;
  readonly ppid: number;
  readonly tty: number;
  readonly ticks: number;
  readonly start: number;
  readonly name: string;
}

/** Of sysconf(_SC_CLK_TCK) on every architecture that Linux has left. */
const ticksPerSecond = 100;

/**
 * Every process of the container with this first process: those in its pid namespace, or, where it shares the
 * host's, its descendants.
 */
export async function processesOf(first: number, now: number): Promise<readonly ProcessRow[]> {
  const [own, theirs] = await Promise.all([namespaceOf("self"), namespaceOf(String(first))]);
  if (theirs === undefined) return [];
  const stats = (await Promise.all((await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(readStat))).filter((stat) => stat !== undefined);
  const mine = own === theirs ? descendants(stats, first) : await inNamespace(stats, theirs);
  const [uptime = "0"] = (await readFile("/proc/uptime", "utf8")).split(" ");
  const bootedAt = now - Number(uptime) * 1000;
  const names = await userNames();
  const rows = await Promise.all(mine.map((stat) => rowOf(stat, bootedAt, now, names)));
  return rows.filter((row) => row !== undefined).sort((a, b) => a.pid - b.pid);
}

async function namespaceOf(pid: string): Promise<string | undefined> {
  return readlink(`/proc/${pid}/ns/pid`).catch(() => undefined);
}

async function inNamespace(stats: readonly Stat[], namespace: string): Promise<readonly Stat[]> {
  const namespaces = await Promise.all(stats.map((stat) => namespaceOf(String(stat.pid))));
  return stats.filter((_, i) => namespaces[i] === namespace);
}

function descendants(stats: readonly Stat[], first: number): readonly Stat[] {
  const found = new Set([first]);
  for (let grown = true; grown; ) {
    grown = false;
    for (const { pid, ppid } of stats)
      if (found.has(ppid) && !found.has(pid)) {
        found.add(pid);
        grown = true;
      }
  }
  return stats.filter((stat) => found.has(stat.pid));
}

/** proc(5), /proc/PID/stat. The name may hold spaces and parentheses: it ends at the last one. */
async function readStat(pid: string): Promise<Stat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const end = text.lastIndexOf(")");
  const fields = text.slice(end + 2).split(" ");
  const at = (field: number): number => Number(fields[field - 3] ?? 0);
  return { pid: Number(pid), ppid: at(4), tty: at(7), ticks: at(14) + at(15), start: at(22), name: text.slice(text.indexOf("(") + 1, end) };
}

async function rowOf(stat: Stat, bootedAt: number, now: number, names: ReadonlyMap<string, string>): Promise<ProcessRow | undefined> {
  try {
    const [status, cmdline] = await Promise.all([readFile(`/proc/${stat.pid}/status`, "utf8"), readFile(`/proc/${stat.pid}/cmdline`, "utf8")]);
    const uid = /^Uid:\s+(\d+)/m.exec(status)?.[1] ?? "?";
    const startedAt = bootedAt + (stat.start / ticksPerSecond) * 1000;
    const time = stat.ticks / ticksPerSecond;
    const lived = Math.max(0.001, (now - startedAt) / 1000);
    return {
      uid: names.get(uid) ?? uid,
      pid: stat.pid,
      ppid: stat.ppid,
      cpu: Math.min(99, Math.floor((time / lived) * 100)),
      startedAt,
      tty: terminalName(stat.tty),
      time,
      command: cmdline === "" ? `[${stat.name}]` : cmdline.replace(/[\0 ]+$/, "").replaceAll("\0", " "),
    };
  } catch {
    return undefined; // it ended meanwhile
  }
}

/** Device number → name; pseudo terminals have the majors 136 to 143. */
function terminalName(device: number): string {
  const major = (device >> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  if (major >= 136 && major <= 143) return `pts/${minor + (major - 136) * 256}`;
  return "?";
}

async function userNames(): Promise<ReadonlyMap<string, string>> {
  const text = await readFile("/etc/passwd", "utf8").catch(() => "");
  return new Map(text.split("\n").map((line) => line.split(":")).map(([name = "", , uid = ""]) => [uid, name]));
}
