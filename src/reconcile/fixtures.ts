/** For this room's tests: projects and states in few words. */
import type { ContainerId, ProjectName, ServiceName, HostPath } from "../core/index.ts";
import type { Dependency, Mount, Network, Project, Service, ServiceNetwork, Volume } from "../model/index.ts";
import type { ReconcileContext } from "./context.ts";
import type { ObservedContainer, ObservedNetwork, ObservedState, ObservedVolume } from "./observed.ts";
import { reconcileOptions } from "./options.ts";
import type { ReconcileOptions } from "./plan.ts";

export const now = 1_000_000;

export const context: ReconcileContext = {
  now,
  configHash: (service) => hashOf(service),
  networkHash: (network) => `n:${JSON.stringify(network.driver_opts)}`,
  volumeHash: (volume) => `v:${JSON.stringify(volume.driver_opts)}`,
  differences: (before, service) =>
    Object.keys(service.canonical).flatMap((key) =>
      JSON.stringify(before[key]) === JSON.stringify(service.canonical[key]) ? [] : [`${key}: ${JSON.stringify(before[key])} → ${JSON.stringify(service.canonical[key])}`],
    ),
};

/** As model's: without scale, dependencies and pull policy. */
function hashOf(service: Service): string {
  return `c:${JSON.stringify([service.canonical, service.image ?? "", Object.keys(service.networks), service.volumes, service.network_mode ?? "", service.ipc ?? "", service.container_name ?? ""])}`;
}

export const defaults: ReconcileOptions = reconcileOptions("up");

export function service(name: string, members: Partial<Omit<Service, "depends_on">> & { readonly depends_on?: Readonly<Record<string, Partial<Dependency>>> } = {}): Service {
  const { depends_on = {}, ...rest } = members;
  return {
    name: name as ServiceName,
    image: `${name}:1`,
    environment: {},
    env_file: [],
    group_add: [],
    labels: {},
    annotations: {},
    label_file: [],
    depends_on: Object.fromEntries(
      Object.entries(depends_on).map(([other, dependency]) => [other, { condition: "service_started", restart: false, required: true, ...dependency }]),
    ),
    profiles: [],
    scale: 1,
    restart: { policy: "no" },
    restart_policy: { first_delay: 0, delay: 100, factor: 2, max_delay: 60_000, jitter: 0, reset_after: 10_000 },
    stop_grace_period: 10_000,
    tty: false,
    stdin_open: false,
    attach: true,
    read_only: false,
    privileged: false,
    networks: rest.network_mode === undefined ? { default: network() } : {},
    ports: [],
    expose: [],
    extra_hosts: {},
    dns: [],
    dns_opt: [],
    dns_search: [],
    links: [],
    external_links: [],
    volumes: [],
    volumes_from: [],
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
    use_api_socket: false,
    limits: {},
    oom_kill_disable: false,
    models: {},
    pre_start: [],
    post_start: [],
    pre_stop: [],
    ready: [],
    processes: {},
    expect: [],
    extensions: {},
    canonical: {},
    ...rest,
  };
}

export function withoutImage(of: Service): Service {
  return Object.fromEntries(Object.entries(of).filter(([key]) => key !== "image")) as unknown as Service;
}

export function network(members: Partial<ServiceNetwork> = {}): ServiceNetwork {
  return { aliases: [], link_local_ips: [], driver_opts: {}, priority: 0, gw_priority: 0, ...members };
}

export function volumeMount(source: string | undefined, target: string): Mount {
  return { type: "volume", target, read_only: false, nocopy: false, labels: {}, ...(source === undefined ? {} : { source }) };
}

export function projectNetwork(name: string, members: Partial<Network> = {}): Network {
  return {
    name,
    external: false,
    driver_opts: {},
    internal: false,
    attachable: false,
    enable_ipv4: true,
    enable_ipv6: false,
    ipam: { config: [], options: {} },
    labels: {},
    extensions: {},
    canonical: {},
    ...members,
  };
}

export function projectVolume(name: string, members: Partial<Volume> = {}): Volume {
  return { name, external: false, driver_opts: {}, labels: {}, extensions: {}, canonical: {}, ...members };
}

export function project(services: readonly Service[], members: Partial<Project> = {}): Project {
  const keys = [...new Set(services.flatMap((one) => (one.network_mode === undefined ? Object.keys(one.networks) : [])))];
  const volumes = [...new Set(services.flatMap((one) => one.volumes.flatMap((mount) => (mount.type === "volume" && mount.source !== undefined ? [mount.source] : []))))];
  return {
    version: 1,
    name: "shop" as ProjectName,
    working_dir: "/srv/shop" as HostPath,
    files: [],
    env_files: [],
    profiles: [],
    services: Object.fromEntries(services.map((one) => [one.name, one])),
    disabled_services: {},
    networks: Object.fromEntries(keys.map((key) => [key, projectNetwork(`shop_${key}`)])),
    volumes: Object.fromEntries(volumes.map((key) => [key, projectVolume(`shop_${key}`)])),
    configs: {},
    secrets: {},
    models: {},
    extensions: {},
    ...members,
  };
}

export const empty: ObservedState = { project: "shop", containers: [], networks: [], volumes: [], images: {}, files: {} };

export function id(text: string): ContainerId {
  return text as ContainerId;
}

/** A running container as `up` would have made it. */
export function container(of: Service, number = 1, members: Partial<ObservedContainer> = {}): ObservedContainer {
  const name = of.container_name ?? `shop-${of.name}-${number}`;
  return {
    id: id(`id:${name}`),
    name,
    service: of.name,
    number,
    oneoff: false,
    configHash: context.configHash(of),
    definition: of.canonical,
    imageId: of.image === undefined ? null : `sha:${of.image}`,
    status: "running",
    exitCode: null,
    health: of.healthcheck === undefined ? "none" : "healthy",
    stopRequested: false,
    networks: Object.fromEntries((of.network_mode === undefined ? Object.keys(of.networks) : []).map((key) => [key, `net:shop_${key}`])),
    volumes: of.volumes.flatMap((mount) =>
      mount.type === "volume" ? [{ name: mount.source === undefined ? `anon:${name}:${mount.target}` : `shop_${mount.source}`, target: mount.target, anonymous: mount.source === undefined }] : [],
    ),
    joins: [],
    createdAt: number,
    startedAt: 10,
    labels: {},
    ...members,
  };
}

/** The state in which exactly these containers exist, with all that they need. */
export function stateOf(of: Project, containers: readonly ObservedContainer[], members: Partial<ObservedState> = {}): ObservedState {
  const networks: ObservedNetwork[] = Object.entries(of.networks).map(([key, one]) => ({
    id: `net:${one.name}`,
    name: one.name,
    project: one.external ? null : of.name,
    key,
    configHash: context.networkHash(one),
    containers: containers.filter((each) => Object.values(each.networks).includes(`net:${one.name}`)).map((each) => each.id),
  }));
  const named: ObservedVolume[] = Object.entries(of.volumes).map(([key, one]) => ({
    name: one.name,
    project: one.external ? null : of.name,
    key,
    configHash: context.volumeHash(one),
    anonymous: false,
    containers: containers.filter((each) => each.volumes.some((volume) => volume.name === one.name)).map((each) => each.id),
  }));
  const anonymous: ObservedVolume[] = containers.flatMap((each) =>
    each.volumes.filter((volume) => volume.anonymous).map((volume) => ({ name: volume.name, project: of.name, key: null, configHash: "", anonymous: true, containers: [each.id] })),
  );
  const images = Object.fromEntries(
    Object.values(of.services).flatMap((one) => (one.image === undefined ? [] : [[one.image, { id: `sha:${one.image}`, pulledAt: 1, healthcheck: false }]])),
  );
  return { project: of.name, containers, networks, volumes: [...named, ...anonymous], images, files: {}, ...members };
}
