import { parseProjectName, paths, systemClock } from "../core/index.ts";
import type { ContainerId, DataRoot } from "../core/index.ts";
import type { Images } from "../images/index.ts";
import type { Project } from "../model/index.ts";
import { loadNative } from "../native/index.ts";
import type { Networks } from "../network/index.ts";
import { reconcile } from "../reconcile/index.ts";
import type { Plan, ReconcileOptions } from "../reconcile/index.ts";
import { FileAccess, MonitorClient } from "../runtime/index.ts";
import type { StoredContainer } from "../runtime/index.ts";
import type { Volumes } from "../volumes/index.ts";
import { readDesired } from "./desired.ts";
import { alteredLimits, hasLimits } from "./limits.ts";
import { observe, reconcileContext } from "./observe.ts";
import { openRooms } from "./rooms.ts";
import { readTimings } from "./start-timings.ts";
import type { StartTimings } from "./start-timings.ts";
import { readHealth, summaryOf } from "./summary.ts";
import type { ContainerSummary } from "./types.ts";

/** What a command needs that only reads, or works on images: the engine in its own process, no agent. */
export interface Engine {
  /** Read from the files of the containers alone. */
  containers(filter?: { readonly project?: string }): Promise<readonly ContainerSummary[]>;
  readonly images: Images;
  readonly networks: Networks;
  readonly volumes: Volumes;
  monitor(id: ContainerId): MonitorClient;
  /** Files of a container, whether it runs or not; without one those of the host. */
  files(id?: ContainerId): FileAccess;
  /** What `apply` would do. Changes nothing. */
  plan(project: Project, options: ReconcileOptions): Promise<Plan>;
  projects(): Promise<readonly ProjectSummary[]>;
  /** The project as the last `up` saw it, if it has not been taken down. */
  lastProject(name: string): Promise<Project | undefined>;
  /** Where the time of its last start went, also when all was taken down since. */
  lastTimings(name: string): Promise<StartTimings | undefined>;
}

export interface ProjectSummary {
  readonly name: string;
  /** `running(2), exited(1)` */
  readonly status: string;
  readonly configFiles: readonly string[];
}

export function openEngine(root: DataRoot): Engine {
  const rooms = openRooms(root, loadNative());
  const containers: Engine["containers"] = async (filter = {}) => {
    const all = await rooms.containers.list();
    const wanted = all.filter((c) => filter.project === undefined || c.record.project === filter.project);
    const summaries = await Promise.all(wanted.map((c) => storedSummary(root, c)));
    return summaries.sort((a, b) => (a.project < b.project ? -1 : a.project > b.project ? 1 : a.service < b.service ? -1 : a.service > b.service ? 1 : a.number - b.number));
  };
  return {
    containers,
    get images() {
      return rooms.images;
    },
    get networks() {
      return rooms.networks;
    },
    get volumes() {
      return rooms.volumes;
    },
    monitor: (id) => new MonitorClient(rooms.native, root, id),
    files: (id) => new FileAccess(rooms.native, id === undefined ? undefined : paths.container(root, id)),
    async plan(project, options) {
      const own = await containers({ project: project.name });
      const limited = own.filter((container) => hasLimits(project, container));
      const observed = await observe(rooms, project, own, await alteredLimits(limited, (id) => new MonitorClient(rooms.native, root, id)));
      return reconcile(project, observed, options, reconcileContext(systemClock.now()));
    },
    projects: async () => projectsOf(await containers()),
    async lastProject(name) {
      const project = parseProjectName(name);
      return project === undefined ? undefined : readDesired(root, project);
    },
    async lastTimings(name) {
      const project = parseProjectName(name);
      return project === undefined ? undefined : readTimings(root, project);
    },
  };
}

async function storedSummary(root: DataRoot, { record, state, status }: StoredContainer): Promise<ContainerSummary> {
  const health = record.health === undefined && record.ready === undefined && record.onUnhealthy === undefined ? undefined : await readHealth(paths.container(root, record.id));
  return summaryOf(record, status, state, health);
}

function projectsOf(containers: readonly ContainerSummary[]): readonly ProjectSummary[] {
  const names = [...new Set(containers.map((container) => container.project))].sort();
  return names.map((name) => {
    const own = containers.filter((container) => container.project === name && !container.oneoff);
    const counts = new Map<string, number>();
    for (const { status } of own) counts.set(status, (counts.get(status) ?? 0) + 1);
    const files = own[0]?.record.labels["com.docker.compose.project.config_files"] ?? "";
    return {
      name,
      status: [...counts].map(([status, count]) => `${status}(${count})`).sort().join(", "),
      configFiles: files === "" ? [] : files.split(","),
    };
  });
}

