import { parseContainerId, parseHostPath, StackError } from "../core/index.ts";
import { allCapabilities } from "./capabilities.ts";
import type { HostFacts, ServiceInput } from "./input.ts";
import { toMonitorSpec } from "./monitor-spec.ts";
import { planMounts } from "./mounts.ts";
import { toOciConfig } from "./oci-config.ts";
import { defaultSeccompProfile } from "./seccomp-default.ts";

/** A machine that can do everything. */
const anyHost: HostFacts = {
  arch: "amd64",
  kernel: [6, 18],
  capabilities: allCapabilities,
  apparmor: true,
  selinux: false,
  hostname: "localhost",
  shm: true,
  cpus: 1,
  cgroup2: false,
  devices: {},
  seccomp: defaultSeccompProfile,
};

/**
 * Refuses what no machine and no image could make right, so that it can be said before anything is made: unknown
 * capabilities, signals, options and limits, targets that are no paths. A dry run of what creation does.
 */
export function checkService(service: ServiceInput): void {
  const id = parseContainerId("0".repeat(64));
  const directory = parseHostPath("/containers/0");
  if (id === undefined || directory === undefined) throw new StackError("internal", "the example container is wrong");
  planMounts(service, null);
  const blkio = { weight_device: [], device_read_bps: [], device_read_iops: [], device_write_bps: [], device_write_iops: [] };
  // Devices are the machine's matter; whether there is a command is the image's.
  const example: ServiceInput = { ...service, devices: [], blkio_config: blkio, entrypoint: ["/"] };
  const network = service.network_mode === "host" ? "host" : "private";
  toOciConfig({ id, service: example, image: null, user: { uid: 0, gid: 0, additionalGids: [] }, mounts: [], network, project: "0", host: anyHost });
  toMonitorSpec({
    id,
    name: "0",
    service: example,
    image: null,
    directory,
    rootfs: { kind: "directory", path: "/" },
    populate: [],
    network: { mode: "none", interfaces: [], dns: false, ports: [] },
    labels: {},
  });
}
