import type { HostPath } from "../core/index.ts";
import type { Bytes, StringMap } from "./project-units.ts";

// What a service is connected to, and how much it may take: networks, ports, mounts, files, devices, limits.

export interface ServiceNetwork {
  readonly aliases: readonly string[];
  readonly ipv4_address?: string;
  readonly ipv6_address?: string;
  readonly link_local_ips: readonly string[];
  readonly mac_address?: string;
  readonly interface_name?: string;
  readonly driver_opts: StringMap;
  /** Higher is first. */
  readonly priority: number;
  readonly gw_priority: number;
}

export interface Port {
  /** Port in the container. Ranges are expanded: one entry for each. */
  readonly target: number;
  /** Absent: any free one. `"8000-8010"`: any free one of these. */
  readonly published?: string;
  /** Absent: all addresses (0.0.0.0 and ::). */
  readonly host_ip?: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly mode: "ingress" | "host";
  readonly name?: string;
  readonly app_protocol?: string;
}

export type Mount =
  | (MountBase & {
      readonly type: "bind";
      readonly source: HostPath;
      readonly create_host_path: boolean;
      readonly propagation?: string;
      readonly recursive?: "enabled" | "disabled" | "writable" | "readonly";
      readonly selinux?: "z" | "Z";
    })
  /** `source` absent: anonymous. Else a key of `project.volumes`. */
  | (MountBase & {
      readonly type: "volume";
      readonly source?: string;
      readonly nocopy: boolean;
      readonly subpath?: string;
      readonly labels: StringMap;
    })
  | (MountBase & { readonly type: "tmpfs"; readonly size?: Bytes; readonly mode?: number })
  | (MountBase & { readonly type: "image"; readonly source: string; readonly subpath?: string })
  | (MountBase & { readonly type: "npipe" | "cluster"; readonly source?: string });

export interface MountBase {
  readonly target: string;
  readonly read_only: boolean;
  readonly consistency?: string;
}

/** A config or secret in a service. */
export interface FileMount {
  /** Key of `project.configs` or `project.secrets`. */
  readonly source: string;
  /** Absolute path in the container: `/SOURCE` for configs, `/run/secrets/SOURCE` for secrets by default. */
  readonly target: string;
  readonly uid?: string;
  readonly gid?: string;
  /** Permission bits, e.g. 0o440. Default 0o444. */
  readonly mode?: number;
}

export interface Device {
  readonly source: string;
  readonly target: string;
  /** Some of `rwm`. */
  readonly permissions: string;
}

export interface Limits {
  /** In CPUs, e.g. 1.5. */
  readonly cpus?: number;
  readonly cpu_count?: number;
  readonly cpu_percent?: number;
  readonly cpu_shares?: number;
  /** Microseconds. */
  readonly cpu_quota?: number;
  /** Microseconds. */
  readonly cpu_period?: number;
  /** Microseconds. */
  readonly cpu_rt_runtime?: number;
  /** Microseconds. */
  readonly cpu_rt_period?: number;
  readonly cpuset?: string;
  readonly mem_limit?: Bytes;
  readonly mem_reservation?: Bytes;
  /** Memory and swap together; -1: without limit. */
  readonly memswap_limit?: Bytes;
  readonly mem_swappiness?: number;
  /** -1: without limit. */
  readonly pids?: number;
}

export interface BlkioConfig {
  readonly weight?: number;
  readonly weight_device: readonly { readonly path: string; readonly weight: number }[];
  readonly device_read_bps: readonly BlkioRate[];
  readonly device_read_iops: readonly BlkioRate[];
  readonly device_write_bps: readonly BlkioRate[];
  readonly device_write_iops: readonly BlkioRate[];
}
export interface BlkioRate {
  readonly path: string;
  readonly rate: number;
}
