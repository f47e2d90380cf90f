import type { Project } from "../../src/model/index.ts";

export type Style = "yaml" | "json";

/** A project, what is printed of it, and in which form. */
type Applies = (project: Project, text: string, style: Style) => boolean;

/**
 * What Docker Compose prints and cannot read again, or reads as something else. Our output is its, byte for byte, so
 * nothing can be promised here. Each is named after the cases of `test/fixtures/compose/cases/one-way.yaml` in which
 * the real one fails at it (`differential.test.ts` tells when it no longer does).
 */
export const ONE_WAY: Readonly<Record<string, Applies>> = {
  // Dollar signs in keys are doubled, but keys are not filled in.
  "dollar-in-key": (_, text) => /^ *(?:- )?(?:"(?:[^"\\\n]|\\.)*\$|'[^'\n]*\$|[^\s"'](?:[^:\n]|:(?=\S))*\$).*:/m.test(text),
  // Optional dependencies on services whose profile is off: the profile's services are not printed.
  "dependency-on-nobody": (project) => services(project).some((s) => Object.keys(s.depends_on).some((d) => !Object.hasOwn(project.services, d))),
  // Empty texts are left out, though what is left out means something else, or their keys are not optional.
  "empty-dockerfile": (project) => services(project).some((s) => s.build !== undefined && ["dockerfile", "dockerfile_inline"].every((key) => partOf(s, "build")[key] === undefined)),
  "empty-build-context": (project) => services(project).some((s) => s.build !== undefined && partOf(s, "build")["context"] === undefined),
  "empty-device": (project) => services(project).some((s) => s.devices.some((d) => d.source === "")),
  "empty-network-name": (project) => nameless(project.networks),
  "empty-volume-name": (project) => nameless(project.volumes),
  "empty-config-name": (project) => nameless(project.configs) || nameless(project.secrets),
  "empty-network-mode": (project) => services(project).some((s) => s.provider === undefined && s.network_mode === undefined && Object.keys(s.networks).length === 0),
  "empty-content": (project) =>
    [...Object.values(project.configs), ...Object.values(project.secrets)].some(
      ({ canonical: c }) => !["file", "environment", "content"].some((k) => Object.hasOwn(c, k)) && c["external"] !== true,
    ),
  "empty-port-mode": (project) => services(project).some((s) => list(s.canonical["ports"]).some((p) => !p["mode"] || !p["protocol"])),
  // Neither a number nor a list of devices is all of them.
  "device-without-count": (project) =>
    services(project).some((s) => [...reserved(s), ...list(s.canonical["gpus"])].some((d) => (d["count"] ?? 0) === 0 && list(d["device_ids"]).length === 0)),
  "empty-model": (project) => Object.values(project.models).some((m) => m.model === ""),
  // A name of the user's that means something else where it is not quoted.
  "merge-key-as-name": (_, text, style) => style === "yaml" && /^ *(?:- )?<<:/m.test(text),
  // A mapping without addresses is printed as an empty list, which reads as nothing.
  "host-without-addresses": (project) => services(project).some((s) => [s.extra_hosts, s.build?.extra_hosts ?? {}].some((all) => Object.keys(all).length > 0 && Object.values(all).every((a) => a.length === 0))),
  "device-without-capabilities": (project) => services(project).some((s) => reserved(s).some((d) => d["capabilities"] === undefined)),
  "hook-without-command": (project) =>
    services(project).some((s) => [...list(s.canonical["pre_start"]), ...list(s.canonical["post_start"]), ...list(s.canonical["pre_stop"])].some((h) => h["command"] === undefined)),
  // A list where nothing may stand twice is made of a mapping where it may.
  "host-address-twice": (project) =>
    services(project).some((s) => [s.extra_hosts, s.build?.extra_hosts ?? {}].some((all) => Object.values(all).some((a) => new Set(a).size < a.length))),
  "host-address-with-comma": (project) => services(project).some((s) => [s.extra_hosts, s.build?.extra_hosts ?? {}].some((all) => Object.values(all).some((a) => a.some((x) => x.includes(","))))),
  // A key's name without a path is printed as if it stood in a list, where only `default` may stand alone, and one with
  // an equals sign is divided there; and a path
  // that was a number or a truth is not made absolute.
  "ssh-key": (project) =>
    services(project).some((s) => Object.entries(partOf(partsOf(s, "build"), "ssh")).some(([id, path]) => id.includes("=") || (!String(path).startsWith("/") && (id !== "default" || path !== "")))),
  "negative-zero": (_, text) => /(?:[:-]|^) *-0,?$/m.test(text),
  // JSON forgets models and zeros of limits, names the devices of blkio_config otherwise, and writes characters bare
  // that YAML allows nowhere.
  model: (project, _, style) => style === "json" && services(project).some((s) => Object.keys(s.models).length > 0),
  "throttled-device": (_, text, style) => style === "json" && /"(?:Path|Rate|Weight)":/.test(text),
  "limit-of-zero": (project, _, style) => style === "json" && services(project).some((s) => Object.values(s.ulimits).some((u) => u.soft === 0 || u.hard === 0)),
  "control-character": (_, text, style) => style === "json" && /[\x7f\ufffe\uffff]/.test(text),
};

type Data = Readonly<Record<string, unknown>>;
type Service = Project["services"][string];

function services(project: Project): readonly Service[] {
  return Object.values(project.services);
}

function partsOf(service: Service, key: string): { readonly canonical: Data } {
  return { canonical: partOf(service, key) };
}

function partOf(of: { readonly canonical: Data }, key: string): Data {
  return (of.canonical[key] ?? {}) as Data;
}

function list(value: unknown): readonly Data[] {
  return Array.isArray(value) ? (value as Data[]) : [];
}

function reserved(service: Service): readonly Data[] {
  const { resources } = partOf(service, "deploy") as { readonly resources?: { readonly reservations?: Data } };
  return list(resources?.reservations?.["devices"]);
}

function nameless(resources: Readonly<Record<string, { readonly canonical: Data }>>): boolean {
  return Object.values(resources).some((r) => !Object.hasOwn(r.canonical, "name"));
}
