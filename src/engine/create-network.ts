import { shortId, StackError, paths } from "../core/index.ts";
import type { ContainerId } from "../core/index.ts";
import type { Port, Service, ServiceNetwork } from "../model/index.ts";
import type { Endpoint, NetworkRecord } from "../network/index.ts";
import type { Attachment, NetworkSpec } from "../runtime/index.ts";
import { containerNamed } from "./create.ts";
import type { CreateRequest } from "./create.ts";
import type { Work } from "./work.ts";

export interface Connection {
  readonly attachment: Attachment;
  readonly network: NetworkRecord;
  readonly endpoint: Endpoint;
  readonly options: ServiceNetwork;
}

export type NetworkMode =
  | { readonly kind: "networks"; readonly joins: readonly ContainerId[] }
  | { readonly kind: "host" | "none"; readonly joins: readonly ContainerId[] }
  | { readonly kind: "join"; readonly container: ContainerId; readonly joins: readonly ContainerId[] };

export function networkMode(work: Work, service: Service): NetworkMode {
  const mode = service.network_mode;
  if (mode === undefined || mode === "" || mode === "bridge" || mode === "default") {
    return Object.keys(service.networks).length === 0 ? { kind: "none", joins: [] } : { kind: "networks", joins: [] };
  }
  if (mode === "host" || mode === "none") return { kind: mode, joins: [] };
  const container = containerNamed(work, service, "network_mode", mode);
  if (container === undefined)
    throw new StackError("unsupported", `Service "${service.name}": network_mode: "${mode}" is not known`, {
      hint: "Use none, host, service:NAME or container:NAME.",
    });
  return { kind: "join", container, joins: [container] };
}

/** Takes addresses on all networks of a service, in one go. */
export async function attach(work: Work, service: Service, id: ContainerId, request: CreateRequest): Promise<readonly Connection[]> {
  const { rooms, project } = work;
  // Highest priority is eth0; then the order of names, as Docker has it.
  const wanted = Object.entries(service.networks).sort(([a, x], [b, y]) => y.priority - x.priority || (a < b ? -1 : 1));
  const records = await Promise.all(
    wanted.map(async ([key]) => {
      const name = project.networks[key]?.name ?? key;
      const record = await rooms.networks.find(name);
      if (record === undefined)
        throw new StackError("no-such-network", `Network "${name}" of service "${service.name}" does not exist`, {
          hint: project.networks[key]?.external === true ? "It is external: make it first, by `stack up` of the project that owns it." : "Run `stack up`, which makes it.",
        });
      return record;
    }),
  );
  const connected = await rooms.networks.connect(
    wanted.map(([, options], index) => ({
      network: records[index]?.id ?? "",
      container: id,
      ...(options.ipv4_address === undefined ? {} : { ipv4: options.ipv4_address }),
      ...(options.ipv6_address === undefined ? {} : { ipv6: options.ipv6_address }),
      ...(options.mac_address === undefined && service.mac_address !== undefined && index === 0 ? { mac: service.mac_address } : {}),
      ...(options.mac_address === undefined ? {} : { mac: options.mac_address }),
    })),
  );
  const named = request.aliases !== false;
  return wanted.map(([key, options], index) => {
    const found = connected[index];
    if (found === undefined) throw new StackError("internal", `no endpoint for network "${key}"`);
    const { network, endpoint } = found;
    const aliases = new Set([request.name, shortId(id), ...(named ? [service.name, ...options.aliases] : [])]);
    if (service.hostname !== undefined && named) aliases.add(service.hostname);
    return {
      network,
      endpoint,
      options,
      attachment: {
        network: network.id,
        name: network.name,
        key,
        interface: options.interface_name ?? `eth${index}`,
        mac: endpoint.mac,
        ...(endpoint.ipv4 === undefined ? {} : { ipv4: endpoint.ipv4 }),
        ...(endpoint.ipv6 === undefined ? {} : { ipv6: endpoint.ipv6 }),
        aliases: [...aliases],
      },
    };
  });
}


export async function networkSpec(work: Work, service: Service, mode: NetworkMode, connections: readonly Connection[]): Promise<NetworkSpec> {
  const none = { interfaces: [], dns: false, ports: [] };
  switch (mode.kind) {
    case "host":
      return { mode: "host", ...none };
    case "none":
      return { mode: "none", ...none };
    case "join":
      return { mode: "join", join: paths.container(work.root, mode.container), ...none };
    case "networks":
      break;
  }
  const natTable = await work.rooms.networks.natTable();
  // The way out: the highest gw_priority among the networks that have one.
  const outward = connections.filter((c) => !c.network.internal);
  const [gateway] = [...outward].sort((a, b) => b.options.gw_priority - a.options.gw_priority);
  const published = outward[0] ?? connections[0];
  return {
    mode: "private",
    router: paths.router(work.root),
    interfaces: connections.map((connection) => {
      const { network, endpoint, attachment } = connection;
      const last = connection === gateway;
      return {
        name: attachment.interface,
        peer: endpoint.peer,
        bridge: network.bridge,
        mac: endpoint.mac,
        addresses: [withPrefix(endpoint.ipv4, network.subnet4), withPrefix(endpoint.ipv6, network.subnet6), ...connection.options.link_local_ips.map((ip) => (ip.includes(":") ? `${ip}/64` : `${ip}/16`))].filter((a) => a !== undefined),
        ...(last && network.gateway4 !== undefined ? { gateway4: network.gateway4 } : {}),
        ...(last && network.gateway6 !== undefined ? { gateway6: network.gateway6 } : {}),
        mtu: network.mtu,
      };
    }),
    dns: true,
    ports: outward.length === 0 ? [] : service.ports.map((port) => publishedPort(service, port)),
    ...(published?.endpoint.ipv4 === undefined ? {} : { address4: published.endpoint.ipv4 }),
    ...(published?.endpoint.ipv6 === undefined ? {} : { address6: published.endpoint.ipv6 }),
    ...(natTable === undefined ? {} : { natTable }),
  };
}

function withPrefix(address: string | undefined, subnet: string | undefined): string | undefined {
  return address === undefined || subnet === undefined ? undefined : `${address}/${subnet.slice(subnet.indexOf("/") + 1)}`;
}

function publishedPort(service: Service, port: Port): NetworkSpec["ports"][number] {
  if (port.protocol === "sctp")
    throw new StackError("unsupported", `Service "${service.name}": ports: ${port.target}/sctp cannot be published`, { hint: "Publish TCP or UDP, or reach the container by its address." });
  const [from, to] = (port.published ?? "0").split("-").map(Number) as [number, number | undefined];
  return {
    hostIp: port.host_ip ?? "",
    hostPort: to === undefined ? from : 0,
    containerPort: port.target,
    protocol: port.protocol,
    ...(to === undefined ? {} : { range: [from, to] as const }),
  };
}
