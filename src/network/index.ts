/**
 * network: bridges, addresses, DNS and the way out, all inside one router namespace of the data root.
 * Promises: needs no `ip`, `iptables` or `nft` program; what it made goes with the last network.
 * Never does: enter a container (the monitor does), know services.
 */
export type * from "./types.ts";
export { openNetworks } from "./networks.ts";
