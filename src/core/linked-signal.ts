import { setMaxListeners } from "node:events";

/** Aborted as soon as one of its sources is. To be disposed of: then no source knows of it any more. */
export interface LinkedSignal extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * As `AbortSignal.any`, which leaves a kilobyte behind in each source that lives longer than the signal (Node 20): an
 * agent whose own end is a source of every command's signal would grow for ever. Every operation of a large stack may listen.
 */
export function linkSignals(sources: readonly AbortSignal[]): LinkedSignal {
  const linked = new AbortController();
  setMaxListeners(0, linked.signal);
  const undo: (() => void)[] = [];
  for (const source of sources) {
    const follow = (): void => {
      linked.abort(source.reason);
    };
    if (source.aborted) follow();
    source.addEventListener("abort", follow, { once: true });
    undo.push(() => {
      source.removeEventListener("abort", follow);
    });
  }
  return {
    signal: linked.signal,
    [Symbol.dispose]() {
      for (const leave of undo.splice(0)) leave();
    },
  };
}
