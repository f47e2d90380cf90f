import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runtimeBinaryPath } from "../../src/native/index.ts";

/** What `stack-runtime unpack` says: native/PROTOCOL.md. */
export interface UnpackResult {
  readonly ok: boolean;
  readonly digest?: string;
  readonly diffId?: string;
  readonly bytes?: number;
  readonly files?: number;
  readonly implicit?: readonly string[];
  readonly opaque?: readonly string[];
  readonly error?: { readonly stage: string; readonly call: string; readonly errno: number; readonly path: string; readonly message: string };
}

/** A directory to unpack into, with neighbours that must stay as they are. */
export class UnpackBench implements Disposable {
  readonly runtime = runtimeBinaryPath();
  readonly scratch = mkdtempSync("/var/tmp/stack-unpack-");
  readonly into = join(this.scratch, "into");

  constructor() {
    this.clear();
  }

  clear(): void {
    rmSync(this.into, { recursive: true, force: true });
    mkdirSync(this.into, { mode: 0o700 });
  }

  /** Unpacks into the (emptied) directory. */
  run(input: Buffer, ...options: string[]): UnpackResult {
    this.clear();
    const child = spawnSync(this.runtime, ["unpack", "--into", this.into, ...options], { input, maxBuffer: 64 << 20, timeout: 60_000 });
    const lines = child.stdout.toString("utf8").trimEnd().split("\n");
    if (lines.length !== 1 || child.signal !== null) throw new Error(`unpack ended with ${String(child.signal)} and said ${child.stdout.toString("utf8")}`);
    return JSON.parse(lines[0] ?? "") as UnpackResult;
  }

  path(name: string): string {
    return join(this.into, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

/** Node reads no extended attributes. Undefined if there is none. */
export function getXattr(path: string, name: string): string | undefined {
  const program = "import os,sys\ntry: sys.stdout.buffer.write(b'+'+os.getxattr(sys.argv[1], sys.argv[2], follow_symlinks=False))\nexcept OSError: pass";
  const out = execFileSync("python3", ["-c", program, path, name]).toString("latin1");
  return out.startsWith("+") ? out.slice(1) : undefined;
}
