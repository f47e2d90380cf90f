import { networkHash, volumeHash } from "../model/index.ts";
import type { Network, Project, Volume } from "../model/index.ts";
import type { NetworkRequest } from "../network/index.ts";
import type { VolumeRequest } from "../volumes/index.ts";
import { resourceLabels } from "./labels.ts";
import { version } from "./version.ts";

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
