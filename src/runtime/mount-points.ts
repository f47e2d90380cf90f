import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { HostPath } from "../core/index.ts";

/** What every container has something mounted on, and what images built for Docker do not bring along. */
const directories = ["proc", "sys", "dev", "etc"];
export const identityFileNames: readonly string[] = ["hosts", "hostname", "resolv.conf"];

/**
 * The lowest layer of every container: empty places for the mounts that all of them have. An image that lacks them would
 * get them in the container's own layer, one copy for each container, which costs the kernel more than everything else
 * that happens on disk when a container is made. What the image has there hides what is here.
 */
export function mountPointLayer(root: HostPath): string {
  const layer = join(root, "cache", "mount-points-1");
  if (!existsSync(layer)) make(layer);
  return layer;
}

/** Under another name first: whoever sees the layer sees all of it. */
function make(layer: string): void {
  const staging = `${layer}.${randomBytes(6).toString("hex")}`;
  try {
    for (const name of ["", ...directories]) {
      mkdirSync(join(staging, name), { recursive: true });
      chmodSync(join(staging, name), 0o755);
    }
    for (const name of identityFileNames) {
      writeFileSync(join(staging, "etc", name), "");
      chmodSync(join(staging, "etc", name), 0o644);
    }
    renameSync(staging, layer);
  } catch (error) {
    rmSync(staging, { recursive: true, force: true });
    // Another process was quicker: it made the same.
    if (!["EEXIST", "ENOTEMPTY"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
