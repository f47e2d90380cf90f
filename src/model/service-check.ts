import { IMPLICIT } from "./normalise.ts";
import type { Report } from "./report.ts";
import { didYouMean } from "./suggest.ts";
import { checkSupervision } from "./supervision.ts";
import { child, childItems, childMap, childString, formatPath, isNull, locate, scalarText, stringOf } from "./tree.ts";
import type { MapNode, Node, Path, Via } from "./tree.ts";
import { parseBytes } from "./units.ts";

/** What is known when services are checked against each other. */
export interface ConsistencyInput {
  readonly root: MapNode;
  /** Services that will run. Only they are checked. */
  readonly active: ReadonlySet<string>;
  /** Services (`services.web`) and sections (`volumes`) that lost something to earlier errors. */
  readonly broken: ReadonlySet<string>;
  readonly report: Report;
}

/** The specification's words, and those of `restart` that Docker Compose takes here as well. */
const RESTART_CONDITIONS = ["none", "on-failure", "any", "no", "always", "unless-stopped"];

/** What one service says, by itself and about others. */
export class ServiceCheck {
  readonly #name: string;
  readonly #service: MapNode;
  readonly #input: ConsistencyInput;
  readonly #path: Path;

  constructor(name: string, service: MapNode, input: ConsistencyInput) {
    this.#name = name;
    this.#service = service;
    this.#input = input;
    this.#path = ["services", name];
  }

  run(): void {
    this.#source();
    this.#build();
    this.#namespaces();
    this.#references();
    this.#dependencies();
    this.#healthcheck();
    this.#restart();
    this.#twins();
    this.#scale();
    this.#watch();
    this.#mounts();
    checkSupervision(this.#service, (at, rule, message, hint) => {
      this.#fail(at, rule, `Service "${this.#name}": ${message}`, hint);
    });
  }

  #fail(node: Node | undefined, rule: string, message: string, hint?: string, atKey = false): void {
    const where = node ?? this.#service;
    const { via: above } = locate(this.#input.root, this.#path);
    const via = [...above, ...(viaBetween(this.#service, where) ?? [])];
    this.#input.report.error(where, { rule, message, hint, atKey: atKey || node === undefined, via });
  }

  #source(): void {
    const s = this.#service;
    if (this.#input.broken.has(formatPath(this.#path))) return;
    const own = childMap(s, "x-stack");
    const sources = [s.entries.get("image"), s.entries.get("build"), s.entries.get("provider"), own?.entries.get("rootfs")].filter(
      (n) => n !== undefined && !isNull(n) && (stringOf(n) !== "" || (n.kind === "scalar" && n.broken === true)),
    );
    if (sources.length === 0)
      this.#fail(
        undefined,
        "no-image",
        `Service "${this.#name}" has neither an image nor a build context specified`,
        "Add `image:` or `build:`.",
      );
    const rootfs = own?.entries.get("rootfs");
    const image = s.entries.get("image") ?? s.entries.get("build");
    if (rootfs !== undefined && image !== undefined)
      this.#fail(
        rootfs,
        "conflict",
        `Service "${this.#name}" has both \`rootfs\` and \`${s.entries.has("image") ? "image" : "build"}\``,
        "Keep one of them.",
        true,
      );
  }

  #build(): void {
    const build = childMap(this.#service, "build");
    if (build === undefined) return;
    const inline = build.entries.get("dockerfile_inline");
    if (inline !== undefined && build.entries.has("dockerfile"))
      this.#fail(
        inline,
        "conflict",
        `Service "${this.#name}": \`dockerfile\` and \`dockerfile_inline\` exclude each other`,
        "Keep one of them.",
        true,
      );
    for (const [key, context] of childMap(build, "additional_contexts")?.entries ?? []) {
      const target = stringOf(context);
      if (target?.startsWith("service:") !== true) continue;
      const other = target.slice("service:".length);
      if (!this.#serviceKnown(other, context, `as additional context ${key}`)) continue;
      if (childMap(this.#serviceNode(other), "build") === undefined)
        this.#fail(
          context,
          "conflict",
          `Service "${this.#name}" takes service "${other}" as additional context ${key}, but "${other}" has no \`build\``,
        );
    }
    const platform = stringOf(this.#service.entries.get("platform"));
    const platforms = childItems(build, "platforms");
    if (platform !== undefined && platforms.length > 0 && !platforms.some((p) => stringOf(p) === platform))
      this.#fail(
        this.#service.entries.get("platform"),
        "conflict",
        `Service "${this.#name}": build.platforms has to include the service's platform ${platform}`,
      );
  }

  #namespaces(): void {
    const mode = this.#service.entries.get("network_mode");
    const networks = this.#service.entries.get("networks");
    if (mode !== undefined && networks?.kind === "map" && networks.entries.size > 0)
      this.#fail(
        mode,
        "conflict",
        `Service "${this.#name}": \`network_mode\` and \`networks\` exclude each other`,
        "Keep one of them.",
        true,
      );
    const shared = stringOf(mode);
    if (mode !== undefined && shared?.startsWith("service:") === true)
      this.#serviceKnown(shared.slice("service:".length), mode, "in network_mode");
  }

  #references(): void {
    const s = this.#service;
    for (const [key, node] of childMap(s, "networks")?.entries ?? []) this.#defined("networks", "network", key, node, true);
    for (const mount of childItems(s, "volumes")) {
      const source = child(mount, "source");
      const name = stringOf(source);
      if (childString(mount, "type") === "volume" && source !== undefined && name !== undefined && name !== "")
        this.#defined("volumes", "volume", name, source);
    }
    for (const [list, section, word] of [
      [childItems(childMap(s, "build"), "secrets"), "secrets", "build secret"],
      [childItems(s, "configs"), "configs", "config"],
      [childItems(s, "secrets"), "secrets", "secret"],
    ] as const)
      for (const mount of list) {
        const source = child(mount, "source");
        if (source !== undefined) this.#defined(section, word, stringOf(source) ?? "", source);
      }
    for (const [key, node] of childMap(s, "models")?.entries ?? []) this.#defined("models", "model", key, node, true);
  }

  #defined(section: string, word: string, name: string, node: Node, atKey = false): void {
    const known = childMap(this.#input.root, section);
    if (known?.entries.has(name) === true || this.#input.broken.has(section)) return;
    const hint =
      didYouMean(name, known?.entries.keys() ?? []) ??
      (word === "volume" ? volumeHint(name) : `Define it under the top-level \`${section}:\`.`);
    this.#fail(node, `undefined-${word.replace(" ", "-")}`, `Service "${this.#name}" refers to undefined ${word} ${name}`, hint, atKey);
  }

  #dependencies(): void {
    for (const [name, node] of childMap(this.#service, "depends_on")?.entries ?? []) {
      const required = child(node, "required");
      const optional = required?.kind === "scalar" && required.value === false;
      const known = this.#serviceNode(name) !== undefined;
      if (optional && known) continue;
      // Told where the namespace is shared.
      if (child(node, IMPLICIT) !== undefined && stringOf(this.#service.entries.get("network_mode")) === `service:${name}`) continue;
      this.#serviceKnown(name, node, "in depends_on", true);
    }
  }

  #serviceNode(name: string): Node | undefined {
    return childMap(this.#input.root, "services")?.entries.get(name);
  }

  #serviceKnown(name: string, node: Node, how: string, atKey = false): boolean {
    if (this.#input.active.has(name)) return true;
    const services = childMap(this.#input.root, "services");
    const disabled = services?.entries.get(name);
    if (disabled !== undefined) {
      const profiles = childItems(disabled, "profiles").flatMap((p) => stringOf(p) ?? []);
      const way = how === "in depends_on" ? ", or write `required: false`" : "";
      this.#fail(
        node,
        "disabled-service",
        `Service "${this.#name}" needs service "${name}" ${how}, whose profiles are not active`,
        `Activate it with --profile ${profiles[0] ?? "NAME"}${way}.`,
        atKey,
      );
    } else if (!this.#input.broken.has("services"))
      this.#fail(
        node,
        "undefined-service",
        `Service "${this.#name}" depends on undefined service "${name}" (${how})`,
        didYouMean(name, services?.entries.keys() ?? []) ?? known(services, this.#name),
        atKey,
      );
    return false;
  }

  #healthcheck(): void {
    const test = child(childMap(this.#service, "healthcheck"), "test");
    const [first] = test?.kind === "seq" ? test.items : [];
    if (first === undefined || ["CMD", "CMD-SHELL", "NONE"].includes(stringOf(first) ?? "")) return;
    this.#fail(
      first,
      "invalid-value",
      `services.${this.#name}.healthcheck.test has to begin with "CMD", "CMD-SHELL" or "NONE"`,
      'A list is ["CMD", program, argument, …]; a single string is run by a shell.',
    );
  }

  #restart(): void {
    const policy = childMap(childMap(this.#service, "deploy"), "restart_policy");
    const condition = child(policy, "condition");
    const word = stringOf(condition);
    if (condition !== undefined && word !== undefined && !RESTART_CONDITIONS.includes(word))
      this.#fail(condition, "invalid-value", `services.${this.#name}.deploy.restart_policy.condition: "${word}" is no condition`, "One of none, on-failure, any.");
    const attempts = child(policy, "max_attempts");
    if (attempts !== undefined && amount(attempts) < 0)
      this.#fail(attempts, "invalid-value", `services.${this.#name}.deploy.restart_policy.max_attempts: must be greater than or equal to 0`);
  }

  /** Limits that can be written in two places have to agree. */
  #twins(): void {
    const resources = childMap(childMap(this.#service, "deploy"), "resources");
    const limits = childMap(resources, "limits");
    const reservations = childMap(resources, "reservations");
    for (const [key, group, twin, name] of [
      ["cpus", limits, "cpus", "limits.cpus"],
      ["mem_limit", limits, "memory", "limits.memory"],
      ["mem_reservation", reservations, "memory", "reservations.memory"],
      ["pids_limit", limits, "pids", "limits.pids"],
    ] as const) {
      const own = this.#service.entries.get(key);
      if (group === undefined || own === undefined || amount(own) === 0) continue;
      if (amount(own) !== amount(group.entries.get(twin)))
        this.#fail(
          own,
          "conflict",
          `services.${this.#name}: can't set distinct values on '${key}' and 'deploy.resources.${name}'`,
          "Keep one of them, or give them the same value.",
        );
    }
  }

  #scale(): void {
    const own = this.#service.entries.get("scale");
    const replicas = child(childMap(this.#service, "deploy"), "replicas");
    if (own !== undefined && replicas !== undefined && amount(own) !== amount(replicas))
      this.#fail(
        own,
        "conflict",
        `services.${this.#name}: can't set distinct values on 'scale' and 'deploy.replicas'`,
        "Keep one of them.",
      );
    for (const [node, key] of [
      [own, "scale"],
      [replicas, "deploy.replicas"],
    ] as const)
      if (node !== undefined && amount(node) < 0)
        this.#fail(node, "invalid-value", `services.${this.#name}.${key}: must be greater than or equal to 0`);
    const name = this.#service.entries.get("container_name");
    const count = own ?? replicas;
    if (name !== undefined && count !== undefined && amount(count) > 1)
      this.#fail(
        name,
        "conflict",
        `services.${this.#name}: container_name must be unique, but there are ${amount(count)} replicas`,
        "Remove `container_name`, or have one replica.",
      );
  }

  #watch(): void {
    for (const rule of childItems(childMap(this.#service, "develop"), "watch")) {
      const action = childString(rule, "action");
      if (action !== "rebuild" && action !== "restart" && (childString(rule, "target") ?? "") === "")
        this.#fail(rule, "missing-key", `services.${this.#name}.develop.watch: target is required for the action ${action ?? ""}`);
    }
  }

  #mounts(): void {
    const taken = new Map<string, string>();
    const take = (target: string, node: Node, where: string): void => {
      const other = taken.get(target);
      if (other === undefined) taken.set(target, where);
      else
        this.#fail(
          node,
          "conflict",
          `services.${this.#name}.${where}: target ${target} already mounted as services.${this.#name}.${other}`,
          "Remove one of them, or mount it elsewhere.",
        );
    };
    const tmpfs = this.#service.entries.get("tmpfs");
    const list = tmpfs?.kind === "seq" ? tmpfs.items : tmpfs === undefined ? [] : [tmpfs];
    for (const [i, node] of list.entries()) take((stringOf(node) ?? "").split(":", 1)[0] ?? "", node, `tmpfs[${i}]`);
    for (const [i, node] of childItems(this.#service, "volumes").entries()) take(childString(node, "target") ?? "", node, `volumes[${i}]`);
  }
}

/** The other services, where they are few enough to be read. */
function known(services: MapNode | undefined, self: string): string | undefined {
  const names = [...(services?.entries.keys() ?? [])].filter((n) => n !== self);
  return names.length === 0 ? "There is no other service in the file." : names.length <= 12 ? `Other services are ${names.join(", ")}.` : undefined;
}

/** What came between a service and one of its parts: the part knows its own. */
function viaBetween(from: Node, to: Node): readonly Via[] | undefined {
  if (from === to) return [];
  if (from.kind === "scalar") return undefined;
  for (const item of from.kind === "seq" ? from.items : from.entries.values()) {
    const found = viaBetween(item, to);
    if (found !== undefined) return [...(item.via ?? []), ...found];
  }
  return undefined;
}

/** The number that a value stands for; sizes in bytes. */
function amount(node: Node | undefined): number {
  if (node?.kind !== "scalar" || node.value === null) return 0;
  if (typeof node.value === "number") return Math.fround(node.value);
  const text = scalarText(node);
  return Math.fround(/^[-+]?[\d.]+(?:e[-+]?\d+)?$/i.test(text) ? Number(text) : (parseBytes(text) ?? Number.NaN));
}

function volumeHint(name: string): string {
  return name.includes("/")
    ? `A path of the host begins with ./ or /: ./${name}`
    : `Add \`${name}:\` under the top-level \`volumes:\`, or write ./${name} for a directory of the host.`;
}
