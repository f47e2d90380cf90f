/**
 * The canonical document as a table: which members an element has, in which order they are printed, and how
 * each is read. A new attribute of the specification is one line here and one in the schema.
 */
export type Shape =
  /** Text; numbers are taken as text. Left out when empty. */
  | { readonly kind: "text" }
  /** Left out when 0 unless `zero`. `bare`: digits in quotes are no number. */
  | { readonly kind: "integer"; readonly zero?: boolean; readonly bare?: boolean }
  /** Single precision, as Compose keeps it. Left out when 0. */
  | { readonly kind: "float" }
  /** Left out when false unless `no`. */
  | { readonly kind: "flag"; readonly no?: boolean }
  /** Bytes, printed as a string of digits. */
  | { readonly kind: "bytes" }
  /** Printed as Go does. `zero`: `0s` is kept. */
  | { readonly kind: "duration"; readonly zero?: boolean }
  /** Permission bits: octal as text, printed as `"0440"`. */
  | { readonly kind: "mode" }
  /** Words, or a line to be split into words; an empty list is kept: it clears the image's. */
  | { readonly kind: "command" }
  | { readonly kind: "health-test" }
  /** List of text; a single value is a list of one. */
  | { readonly kind: "texts" }
  /** `variables`: a key without a value stays without (null). `plain`: it gets the empty text. */
  | { readonly kind: "pairs"; readonly mode: "variables" | "plain" }
  /** Option name → list of values. */
  | { readonly kind: "multi-options" }
  /** Host name → addresses. */
  | { readonly kind: "hosts" }
  | { readonly kind: "env-file" }
  | { readonly kind: "ssh" }
  | { readonly kind: "ulimit" }
  /** A number, or -1 for `all`. */
  | { readonly kind: "device-count" }
  | { readonly kind: "list"; readonly item: Shape }
  /** `empty`: a member without content is printed as null. */
  | { readonly kind: "map"; readonly value: Shape; readonly nullable?: boolean }
  | StructShape
  | { readonly kind: "any" };

export interface StructShape {
  readonly kind: "struct";
  readonly fields: readonly (readonly [name: string, shape: Shape])[];
  /** `x-*` members. */
  readonly extensible: boolean;
  /** Members that JSON prints even when they are empty, with what it prints. */
  readonly always?: Readonly<Record<string, unknown>>;
  /** YAML leaves an empty one out. */
  readonly omitEmpty?: boolean;
  /** Names that JSON prints otherwise than YAML. */
  readonly jsonNames?: Readonly<Record<string, string>>;
}

const text: Shape = { kind: "text" };
const texts: Shape = { kind: "texts" };
const integer: Shape = { kind: "integer" };
const optionalInteger: Shape = { kind: "integer", zero: true };
const float: Shape = { kind: "float" };
const flag: Shape = { kind: "flag" };
const optionalFlag: Shape = { kind: "flag", no: true };
const bytes: Shape = { kind: "bytes" };
const duration: Shape = { kind: "duration" };
const optionalDuration: Shape = { kind: "duration", zero: true };
const command: Shape = { kind: "command" };
const variables: Shape = { kind: "pairs", mode: "variables" };
const pairs: Shape = { kind: "pairs", mode: "plain" };
const hosts: Shape = { kind: "hosts" };

function struct(fields: Readonly<Record<string, Shape>>, options: Partial<Omit<StructShape, "kind" | "fields">> = {}): StructShape {
  return { kind: "struct", fields: Object.entries(fields), extensible: true, ...options };
}
function list(item: Shape): Shape {
  return { kind: "list", item };
}
function map(value: Shape, nullable = false): Shape {
  return { kind: "map", value, nullable };
}

const fileMount = struct({ source: text, target: text, uid: text, gid: text, mode: { kind: "mode" } });
const ulimits = map({ kind: "ulimit" });

const build = struct({
  context: text,
  dockerfile: text,
  dockerfile_inline: text,
  entitlements: texts,
  args: variables,
  provenance: text,
  sbom: text,
  ssh: { kind: "ssh" },
  labels: pairs,
  cache_from: texts,
  cache_to: texts,
  no_cache: flag,
  additional_contexts: pairs,
  no_cache_filter: texts,
  pull: flag,
  extra_hosts: hosts,
  isolation: text,
  network: text,
  target: text,
  secrets: list(fileMount),
  shm_size: bytes,
  tags: texts,
  ulimits,
  platforms: texts,
  privileged: flag,
});

const hook = struct(
  { command, image: text, user: text, privileged: flag, working_dir: text, environment: variables, per_replica: flag },
  { always: { command: null } },
);

const develop = struct({
  watch: list(
    struct(
      { path: text, action: text, target: text, exec: { ...hook, omitEmpty: true }, include: texts, ignore: texts, initial_sync: flag },
      { always: { path: "", action: "", exec: { command: null } } },
    ),
  ),
});

const rates = list(struct({ path: text, rate: bytes }, { jsonNames: { path: "Path", rate: "Rate" } }));

const blkio = struct({
  weight: integer,
  weight_device: list(struct({ path: text, weight: integer }, { jsonNames: { path: "Path", weight: "Weight" } })),
  device_read_bps: rates,
  device_read_iops: rates,
  device_write_bps: rates,
  device_write_iops: rates,
});

const deviceRequest = struct(
  { capabilities: texts, driver: text, count: { kind: "device-count" }, device_ids: texts, options: pairs },
  { extensible: false },
);

const resource = struct({
  cpus: float,
  memory: bytes,
  pids: integer,
  devices: list(deviceRequest),
  generic_resources: list(struct({ discrete_resource_spec: struct({ kind: text, value: integer }) })),
});

const update = struct({
  parallelism: optionalInteger,
  delay: duration,
  failure_action: text,
  monitor: duration,
  max_failure_ratio: float,
  order: text,
});

const deploy = struct(
  {
    mode: text,
    replicas: optionalInteger,
    labels: pairs,
    update_config: update,
    rollback_config: update,
    resources: struct({ limits: resource, reservations: resource }, { omitEmpty: true }),
    restart_policy: struct({ condition: text, delay: optionalDuration, max_attempts: optionalInteger, window: optionalDuration }),
    placement: struct(
      { constraints: texts, preferences: list(struct({ spread: text })), max_replicas_per_node: integer },
      { omitEmpty: true },
    ),
    endpoint_mode: text,
  },
  { always: { resources: {}, placement: {} } },
);

const serviceNetwork = struct({
  aliases: texts,
  driver_opts: pairs,
  gw_priority: integer,
  interface_name: text,
  ipv4_address: text,
  ipv6_address: text,
  link_local_ips: texts,
  mac_address: text,
  priority: integer,
});

const mount = struct({
  type: text,
  source: text,
  target: text,
  read_only: flag,
  consistency: text,
  bind: struct({ selinux: text, propagation: text, create_host_path: flag, recursive: text }),
  volume: struct({ labels: pairs, nocopy: flag, subpath: text }),
  tmpfs: struct({ size: bytes, mode: { kind: "integer", bare: true } }),
  image: struct({ subpath: text }),
});

export const SERVICE = struct(
  {
    profiles: texts,
    annotations: pairs,
    attach: optionalFlag,
    build,
    develop,
    blkio_config: blkio,
    cap_add: texts,
    cap_drop: texts,
    cgroup_parent: text,
    cgroup: text,
    cpu_count: integer,
    cpu_percent: float,
    cpu_period: integer,
    cpu_quota: integer,
    cpu_rt_period: integer,
    cpu_rt_runtime: integer,
    cpus: float,
    cpuset: text,
    cpu_shares: integer,
    command,
    configs: list(fileMount),
    container_name: text,
    credential_spec: struct({ config: text, file: text, registry: text }),
    depends_on: map(struct({ condition: text, restart: flag, required: optionalFlag })),
    deploy,
    device_cgroup_rules: texts,
    devices: list(struct({ source: text, target: text, permissions: text })),
    dns: texts,
    dns_opt: texts,
    dns_search: texts,
    domainname: text,
    entrypoint: command,
    provider: struct({ type: text, options: { kind: "multi-options" } }),
    environment: variables,
    env_file: list({ kind: "env-file" }),
    expose: texts,
    extends: struct({ file: text, service: text }),
    external_links: texts,
    extra_hosts: hosts,
    group_add: texts,
    gpus: list(deviceRequest),
    hostname: text,
    healthcheck: struct({
      test: { kind: "health-test" },
      timeout: optionalDuration,
      interval: optionalDuration,
      retries: optionalInteger,
      start_period: optionalDuration,
      start_interval: optionalDuration,
      disable: flag,
    }),
    image: text,
    init: optionalFlag,
    ipc: text,
    isolation: text,
    labels: pairs,
    label_file: texts,
    links: texts,
    logging: struct({ driver: text, options: pairs }),
    mem_limit: bytes,
    mem_reservation: bytes,
    memswap_limit: bytes,
    mem_swappiness: bytes,
    mac_address: text,
    models: map(struct({ endpoint_var: text, model_var: text }), true),
    network_mode: text,
    networks: map(serviceNetwork, true),
    oom_kill_disable: flag,
    oom_score_adj: integer,
    pid: text,
    pids_limit: integer,
    platform: text,
    ports: list(struct({ name: text, mode: text, host_ip: text, target: integer, published: text, protocol: text, app_protocol: text })),
    privileged: flag,
    pull_policy: text,
    pull_refresh_after: text,
    read_only: flag,
    restart: text,
    runtime: text,
    scale: optionalInteger,
    secrets: list(fileMount),
    security_opt: texts,
    shm_size: bytes,
    stdin_open: flag,
    stop_grace_period: optionalDuration,
    stop_signal: text,
    storage_opt: pairs,
    sysctls: pairs,
    tmpfs: texts,
    tty: flag,
    ulimits,
    use_api_socket: flag,
    user: text,
    userns_mode: text,
    uts: text,
    volumes: list(mount),
    volumes_from: texts,
    working_dir: text,
    pre_start: list(hook),
    post_start: list(hook),
    pre_stop: list(hook),
  },
  { always: { command: null, entrypoint: null } },
);

export const NETWORK = struct(
  {
    name: text,
    driver: text,
    driver_opts: pairs,
    ipam: struct(
      { driver: text, config: list(struct({ subnet: text, gateway: text, ip_range: text, aux_addresses: pairs })), options: pairs },
      { omitEmpty: true },
    ),
    external: flag,
    internal: flag,
    attachable: flag,
    labels: pairs,
    enable_ipv4: optionalFlag,
    enable_ipv6: optionalFlag,
  },
  { always: { ipam: {} } },
);

export const VOLUME = struct({ name: text, driver: text, driver_opts: pairs, external: flag, labels: pairs });

export const FILE_SOURCE = struct({
  name: text,
  file: text,
  environment: text,
  content: text,
  external: flag,
  labels: pairs,
  driver: text,
  driver_opts: pairs,
  template_driver: text,
});

export const MODEL = struct({ name: text, model: text, context_size: integer, runtime_flags: texts });

/** Sections of the document, in the order in which YAML prints them. */
export const SECTIONS = {
  services: SERVICE,
  networks: NETWORK,
  volumes: VOLUME,
  secrets: FILE_SOURCE,
  configs: FILE_SOURCE,
  models: MODEL,
} as const;

export type Section = keyof typeof SECTIONS;
