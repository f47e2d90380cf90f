import { closeSync, openSync, readSync, writeFileSync, writeSync } from "node:fs";
import { Buffer } from "node:buffer";

// The memory that the driver shares with the processes of the program under test; laid out as in steps.cc.

const slots = 2048;
const nameBytes = 88;
const headBytes = 32 + 96;
const slotBytes = 8 + nameBytes;

export const roles = { cli: 1, agent: 2, monitor: 3, child: 4 } as const;
export type Role = keyof typeof roles;
export const modes = ["before", "after", "half", "fail"] as const;
export type Mode = (typeof modes)[number];

/** One process is to die, or one call to fail, at a step. */
export interface Blow {
  readonly role: Role;
  readonly mode: Mode;
  /** For `fail`. */
  readonly errno?: number;
  /** So many steps pass before it. */
  readonly after: number;
  /** Only steps of this name count. */
  readonly step?: string;
}

function hashOf(name: string): number {
  let hash = 2166136261;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 16777619) >>> 0;
  return hash === 0 ? 1 : hash;
}

export class Board {
  readonly #fd: number;
  readonly #trace: string;
  #armed = 0;

  constructor(root: string) {
    writeFileSync(`${root}.board`, Buffer.alloc(headBytes + slots * slotBytes), { mode: 0o600 });
    this.#trace = `${root}.trace`;
    writeFileSync(this.#trace, "", { mode: 0o600 });
    this.#fd = openSync(`${root}.board`, "r+");
  }

  close(): void {
    closeSync(this.#fd);
  }

  arm(blow: Blow): void {
    const head = Buffer.alloc(32);
    head.writeUInt32LE(roles[blow.role], 4);
    head.writeUInt32LE(modes.indexOf(blow.mode), 8);
    head.writeUInt32LE(blow.errno ?? 0, 12);
    head.writeInt32LE(blow.after, 16);
    head.writeUInt32LE(blow.step === undefined ? 0 : hashOf(blow.step), 20);
    writeSync(this.#fd, head, 0, 32, 0);
    this.#armed += 1;
    head.writeUInt32LE(this.#armed, 0);
    writeSync(this.#fd, head, 0, 4, 0);
  }

  disarm(): void {
    writeSync(this.#fd, Buffer.alloc(4), 0, 4, 0);
  }

  /** The step at which the last blow fell; undefined: it has not. */
  get fallen(): { readonly step: string; readonly pid: number } | undefined {
    const head = Buffer.alloc(headBytes);
    readSync(this.#fd, head, 0, headBytes, 0);
    if (this.#armed === 0 || head.readUInt32LE(28) !== this.#armed) return undefined;
    return { step: text(head.subarray(32)), pid: head.readUInt32LE(24) };
  }

  /** All steps that were passed since the beginning, of the native program alone. */
  native(): ReadonlyMap<string, number> {
    const all = Buffer.alloc(headBytes + slots * slotBytes);
    readSync(this.#fd, all, 0, all.length, 0);
    const found = new Map<string, number>();
    for (let at = headBytes; at < all.length; at += slotBytes) {
      const count = all.readUInt32LE(at + 4);
      if (count > 0) found.set(text(all.subarray(at + 8, at + slotBytes)), count);
    }
    return found;
  }

  /** The file to which agent and command add the names of their steps. */
  get trace(): string {
    return this.#trace;
  }
}

function text(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}
