import { fstatSync, statSync } from "node:fs";
import { StackError } from "../core/index.ts";
import type { NativeBinding } from "../native/index.ts";

/** What this room needs of the addon. */
export type ImagesBinding = Pick<NativeBinding, "lock" | "lockWait" | "close" | "syncfs">;

/** A kernel lock (flock). It is held until `release`, and by whoever inherited `fd`. */
export interface HeldLock extends Disposable {
  readonly fd: number;
  release(): void;
}

export type LockMode = "shared" | "exclusive";

function held(native: ImagesBinding, fd: number): HeldLock {
  let open = true;
  const release = (): void => {
    if (open) native.close(fd);
    open = false;
  };
  return { fd, release, [Symbol.dispose]: release };
}

/** A lock file may be removed by whoever holds it: a lock on what has no name any more protects nothing. */
function isCurrent(path: string, fd: number): boolean {
  try {
    return statSync(path).ino === fstatSync(fd).ino;
  } catch {
    return false;
  }
}

/** Undefined if somebody else holds it. */
export function tryLock(native: ImagesBinding, path: string, mode: LockMode): HeldLock | undefined {
  for (;;) {
    const fd = native.lock(path, mode, false);
    if (fd < 0) return undefined;
    if (isCurrent(path, fd)) return held(native, fd);
    native.close(fd);
  }
}

/** Waits for it, or throws `cancelled`. `onWait` is called once if somebody else holds it. */
export async function waitForLock(native: ImagesBinding, path: string, mode: LockMode, signal?: AbortSignal, onWait?: () => void): Promise<HeldLock> {
  for (let waited = false; ; waited = true) {
    throwIfAborted(signal);
    const quick = tryLock(native, path, mode);
    if (quick !== undefined) return quick;
    if (!waited) onWait?.();
    const waiting = native.lockWait(path, mode);
    const cancel = (): void => {
      waiting.cancel();
    };
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      const fd = await waiting.promise;
      if (isCurrent(path, fd)) return held(native, fd);
      native.close(fd);
    } catch (error) {
      throwIfAborted(signal);
      throw error;
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new StackError("cancelled", "Cancelled", { cause: signal.reason });
}
