import { mkdir } from "node:fs/promises";
import { readMounts } from "../core/index.ts";
import type { NativeBinding } from "../native/index.ts";
import type { MonitorSpec } from "./formats.ts";

const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;

/** Mounts what a container needs on the host before it starts (after a reboot: again). Idempotent. */
export async function mountHostMounts(native: Pick<NativeBinding, "mount">, spec: Pick<MonitorSpec, "hostMounts">): Promise<void> {
  if (spec.hostMounts === undefined || spec.hostMounts.length === 0) return;
  const present = new Set((await readMounts()).map((mount) => mount.mountpoint));
  for (const { type, target, data } of spec.hostMounts) {
    if (present.has(target)) continue;
    await mkdir(target, { recursive: true, mode: 0o700 });
    native.mount({ source: "stack", target, type, flags: MS_NOSUID | MS_NODEV | (type === "overlay" ? MS_RDONLY : 0), data });
  }
}
