import { homedir } from "node:os";
import { join } from "node:path";
import { StackError } from "./errors.ts";
import type { ContainerId, HostPath, ProjectName } from "./ids.ts";
import { parseHostPath } from "./ids.ts";

/**
 * Where everything of one data root lives. Directories are 0700: set-user-id files of an image's
 * layers must not be reachable by other users of the host (CVE-2024-25621).
 *
 *     ROOT/
 *       root.json                    version, boot id and network namespace it was made in
 *       blobs/sha256/HEX             manifests and image configurations
 *       layers/HEX/diff              unpacked layers, HEX = diff id
 *       images/                      what each reference points to
 *       containers/ID/               one container: see native/PROTOCOL.md
 *       networks/ID.json             one network and its addresses
 *       volumes/NAME/{volume.json,_data}
 *       projects/NAME/               agent.sock, agent.lock, project.json, agent.log
 *       netns/router                 the router's network namespace (a bind mount)
 *       bin/HASH/                    content-addressed copies of the native binary and the agent
 *       cache/                       what may be lost: seccomp filters, skeletons, last-up/NAME.json (where a start's time went)
 *       tmp/                         staging; swept at start
 */
export interface DataRoot {
  readonly root: HostPath;
}

/** `STACK_ROOT`, else `/var/lib/stack` for root, else `$XDG_DATA_HOME/stack` (`~/.local/share/stack`). */
export function resolveDataRoot(env: NodeJS.ProcessEnv, uid: number): DataRoot {
  const set = env["STACK_ROOT"];
  if (set !== undefined && set !== "") {
    const root = parseHostPath(set);
    if (root === undefined)
      throw new StackError("usage", `STACK_ROOT must be an absolute path, not "${set}"`, {
        hint: "For example STACK_ROOT=/srv/stack.",
      });
    return { root };
  }
  if (uid === 0) return { root: "/var/lib/stack" as HostPath };
  const data = env["XDG_DATA_HOME"];
  const base = data !== undefined && data.startsWith("/") ? data : join(homedir(), ".local", "share");
  return { root: join(base, "stack") as HostPath };
}

const under = (root: DataRoot, ...parts: string[]): HostPath => join(root.root, ...parts) as HostPath;

export const paths = {
  containers: (r: DataRoot) => under(r, "containers"),
  container: (r: DataRoot, id: ContainerId) => under(r, "containers", id),
  networks: (r: DataRoot) => under(r, "networks"),
  volumes: (r: DataRoot) => under(r, "volumes"),
  images: (r: DataRoot) => under(r, "images"),
  blobs: (r: DataRoot) => under(r, "blobs", "sha256"),
  layers: (r: DataRoot) => under(r, "layers"),
  projects: (r: DataRoot) => under(r, "projects"),
  project: (r: DataRoot, name: ProjectName) => under(r, "projects", name),
  agentSocket: (r: DataRoot, name: ProjectName) => under(r, "projects", name, "agent.sock"),
  agentLock: (r: DataRoot, name: ProjectName) => under(r, "projects", name, "agent.lock"),
  router: (r: DataRoot) => under(r, "netns", "router"),
  bin: (r: DataRoot) => under(r, "bin"),
  cache: (r: DataRoot) => under(r, "cache"),
  tmp: (r: DataRoot) => under(r, "tmp"),
} as const;
