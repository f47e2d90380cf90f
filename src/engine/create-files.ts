import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseHostPath, paths } from "../core/index.ts";
import type { ContainerId } from "../core/index.ts";
import type { Service } from "../model/index.ts";
import type { Attachment, ResolvedMount } from "../runtime/index.ts";
import type { Work } from "./work.ts";

/** `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`, each unless the user mounts something there. */
export async function identityFiles(
  work: Work,
  request: {
    readonly id: ContainerId;
    readonly service: Service;
    readonly hostname: string;
    readonly attachments: readonly Attachment[];
    /** Names are answered by our DNS (the container has networks of ours). */
    readonly dns: boolean;
    readonly taken: ReadonlySet<string>;
  },
): Promise<readonly ResolvedMount[]> {
  const { id, service, hostname, attachments } = request;
  const files: [target: string, content: string][] = [
    ["/etc/hosts", hostsFile(service, hostname, attachments, await hostGateway(work, service))],
    ["/etc/hostname", `${hostname}\n`],
    ["/etc/resolv.conf", request.dns ? resolvConf(service, hostResolvConf()) : withDns(service, hostResolvConf())],
  ];
  const mounts: ResolvedMount[] = [];
  for (const [target, content] of files) {
    if (request.taken.has(target)) continue;
    const source = await work.rooms.volumes.writeFile(id, target.slice(5), content, { uid: 0, gid: 0, mode: 0o644 });
    mounts.push({ type: "bind", target, source, readOnly: false });
  }
  return mounts;
}

/** Who joins the network of another container is the same host: its name and its files are the other's, as with Docker. */
export async function joinedIdentity(work: Work, other: ContainerId, taken: ReadonlySet<string>): Promise<{ readonly hostname: string; readonly files: readonly ResolvedMount[] }> {
  const directory = join(paths.container(work.root, other), "files");
  const files = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"].flatMap((target): ResolvedMount[] => {
    const source = parseHostPath(join(directory, target.slice(5)));
    return source === undefined || taken.has(target) ? [] : [{ type: "bind", target, source, readOnly: false }];
  });
  return { hostname: readFileSync(join(directory, "hostname"), "utf8").trim(), files };
}

export function hostsFile(service: Service, hostname: string, attachments: readonly Attachment[], gateway: string | undefined): string {
  const lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", "fe00::\tip6-localnet", "ff00::\tip6-mcastprefix", "ff02::1\tip6-allnodes", "ff02::2\tip6-allrouters"];
  for (const [name, addresses] of Object.entries(service.extra_hosts)) {
    for (const address of addresses) {
      const resolved = address === "host-gateway" ? gateway : address;
      if (resolved !== undefined) lines.push(`${resolved}\t${name}`);
    }
  }
  const names = service.domainname === undefined ? hostname : `${hostname}.${service.domainname} ${hostname}`;
  for (const attachment of attachments)
    for (const address of [attachment.ipv4, attachment.ipv6]) if (address !== undefined) lines.push(`${address}\t${names}`);
  if (attachments.length === 0) lines.push(`127.0.1.1\t${names}`);
  return `${lines.join("\n")}\n`;
}

async function hostGateway(work: Work, service: Service): Promise<string | undefined> {
  const wanted = Object.values(service.extra_hosts).some((addresses) => addresses.includes("host-gateway"));
  return wanted ? work.rooms.networks.hostAddress() : undefined;
}

function hostResolvConf(): string {
  try {
    return readFileSync("/etc/resolv.conf", "utf8");
  } catch {
    return "";
  }
}

const lineOf = (text: string, word: string): string[] =>
  text
    .split("\n")
    .filter((line) => line.trimStart().startsWith(`${word} `) || line.trimStart().startsWith(`${word}\t`))
    .flatMap((line) => line.trim().split(/\s+/).slice(1));

/** Our DNS server in the container's own namespace; search domains and options are the host's unless written. */
export function resolvConf(service: Service, host: string): string {
  const search = service.dns_search.length > 0 ? service.dns_search.filter((domain) => domain !== ".") : lineOf(host, "search");
  const options = [...new Set([...(service.dns_opt.length > 0 ? service.dns_opt : lineOf(host, "options")), "ndots:0"])];
  const ndots = options.filter((option) => option.startsWith("ndots:"));
  const kept = ndots.length > 1 ? options.filter((option) => option !== "ndots:0") : options;
  return `nameserver 127.0.0.11\n${search.length > 0 ? `search ${search.join(" ")}\n` : ""}options ${kept.join(" ")}\n`;
}

/** `network_mode: host` or `none`: the host's own file, with what the service overrides. */
export function withDns(service: Service, host: string): string {
  if (service.dns.length === 0 && service.dns_search.length === 0 && service.dns_opt.length === 0) return host;
  const servers = service.dns.length > 0 ? service.dns : lineOf(host, "nameserver");
  const search = service.dns_search.length > 0 ? service.dns_search : lineOf(host, "search");
  const options = service.dns_opt.length > 0 ? service.dns_opt : lineOf(host, "options");
  return [
    ...servers.map((server) => `nameserver ${server}`),
    ...(search.length > 0 ? [`search ${search.join(" ")}`] : []),
    ...(options.length > 0 ? [`options ${options.join(" ")}`] : []),
    "",
  ].join("\n");
}
