import { resolve } from "node:path";
import type { HostPath, ServiceName } from "../core/index.ts";
import {
  makeBlkio,
  makeBuild,
  makeDeploy,
  makeDevelop,
  makeFileMount,
  makeHook,
  makeLogging,
  makeModels,
  makeProvider,
} from "./make-parts.ts";
import type { OwnKeys } from "./own.ts";
import type {
  Dependency,
  DependencyCondition,
  Device,
  EnvFile,
  Healthcheck,
  HealthTest,
  Limits,
  Mount,
  Port,
  PullPolicy,
  Restart,
  RestartTiming,
  Service,
  ServiceNetwork,
} from "./project.ts";
import {
  bytes,
  clean,
  data,
  extensions,
  flag,
  items,
  milliseconds,
  number,
  optionalFlag,
  strings,
  text,
  texts,
  variables,
} from "./record.ts";
import type { Data } from "./record.ts";
import { parseDuration } from "./units.ts";

/** What a service is besides its decoded members. */
export interface ServiceInput {
  readonly name: string;
  /** The project's: a seccomp profile is relative to it. */
  readonly directory: string;
  readonly canonical: Data;
  readonly own: OwnKeys;
  /** Dependencies that nobody wrote. */
  readonly implicit: ReadonlySet<string>;
  /** For services that name none: DOCKER_DEFAULT_PLATFORM. */
  readonly platform?: string | undefined;
}

/** The typed service. Everything in `canonical` was checked; nothing can fail here. */
export function makeService({ name, directory, canonical: c, own, implicit, platform }: ServiceInput): Service {
  const deploy = data(c["deploy"]);
  return clean<Service>({
    name: name as ServiceName,
    image: text(c, "image"),
    build: makeBuild(data(c["build"])),
    provider: makeProvider(data(c["provider"])),
    ...process(c),
    platform: text(c, "platform") ?? platform,
    ...lifecycle(c, deploy, implicit),
    ...networking(c),
    ...storage(c),
    ...security(c, directory),
    limits: makeLimits(c, deploy),
    blkio_config: makeBlkio(data(c["blkio_config"])),
    oom_kill_disable: flag(c, "oom_kill_disable"),
    oom_score_adj: number(c, "oom_score_adj"),
    logging: makeLogging(data(c["logging"])),
    deploy: makeDeploy(deploy),
    develop: makeDevelop(data(c["develop"])),
    models: makeModels(data(c["models"])),
    pre_start: items(c, "pre_start").map(makeHook),
    post_start: items(c, "post_start").map(makeHook),
    pre_stop: items(c, "pre_stop").map(makeHook),
    ...own,
    extensions: extensions(c, "x-stack"),
    canonical: c,
  });
}

function process(c: Data) {
  return {
    command: words(c, "command"),
    entrypoint: words(c, "entrypoint"),
    environment: variables(c, "environment"),
    env_file: items(c, "env_file").map((f) =>
      clean<EnvFile>({
        path: (text(f, "path") ?? "") as HostPath,
        required: f["required"] !== false,
        format: text(f, "format") === "raw" ? "raw" : undefined,
      }),
    ),
    working_dir: text(c, "working_dir"),
    user: text(c, "user"),
    group_add: texts(c, "group_add"),
    hostname: text(c, "hostname"),
    domainname: text(c, "domainname"),
    container_name: text(c, "container_name"),
    labels: strings(c, "labels"),
    annotations: strings(c, "annotations"),
    label_file: texts(c, "label_file") as readonly HostPath[],
    runtime: text(c, "runtime"),
    init: optionalFlag(c, "init"),
    tty: flag(c, "tty"),
    stdin_open: flag(c, "stdin_open"),
    attach: optionalFlag(c, "attach") ?? true,
    read_only: flag(c, "read_only"),
    privileged: flag(c, "privileged"),
  };
}

function words(from: Data, key: string): readonly string[] | undefined {
  const value = from[key];
  return Array.isArray(value) ? (value as string[]) : undefined;
}

function lifecycle(c: Data, deploy: Data | undefined, implicit: ReadonlySet<string>) {
  const policy = text(c, "pull_policy");
  return {
    depends_on: makeDependencies(data(c["depends_on"]), implicit),
    profiles: texts(c, "profiles"),
    scale: number(c, "scale") ?? number(deploy, "replicas") ?? 1,
    restart: makeRestart(text(c, "restart"), data(deploy?.["restart_policy"])),
    healthcheck: makeHealthcheck(data(c["healthcheck"])),
    stop_signal: text(c, "stop_signal"),
    stop_grace_period: milliseconds(c, "stop_grace_period") ?? 10_000,
    pull_policy: refreshPolicy(policy, text(c, "pull_refresh_after")) ?? (policy === undefined ? undefined : parsePullPolicy(policy)),
    pull_refresh_after: text(c, "pull_refresh_after"),
  };
}

/** `pull_refresh_after: 12h`, alone or with `pull_policy: refresh`, is what `every_12h` says. */
function refreshPolicy(policy: string | undefined, after: string | undefined): PullPolicy | undefined {
  if (after === undefined || (policy !== undefined && policy !== "refresh")) return undefined;
  const nanoseconds = parseDuration(after);
  return nanoseconds === undefined ? undefined : { kind: "every", interval: nanoseconds / 1e6 };
}

export function parsePullPolicy(policy: string): PullPolicy {
  switch (policy) {
    case "always":
    case "never":
    case "build":
      return { kind: policy };
    case "daily":
      return { kind: "every", interval: 86_400_000 };
    case "weekly":
      return { kind: "every", interval: 7 * 86_400_000 };
    default: {
      const interval = policy.startsWith("every_") ? parseDuration(policy.slice("every_".length)) : undefined;
      return interval === undefined ? { kind: "missing" } : { kind: "every", interval: interval / 1e6 };
    }
  }
}

function makeDependencies(from: Data | undefined, implicit: ReadonlySet<string>): Readonly<Record<string, Dependency>> {
  return mapValues(from, (d, name) =>
    clean<Dependency>({
      condition: (text(d, "condition") ?? "service_started") as DependencyCondition,
      restart: flag(d, "restart"),
      required: d["required"] !== false,
      implicit: implicit.has(name) ? true : undefined,
    }),
  );
}

/** `deploy.restart_policy` wins, as the specification says; without it `restart`. */
export function makeRestart(written: string | undefined, policy: Data | undefined): Restart {
  if (policy !== undefined) {
    const attempts = number(policy, "max_attempts") ?? 0;
    switch (text(policy, "condition")) {
      case "none":
      case "no":
        return { policy: "no" };
      case "on-failure":
        return { policy: "on-failure", max_attempts: attempts };
      case "unless-stopped":
        return { policy: "unless-stopped" };
      default:
        return attempts === 0 ? { policy: "always" } : { policy: "always", max_attempts: attempts };
    }
  }
  const [word = "", attempts] = (written ?? "").split(":");
  if (word === "always" || word === "unless-stopped") return { policy: word };
  if (word === "on-failure") return { policy: word, max_attempts: attempts === undefined ? 0 : Number(attempts) };
  return { policy: "no" };
}

/**
 * What `deploy.restart_policy` says of times: `delay` is the same before every restart, a run as long as `window` is a
 * success. A delay of 0 is no delay before the first restart alone: what crashes at once is not to keep a processor busy.
 */
export function deployTiming(policy: Data | undefined): Partial<RestartTiming> {
  const delay = milliseconds(policy, "delay") ?? 0;
  const window = milliseconds(policy, "window") ?? 0;
  return {
    ...(delay > 0 ? { first_delay: delay, delay, factor: 1, max_delay: delay } : {}),
    ...(window > 0 ? { reset_after: window } : {}),
  };
}

function makeHealthcheck(from: Data | undefined): Healthcheck | undefined {
  if (from === undefined) return undefined;
  return clean<Healthcheck>({
    test: makeTest(texts(from, "test")),
    disable: flag(from, "disable") || texts(from, "test")[0] === "NONE",
    interval: milliseconds(from, "interval"),
    timeout: milliseconds(from, "timeout"),
    retries: number(from, "retries"),
    start_period: milliseconds(from, "start_period"),
    start_interval: milliseconds(from, "start_interval"),
  });
}

function makeTest(test: readonly string[]): HealthTest | undefined {
  const [kind, ...rest] = test;
  switch (kind) {
    case undefined:
      return undefined;
    case "NONE":
      return { kind: "none" };
    case "CMD-SHELL":
      return { kind: "shell", command: rest.join(" ") };
    default:
      return { kind: "exec", command: rest };
  }
}

function networking(c: Data) {
  return {
    networks: mapValues(data(c["networks"]), makeServiceNetwork),
    network_mode: text(c, "network_mode"),
    mac_address: text(c, "mac_address"),
    ports: items(c, "ports").map(makePort),
    expose: texts(c, "expose"),
    extra_hosts: (data(c["extra_hosts"]) ?? {}) as Readonly<Record<string, readonly string[]>>,
    dns: texts(c, "dns"),
    dns_opt: texts(c, "dns_opt"),
    dns_search: texts(c, "dns_search"),
    links: texts(c, "links"),
    external_links: texts(c, "external_links"),
  };
}

function makeServiceNetwork(n: Data): ServiceNetwork {
  return clean<ServiceNetwork>({
    aliases: texts(n, "aliases"),
    ipv4_address: text(n, "ipv4_address"),
    ipv6_address: text(n, "ipv6_address"),
    link_local_ips: texts(n, "link_local_ips"),
    mac_address: text(n, "mac_address"),
    interface_name: text(n, "interface_name"),
    driver_opts: strings(n, "driver_opts"),
    priority: number(n, "priority") ?? 0,
    gw_priority: number(n, "gw_priority") ?? 0,
  });
}

function makePort(p: Data): Port {
  return clean<Port>({
    target: number(p, "target") ?? 0,
    published: text(p, "published"),
    host_ip: text(p, "host_ip"),
    protocol: (text(p, "protocol") ?? "tcp") as Port["protocol"],
    mode: text(p, "mode") === "host" ? "host" : "ingress",
    name: text(p, "name"),
    app_protocol: text(p, "app_protocol"),
  });
}

function storage(c: Data) {
  return {
    volumes: items(c, "volumes").map(makeMount),
    volumes_from: texts(c, "volumes_from"),
    tmpfs: texts(c, "tmpfs"),
    configs: items(c, "configs").map((m) => makeFileMount(m, "/")),
    secrets: items(c, "secrets").map((m) => makeFileMount(m, "/run/secrets/")),
    devices: items(c, "devices").map((d): Device => ({
      source: text(d, "source") ?? "",
      target: text(d, "target") ?? text(d, "source") ?? "",
      permissions: text(d, "permissions") ?? "rwm",
    })),
    device_cgroup_rules: texts(c, "device_cgroup_rules"),
    gpus: c["gpus"] === undefined ? undefined : items(c, "gpus"),
    shm_size: bytes(c, "shm_size"),
    storage_opt: strings(c, "storage_opt"),
  };
}

function makeMount(m: Data): Mount {
  const base = { target: text(m, "target") ?? "", read_only: flag(m, "read_only"), consistency: text(m, "consistency") };
  const source = text(m, "source");
  const type = text(m, "type");
  switch (type) {
    case "bind": {
      const bind = data(m["bind"]);
      return clean<Extract<Mount, { type: "bind" }>>({
        ...base,
        type,
        source: (source ?? "") as HostPath,
        create_host_path: flag(bind, "create_host_path"),
        propagation: text(bind, "propagation"),
        recursive: text(bind, "recursive") as Extract<Mount, { type: "bind" }>["recursive"],
        selinux: text(bind, "selinux") as "z" | "Z" | undefined,
      });
    }
    case "tmpfs": {
      const tmpfs = data(m["tmpfs"]);
      return clean<Extract<Mount, { type: "tmpfs" }>>({ ...base, type, size: bytes(tmpfs, "size"), mode: number(tmpfs, "mode") });
    }
    case "image":
      return clean<Extract<Mount, { type: "image" }>>({ ...base, type, source: source ?? "", subpath: text(data(m["image"]), "subpath") });
    case "npipe":
    case "cluster":
      return clean<Extract<Mount, { type: "npipe" | "cluster" }>>({ ...base, type, source });
    default: {
      const volume = data(m["volume"]);
      return clean<Extract<Mount, { type: "volume" }>>({
        ...base,
        type: "volume",
        source,
        nocopy: flag(volume, "nocopy"),
        subpath: text(volume, "subpath"),
        labels: strings(volume, "labels"),
      });
    }
  }
}

function security(c: Data, directory: string) {
  return {
    cap_add: texts(c, "cap_add"),
    cap_drop: texts(c, "cap_drop"),
    security_opt: texts(c, "security_opt").map((option) => {
      const profile = /^(seccomp[:=])(.+)$/s.exec(option);
      return profile?.[2] === undefined || ["unconfined", "builtin"].includes(profile[2]) ? option : `${profile[1] ?? ""}${resolve(directory, profile[2])}`;
    }),
    sysctls: strings(c, "sysctls"),
    ulimits: makeUlimits(data(c["ulimits"])),
    userns_mode: text(c, "userns_mode"),
    uts: text(c, "uts"),
    ipc: text(c, "ipc"),
    pid: text(c, "pid"),
    cgroup: text(c, "cgroup"),
    cgroup_parent: text(c, "cgroup_parent"),
    isolation: text(c, "isolation"),
    use_api_socket: flag(c, "use_api_socket"),
    credential_spec: data(c["credential_spec"]) as Service["credential_spec"],
  };
}

function makeUlimits(from: Data | undefined): Service["ulimits"] {
  const result: Record<string, { soft: number; hard: number }> = {};
  for (const [name, value] of Object.entries(from ?? {}))
    result[name] =
      typeof value === "number"
        ? { soft: value, hard: value }
        : { soft: number(data(value), "soft") ?? 0, hard: number(data(value), "hard") ?? 0 };
  return result;
}

function makeLimits(c: Data, deploy: Data | undefined): Limits {
  const resources = data(deploy?.["resources"]);
  const limits = data(resources?.["limits"]);
  const reservations = data(resources?.["reservations"]);
  return clean<Limits>({
    cpus: number(c, "cpus") ?? number(limits, "cpus"),
    cpu_count: number(c, "cpu_count"),
    cpu_percent: number(c, "cpu_percent"),
    cpu_shares: number(c, "cpu_shares"),
    cpu_quota: number(c, "cpu_quota"),
    cpu_period: number(c, "cpu_period"),
    cpu_rt_runtime: number(c, "cpu_rt_runtime"),
    cpu_rt_period: number(c, "cpu_rt_period"),
    cpuset: text(c, "cpuset"),
    mem_limit: bytes(c, "mem_limit") ?? bytes(limits, "memory"),
    mem_reservation: bytes(c, "mem_reservation") ?? bytes(reservations, "memory"),
    memswap_limit: bytes(c, "memswap_limit"),
    mem_swappiness: bytes(c, "mem_swappiness"),
    pids: number(c, "pids_limit") ?? number(limits, "pids"),
  });
}

function mapValues<T>(from: Data | undefined, make: (value: Data, key: string) => T): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(from ?? {}).map(([key, value]) => [key, make(data(value) ?? {}, key)]));
}
