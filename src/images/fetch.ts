import type { Digest } from "../core/index.ts";
import type { ImageStore } from "./images.ts";
import { repairLayer } from "./implicit.ts";
import type { HeldLayer, LayerSource } from "./layers.ts";
import { throwIfAborted } from "./locks.ts";
import type { Image, ImageProgress } from "./types.ts";

/** One layer of an image that is being made. */
export interface WantedLayer {
  readonly diffId: Digest;
  /** How it is called in progress reports. */
  readonly name: string;
  /** Bytes as they come. */
  readonly size: number;
  source(signal: AbortSignal, report: (status: LayerStatus, current: number) => void): LayerSource;
}

type LayerStatus = Extract<ImageProgress, { kind: "layer" }>["status"];

/** The layers of an image, lowest first, held until it is known. */
export interface ImageLayers {
  readonly diffIds: readonly Digest[];
  /** Bytes unpacked. */
  readonly size: number;
}

/**
 * Brings all layers here, as many at once as there are slots (the first failure stops the others), then
 * calls `commit` while nobody can remove them.
 */
export async function withLayers(
  store: ImageStore,
  reference: string,
  wanted: readonly WantedLayer[],
  options: { readonly signal: AbortSignal; readonly onProgress?: (progress: ImageProgress) => void },
  commit: (layers: ImageLayers) => Promise<Image>,
): Promise<Image> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const held = new Map<WantedLayer, HeldLayer>();
  const failures: unknown[] = [];
  const one = async (layer: WantedLayer): Promise<void> => {
    const report = (status: LayerStatus, current: number): void => {
      options.onProgress?.({ kind: "layer", reference, layer: layer.name, status, current, total: layer.size });
    };
    report("waiting", 0);
    const there = await store.slots.run(signal, () => store.layers.ensure(layer.diffId, layer.source(signal, report), signal, () => report("waiting", 0)));
    held.set(layer, there);
    report(there.made ? "done" : "exists", layer.size);
  };
  let repair: HeldLayer | undefined;
  try {
    const work = wanted.map((layer) =>
      one(layer).catch((error: unknown) => {
        failures.push(error);
        stop.abort();
      }),
    );
    await Promise.all(work);
    throwIfAborted(options.signal);
    if (failures.length > 0) throw failures[0] as Error;
    const layers = wanted.flatMap((layer) => held.get(layer) ?? []);
    repair = await repairLayer(store.layers, layers.map((l) => l.record), signal);
    const all = repair === undefined ? layers : [...layers, repair];
    await store.layers.settle(all);
    const unique = new Map(all.map(({ record }) => [record.diffId, record.bytes]));
    return await commit({ diffIds: all.map(({ record }) => record.diffId), size: [...unique.values()].reduce((a, b) => a + b, 0) });
  } finally {
    for (const { lock } of held.values()) lock.release();
    repair?.lock.release();
  }
}
