import { StackError } from "../core/index.ts";

/** Linux on every architecture that Node runs on but MIPS and Alpha (signal(7)). */
const numbers: Readonly<Record<string, number>> = {
  HUP: 1, INT: 2, QUIT: 3, ILL: 4, TRAP: 5, ABRT: 6, IOT: 6, BUS: 7, FPE: 8, KILL: 9, USR1: 10, SEGV: 11, USR2: 12,
  PIPE: 13, ALRM: 14, TERM: 15, STKFLT: 16, CHLD: 17, CLD: 17, CONT: 18, STOP: 19, TSTP: 20, TTIN: 21, TTOU: 22,
  URG: 23, XCPU: 24, XFSZ: 25, VTALRM: 26, PROF: 27, WINCH: 28, IO: 29, POLL: 29, PWR: 30, SYS: 31,
};
const realtimeMin = 34;
const realtimeMax = 64;

/** `SIGTERM`, `term`, `15`, `RTMIN+3`, `SIGRTMAX-1` → the number. */
export function parseSignal(text: string): number {
  const name = text.trim().toUpperCase().replace(/^SIG/, "");
  if (/^\d+$/.test(name)) {
    const n = Number(name);
    if (n >= 1 && n <= realtimeMax) return n;
  }
  const known = numbers[name];
  if (known !== undefined && Object.hasOwn(numbers, name)) return known;
  const realtime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realtime !== null) {
    const base = realtime[1] === "MIN" ? realtimeMin : realtimeMax;
    const n = base + (realtime[2] === "-" ? -1 : 1) * Number(realtime[3] ?? "0");
    if (n >= realtimeMin && n <= realtimeMax) return n;
  }
  throw new StackError("usage", `"${text}" is not a signal`, { hint: "For example SIGTERM, INT, 9 or SIGRTMIN+3." });
}

/** `SIGTERM`; real-time signals as `SIGRTMIN+n`. */
export function signalName(signal: number): string {
  const found = Object.entries(numbers).find(([, n]) => n === signal);
  if (found !== undefined) return `SIG${found[0]}`;
  if (signal === realtimeMin) return "SIGRTMIN";
  if (signal > realtimeMin && signal <= realtimeMax) return `SIGRTMIN+${signal - realtimeMin}`;
  return String(signal);
}
