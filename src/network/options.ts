import { StackError } from "../core/index.ts";
import type { NetworkRequest } from "./types.ts";

export interface DriverOptions {
  readonly mtu?: number;
  /** Options that have no meaning here, and change nothing that a stack relies on. */
  readonly warnings: readonly string[];
}

/** Options of Docker's bridge driver: what we do, what does not apply, what we cannot do. */
const known: Readonly<Record<string, (value: string) => { readonly mtu?: number; readonly warning?: string; readonly refused?: string }>> = {
  "com.docker.network.driver.mtu": mtu,
  "com.docker.network.mtu": mtu,
  "com.docker.network.bridge.name": () => ({ warning: "the bridge lives in a namespace of its own, where its name does not matter" }),
  "com.docker.network.bridge.enable_ip_masquerade": (value) => (value === "true" ? {} : { refused: "networks without address translation" }),
  "com.docker.network.bridge.enable_icc": (value) => (value === "true" ? {} : { refused: "isolating the containers of one network from each other" }),
  "com.docker.network.bridge.host_binding_ipv4": (value) => (value === "0.0.0.0" ? {} : { refused: "a default host address; write it at each port" }),
  "com.docker.network.bridge.default_bridge": () => ({}),
  "com.docker.network.container_iface_prefix": (value) => (value === "eth" ? {} : { refused: "other interface names; use interface_name at the service" }),
};

function mtu(value: string): { readonly mtu?: number; readonly refused?: string } {
  const number = Number(value);
  return Number.isInteger(number) && number >= 68 && number <= 65535 ? { mtu: number } : { refused: `an MTU of "${value}"` };
}

export function driverOptions(request: NetworkRequest): DriverOptions {
  const { driver } = request;
  if (driver !== undefined && driver !== "" && driver !== "bridge" && driver !== "default")
    throw new StackError("unsupported", `Network "${request.name}": driver "${driver}" is not supported`, { hint: "Use the bridge driver (the default)." });
  const warnings: string[] = [];
  let found: number | undefined;
  for (const [name, value] of Object.entries(request.driverOptions)) {
    const option = known[name];
    if (option === undefined) {
      warnings.push(`Network "${request.name}": driver option ${name} is not known and has no effect`);
      continue;
    }
    const result = option(value);
    if (result.refused !== undefined)
      throw new StackError("unsupported", `Network "${request.name}": driver option ${name}=${value}: ${result.refused} is not supported`, { hint: "Remove the option." });
    if (result.warning !== undefined) warnings.push(`Network "${request.name}": driver option ${name} has no effect: ${result.warning}`);
    found = result.mtu ?? found;
  }
  return { ...(found === undefined ? {} : { mtu: found }), warnings };
}
