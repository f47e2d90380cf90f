/** For this room's tests. */
import { parseContainerId, StackError } from "../core/index.ts";
import type { ContainerId } from "../core/index.ts";
import { allCapabilities } from "./capabilities.ts";
import type { HostFacts, ImageInput, OciInput, ServiceInput } from "./input.ts";

export const id: ContainerId = need(parseContainerId("0123456789ab".padEnd(64, "c")));

function need<T>(value: T | undefined): T {
  if (value === undefined) throw new StackError("internal", "a fixture is wrong");
  return value;
}

export const image: ImageInput = {
  user: "",
  env: ["PATH=/app/bin:/bin", "LANG=C", "=odd", "bare"],
  entrypoint: ["/entry"],
  cmd: ["serve", "--all"],
  workingDir: "/app",
  volumes: [],
  stopSignal: "",
};

export const host: HostFacts = {
  arch: "amd64",
  kernel: [6, 18],
  capabilities: allCapabilities,
  apparmor: false,
  selinux: false,
  hostname: "machine",
  shm: true,
  cpus: 2,
  cgroup2: true,
  devices: {},
};

export function service(members: Partial<ServiceInput> = {}): ServiceInput {
  return {
    name: "web",
    environment: {},
    group_add: [],
    annotations: {},
    labels: {},
    restart: { policy: "no" },
    restart_policy: { first_delay: 0, delay: 100, factor: 2, max_delay: 60_000, jitter: 0, reset_after: 10_000 },
    stop_grace_period: 10_000,
    tty: false,
    stdin_open: false,
    read_only: false,
    privileged: false,
    volumes: [],
    tmpfs: [],
    configs: [],
    secrets: [],
    devices: [],
    device_cgroup_rules: [],
    storage_opt: {},
    cap_add: [],
    cap_drop: [],
    security_opt: [],
    sysctls: {},
    ulimits: {},
    limits: {},
    oom_kill_disable: false,
    ...members,
  };
}

export function input(members: Partial<ServiceInput> = {}, rest: Partial<Omit<OciInput, "service">> = {}): OciInput {
  return { id, service: service(members), image, user: { uid: 0, gid: 0, additionalGids: [0] }, mounts: [], network: "private", project: "abc", host, ...rest };
}

/** Code and message of what is thrown. */
export function refusal(make: () => unknown): readonly [string, string] {
  try {
    make();
  } catch (error) {
    if (error instanceof StackError) return [error.code, error.message];
    throw error;
  }
  return ["", "nothing was refused"];
}
