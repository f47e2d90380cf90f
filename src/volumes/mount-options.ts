/** Mount flags by their names in mount(8), with the bits of mount(2). */
const flagBits: Readonly<Record<string, number>> = {
  ro: 1,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  sync: 16,
  remount: 32,
  mand: 64,
  dirsync: 128,
  noatime: 1024,
  nodiratime: 2048,
  bind: 4096,
  rbind: 4096 | 16384,
  silent: 32768,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  relatime: 1 << 21,
  strictatime: 1 << 24,
  lazytime: 1 << 25,
};
const clears: Readonly<Record<string, number>> = { rw: 1, suid: 2, dev: 4, exec: 8, async: 16, atime: 1024, diratime: 2048 };
const meaningless = new Set(["defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser"]);

export interface MountOptions {
  readonly flags: number;
  /** What the file system itself understands, comma-separated. */
  readonly data: string;
}

/** `size=100m,noexec,ro` → flags and data. */
export function parseMountOptions(text: string): MountOptions {
  let flags = 0;
  const data: string[] = [];
  for (const option of text.split(",").map((part) => part.trim())) {
    if (option === "" || meaningless.has(option)) continue;
    if (Object.hasOwn(flagBits, option)) flags |= flagBits[option] ?? 0;
    else if (Object.hasOwn(clears, option)) flags &= ~(clears[option] ?? 0);
    else data.push(option);
  }
  return { flags, data: data.join(",") };
}

export const MS_RDONLY = 1;
export const MS_REMOUNT = 32;
export const MS_BIND = 4096;
