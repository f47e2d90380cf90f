import { createHash } from "node:crypto";
import type { Network, Project, Volume } from "../model/index.ts";
import type { NetworkRequest } from "../network/index.ts";
import type { VolumeRequest } from "../volumes/index.ts";
import { resourceLabels } from "./labels.ts";
import { version } from "./version.ts";

/** JSON with sorted keys, so that equal things have equal hashes. */
export function stableJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

const hashOf = (value: unknown): string => createHash("sha256").update(stableJson(value)).digest("hex");

/** What of a network cannot change while it exists. */
export function networkHash(network: Network): string {
  const { name, driver, driver_opts, internal, enable_ipv4, enable_ipv6, ipam, labels } = network;
  return hashOf({ name, driver: driver ?? "bridge", driver_opts, internal, enable_ipv4, enable_ipv6, ipam, labels });
}

export function volumeHash(volume: Volume): string {
  const { name, driver, driver_opts, labels } = volume;
  return hashOf({ name, driver: driver ?? "local", driver_opts, labels });
}

export function networkRequest(project: Project, key: string, network: Network): NetworkRequest {
  return {
    name: network.name,
    project: project.name,
    key,
    configHash: networkHash(network),
    labels: resourceLabels("network", project.name, key, network.labels, version),
    ...(network.driver === undefined ? {} : { driver: network.driver }),
    driverOptions: network.driver_opts,
    internal: network.internal,
    enableIpv4: network.enable_ipv4,
    enableIpv6: network.enable_ipv6,
    ipam: network.ipam.config.map((config) => ({
      ...(config.subnet === undefined ? {} : { subnet: config.subnet }),
      ...(config.ip_range === undefined ? {} : { ipRange: config.ip_range }),
      ...(config.gateway === undefined ? {} : { gateway: config.gateway }),
      auxAddresses: config.aux_addresses,
    })),
  };
}

export function volumeRequest(project: Project, key: string, volume: Volume): VolumeRequest {
  return {
    name: volume.name,
    project: project.name,
    key,
    configHash: volumeHash(volume),
    labels: resourceLabels("volume", project.name, key, volume.labels, version),
    driver: volume.driver ?? "local",
    driverOptions: volume.driver_opts,
    anonymous: false,
  };
}
