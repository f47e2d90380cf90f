/** Merges what is already there of several logs by time; equal times keep the order of the logs. */
export async function* mergeByTime<T extends { readonly at: number }, S>(
  logs: readonly { readonly source: S; readonly entries: AsyncIterator<T> }[],
): AsyncGenerator<{ readonly source: S; readonly entry: T }> {
  const heads = (
    await Promise.all(
      logs.map(async ({ source, entries }) => {
        const first = await entries.next();
        return first.done === true ? undefined : { source, entries, entry: first.value };
      }),
    )
  ).filter((head) => head !== undefined);
  try {
    while (heads.length > 0) {
      let least = 0;
      for (let i = 1; i < heads.length; i += 1) if ((heads[i]?.entry.at ?? 0) < (heads[least]?.entry.at ?? 0)) least = i;
      const head = heads[least];
      if (head === undefined) return;
      yield { source: head.source, entry: head.entry };
      const next = await head.entries.next();
      if (next.done === true) heads.splice(least, 1);
      else head.entry = next.value;
    }
  } finally {
    for (const head of heads) await head.entries.return?.();
  }
}
