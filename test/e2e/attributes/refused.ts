import { service } from "./scene.ts";

/** What is refused, and what is said then: nothing may start that lacks what it asked for. */
export interface Refusal {
  readonly of: readonly string[];
  /** Members of the service `web`, which has an image. */
  readonly members?: string;
  /** Or a whole file. */
  readonly file?: string;
  readonly says: RegExp;
}

const IMAGE = 'image: "debian:bookworm-slim"';

export const refusals: readonly Refusal[] = [
  { of: service("gpus"), members: "gpus: all", says: /GPUs.*not supported/ },
  {
    of: service("deploy.resources.reservations.devices"),
    members: "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}",
    says: /GPUs.*not supported/,
  },
  { of: service("isolation"), members: "isolation: hyperv", says: /isolation: hyperv is not supported/ },
  { of: service("userns_mode"), members: "userns_mode: 'private'", says: /userns_mode: private is not supported/ },
  { of: service("storage_opt"), members: "storage_opt: {size: 1G}", says: /storage_opt: size is not supported/ },
  { of: service("volumes.[].type"), members: "volumes: [{type: npipe, source: a, target: /b}]", says: /type "npipe" at \/b does not exist on Linux/ },
  { of: service("ports.[].protocol"), members: "ports: ['80:80/sctp']", says: /80\/sctp cannot be published/ },
  { of: service("provider"), file: "services: {web: {provider: {type: x}}}", says: /made by a provider \(x\), which is not supported/ },
  { of: service("models"), file: `services: {web: {${IMAGE}, models: [llm]}}\nmodels: {llm: {model: ai/x}}`, says: /`models` is not supported/ },
  { of: service("build"), file: "services: {web: {build: .}}", says: /would have to be built, which is not possible yet/ },
  { of: ["networks.*.driver"], file: `services: {web: {${IMAGE}, networks: [n]}}\nnetworks: {n: {driver: overlay}}`, says: /driver "overlay" is not supported/ },
  { of: ["volumes.*.driver"], file: `services: {web: {${IMAGE}, volumes: ['vol:/v']}}\nvolumes: {vol: {driver: vieux}}`, says: /there is no volume driver "vieux"/ },
  { of: ["secrets.*.external"], file: `services: {web: {${IMAGE}, secrets: [s]}}\nsecrets: {s: {external: true}}`, says: /external secret "s" of service "web"/ },
  { of: ["configs.*.external"], file: `services: {web: {${IMAGE}, configs: [s]}}\nconfigs: {s: {external: true}}`, says: /external config "s" of service "web"/ },
];

export function fileOf({ members, file }: Refusal): string {
  return file ?? `services:\n  web:\n    ${IMAGE}\n    command: [sleep, "100000"]\n    ${members ?? ""}\n`;
}
