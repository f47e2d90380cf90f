import { StackError } from "../core/index.ts";
import type { DeviceNode, HostFacts, ServiceInput } from "./input.ts";
import type { OciDevice, OciDeviceRule } from "./oci.ts";

const allow = (type: "c" | "b", major: number | undefined, minor: number | undefined, access: string): OciDeviceRule => ({
  allow: true,
  type,
  ...(major === undefined ? {} : { major }),
  ...(minor === undefined ? {} : { minor }),
  access,
});

/** Everything may be made (mknod), a few may be used: null, zero, full, random, urandom, tty, console, ptmx, pts, tun. */
const defaultRules: readonly OciDeviceRule[] = [
  { allow: false, access: "rwm" },
  allow("c", undefined, undefined, "m"),
  allow("b", undefined, undefined, "m"),
  ...[3, 5, 7, 8, 9].map((minor) => allow("c", 1, minor, "rwm")),
  ...[0, 1, 2].map((minor) => allow("c", 5, minor, "rwm")),
  allow("c", 136, undefined, "rwm"),
  allow("c", 10, 200, "rwm"),
];

export function deviceRules(service: ServiceInput, host: HostFacts): readonly OciDeviceRule[] {
  if (service.privileged) return [{ allow: true, access: "rwm" }];
  const mapped = mappedDevices(service, host).map(({ node, permissions }) => allow(node.type, node.major, node.minor, permissions));
  return [...defaultRules, ...mapped, ...service.device_cgroup_rules.map((rule) => parseRule(rule, service.name))];
}

/** Device nodes to make. With `privileged`: all of the host's. */
export function deviceNodes(service: ServiceInput, host: HostFacts): readonly OciDevice[] {
  const nodes = new Map<string, OciDevice>();
  if (service.privileged) for (const [path, node] of Object.entries(host.devices)) nodes.set(path, toOci(path, node));
  for (const { path, node } of mappedDevices(service, host)) nodes.set(path, toOci(path, node));
  return [...nodes.values()];
}

function toOci(path: string, node: DeviceNode): OciDevice {
  return { path, type: node.type, major: node.major, minor: node.minor, fileMode: node.mode, uid: node.uid, gid: node.gid };
}

interface MappedDevice {
  readonly path: string;
  readonly node: DeviceNode;
  readonly permissions: string;
}

/** `devices`: a node, or a directory with all nodes in it. */
function mappedDevices(service: ServiceInput, host: HostFacts): readonly MappedDevice[] {
  return service.devices.flatMap(({ source, target, permissions }) => {
    const node = host.devices[source];
    if (node !== undefined) return [{ path: target, node, permissions }];
    const prefix = source.endsWith("/") ? source : `${source}/`;
    const inside = Object.entries(host.devices).filter(([path]) => path.startsWith(prefix));
    if (inside.length > 0) return inside.map(([path, found]) => ({ path: `${target.replace(/\/$/, "")}/${path.slice(prefix.length)}`, node: found, permissions }));
    if (/^[^/]+\/[^/]+=/.test(source))
      throw new StackError("unsupported", `Service "${service.name}": devices: "${source}" is a CDI name, and CDI is not supported`, {
        hint: "Name the device nodes themselves, for example /dev/dri.",
      });
    throw new StackError("container-start-failed", `Service "${service.name}": devices: ${source} is not a device of this machine`, {
      hint: "Look at the path under /dev.",
    });
  });
}

/** `c 1:3 rwm`, as in the cgroup documentation (devices.rst). */
function parseRule(rule: string, service: string): OciDeviceRule {
  const match = /^([abc])\s+(\d+|\*):(\d+|\*)\s+([rwm]{1,3})$/.exec(rule.trim());
  const type = match?.[1];
  if (match === null || (type !== "a" && type !== "b" && type !== "c"))
    throw new StackError("usage", `Service "${service}": device_cgroup_rules: "${rule}" is not a rule`, {
      hint: 'Write type, major:minor and permissions, for example "c 42:* rmw".',
    });
  const [, , major, minor, access] = match;
  return {
    allow: true,
    type,
    ...(major === "*" ? {} : { major: Number(major) }),
    ...(minor === "*" ? {} : { minor: Number(minor) }),
    access: access ?? "rwm",
  };
}
