import type { ContainerId } from "../core/index.ts";

/** `networks/ID.json`. */
export interface NetworkRecord {
  readonly version: 1;
  /** 64 hexadecimal digits. */
  readonly id: string;
  readonly name: string;
  readonly project: string | null;
  readonly key: string | null;
  readonly configHash: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly driver: string;
  readonly internal: boolean;
  /** Name of the bridge in the router, at most 15 characters. */
  readonly bridge: string;
  readonly mtu: number;
  readonly subnet4?: string;
  readonly gateway4?: string;
  readonly range4?: string;
  readonly subnet6?: string;
  readonly gateway6?: string;
  readonly range6?: string;
  readonly reserved: readonly string[];
  readonly createdAt: string;
  /** Who has which address: what allocation reads and writes under the networks lock. */
  readonly endpoints: Readonly<Record<ContainerId, Endpoint>>;
}

export interface Endpoint {
  readonly mac: string;
  /** Without prefix length. */
  readonly ipv4?: string;
  readonly ipv6?: string;
  /** The veth end in the router. */
  readonly peer: string;
  /** ISO 8601. A container that is just being made has no directory yet, but has its address. */
  readonly allocatedAt?: string;
}

export interface NetworkRequest {
  readonly name: string;
  readonly project: string | null;
  readonly key: string | null;
  readonly configHash: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly driver?: string;
  readonly driverOptions: Readonly<Record<string, string>>;
  readonly internal: boolean;
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  readonly ipam: readonly {
    readonly subnet?: string;
    readonly ipRange?: string;
    readonly gateway?: string;
    readonly auxAddresses: Readonly<Record<string, string>>;
  }[];
}

export interface EndpointRequest {
  readonly network: string;
  readonly container: ContainerId;
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly mac?: string;
}

/** One name that DNS answers on one network. */
export interface DnsEntry {
  readonly name: string;
  readonly ipv4?: string;
  readonly ipv6?: string;
}

/** What the DNS server of one agent knows: for each container, the names that it may see. */
export interface DnsView {
  /** Names on all networks that this container is attached to; a name with several entries is answered in turn. */
  readonly entries: readonly DnsEntry[];
  /** From `dns`, `dns_search`, `dns_opt`; empty: the host's resolvers. */
  readonly upstreams: readonly string[];
  readonly internal: boolean;
}

export interface Dns extends AsyncDisposable {
  /** Serves on these descriptors (UDP socket, listening TCP socket) until `detach` or the end of the namespace. */
  attach(container: ContainerId, udp: number, tcp: number, view: () => DnsView): void;
  detach(container: ContainerId): void;
}

/** A port of the host that is led to a container, as its monitor has recorded it. */
export interface LedPort {
  /** Empty, `0.0.0.0` or `::`: all addresses. */
  readonly hostIp: string;
  readonly hostPort: number;
  readonly protocol: "tcp" | "udp";
}

export interface Networks {
  list(): Promise<readonly NetworkRecord[]>;
  find(nameOrId: string): Promise<NetworkRecord | undefined>;
  /** Allocates subnet, makes the router if there is none, the bridge, the routes and rules. Idempotent by name. */
  create(request: NetworkRequest, signal: AbortSignal): Promise<NetworkRecord>;
  /** Bridge, routes, record; with the last network also router, uplink and our nftables tables. Idempotent. */
  remove(id: string): Promise<void>;
  /** Makes kernel objects again that records name but the kernel lacks (reboot, somebody deleted them). Returns what it mended. */
  repair(signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Repairs whenever somebody changes the host's nftables (Docker, ufw or firewalld start or reload), until
   * `signal`. `looked` gets what was mended (often nothing: another process was quicker), or why it could not be.
   */
  watch(signal: AbortSignal, looked: (mended: readonly string[], error?: unknown) => void): void;
  /** Allocates addresses on several networks at once, under the lock. */
  connect(requests: readonly EndpointRequest[]): Promise<readonly { readonly network: NetworkRecord; readonly endpoint: Endpoint }[]>;
  /** Gives addresses back. Idempotent. */
  disconnect(container: ContainerId): Promise<void>;
  /** Takes back what a monitor that was killed has led to a container which is not there any more: nobody else does. */
  withdraw(ports: readonly LedPort[]): Promise<void>;
  /** Addresses of containers that no longer exist. */
  sweep(existing: ReadonlySet<ContainerId>): Promise<void>;
  dns(signal: AbortSignal): Promise<Dns>;
  /** The host's own end of the uplink: what `host-gateway` in `extra_hosts` means. Undefined without a router. */
  hostAddress(): Promise<string | undefined>;
  /** What this host makes impossible, or what we found and cannot mend, in words for the user; as of the last `create` or `repair`. */
  warnings(): readonly string[];
  /** The nftables table with the DNAT maps, for MonitorSpec.network.natTable; undefined where nftables is missing. */
  natTable(): Promise<string | undefined>;
}
