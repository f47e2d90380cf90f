import { Random } from "../fuzz/random.ts";
import type { Expectation } from "./checker/judge.ts";
import type { Blow, Mode, Role } from "./program/board.ts";

// What is done in a round, as data: made from the seed and from what was learnt of the steps, and kept for a replay.

/** What the stack file says. */
export interface Wish {
  readonly version: number;
  readonly web: number;
  readonly extra: boolean;
}

export type Fault =
  | { readonly kind: "none" }
  /** So many pages are left on the disk. */
  | { readonly kind: "disk"; readonly pages: number }
  /** So many descriptors, or bytes of address space, may come to what a process has. */
  | { readonly kind: "descriptors" | "memory"; readonly of: "agent" | "monitor"; readonly margin: number };

export const commands = ["up", "scale", "recreate", "restart", "stop", "kill", "exec", "down", "down-volumes", "nothing"] as const;
export type Command = (typeof commands)[number];

export interface Round {
  readonly number: number;
  readonly wish: Wish;
  readonly command: Command;
  readonly blow: Blow | undefined;
  readonly fault: Fault;
  /** Who is killed with the one that the blow falls on. */
  readonly also: readonly ("agent" | "monitors" | "containers" | "command")[];
  readonly reboot: boolean;
  /** The command by which all is to be well again. */
  readonly heal: "up" | "down";
}

export const networks = 2;

export function stackFile(wish: Wish, marker: string, books: string): string {
  const service = (name: string, lines: readonly string[]): string =>
    [
      `  ${name}:`,
      "    image: chaos:1",
      "    stop_grace_period: 2s",
      `    environment: [${JSON.stringify(marker)}, CHAOS_SERVICE=${name}, CHAOS_VERSION=${name === "web" ? wish.version : 0}]`,
      ...lines.map((line) => `    ${line}`),
    ].join("\n");
  const book = JSON.stringify(`${books}:/book`);
  return `${[
    "services:",
    service("web", [`command: [/workload, serve, "50"]`, "restart: always", `deploy: {replicas: ${wish.web}}`, 'ports: ["8060-8069:80"]', "networks: [default, back]", "configs: [settings]", `volumes: ["data:/data", ${book}]`]),
    service("job", ['command: [/workload, exit, "20", "0", "7"]', 'restart: "no"', `volumes: [${book}]`]),
    service("flaky", ['command: [/workload, exit, "5", "100", "9"]', "restart: always", "restart_policy: {first_delay: 50ms, delay: 50ms, factor: 1, max_delay: 100ms}", `volumes: [${book}]`]),
    ...(wish.extra ? [service("extra", ["command: [/workload, serve, \"0\"]", "restart: unless-stopped", "depends_on: [web]", "healthcheck: {test: [CMD, /workload, probe], interval: 300ms}", "processes: {beside: {command: [/workload, idle], restart: always}}", `volumes: ["data:/data", ${book}]`])] : []),
    "networks: {default: {}, back: {}}",
    "volumes: {data: {}}",
    'configs: {settings: {content: "a = 1"}}',
  ].join("\n")}\n`;
}

export function expectation(wish: Wish): Expectation {
  return {
    services: {
      web: { replicas: wish.web, version: String(wish.version), life: "runs", networks: 2, published: true },
      job: { replicas: 1, version: "0", life: "ended", networks: 1, published: false },
      flaky: { replicas: 1, version: "0", life: "cycles", networks: 1, published: false },
      ...(wish.extra ? { extra: { replicas: 1, version: "0", life: "runs" as const, networks: 1, published: false } } : {}),
    },
    networks,
    volumes: ["project_data"],
  };
}

export function argv(command: Command): readonly string[] {
  const up = ["up", "-d", "--remove-orphans", "-t", "1"];
  switch (command) {
    case "up":
    case "scale":
      return up;
    case "recreate":
      return [...up, "--force-recreate"];
    case "restart":
      return ["restart", "-t", "1"];
    case "stop":
      return ["stop", "-t", "1"];
    case "kill":
      return ["kill", "web"];
    case "exec":
      return ["exec", "-T", "web", "/workload"];
    case "down":
      return ["down", "--remove-orphans", "-t", "1"];
    case "down-volumes":
      return ["down", "-v", "--remove-orphans", "-t", "1"];
    case "nothing":
      return ["version"];
  }
}

/** Where there is most to be broken, most often. */
const weighted: readonly Command[] = [...commands, "up", "scale", "scale", "recreate", "recreate", "restart", "down-volumes", "down-volumes"];

/** Which steps were passed while which command ran, and at which a blow has fallen. */
export class Known {
  readonly seen = new Map<Command, Set<string>>();
  readonly hit = new Map<string, number>();
  readonly tried = new Map<string, number>();

  add(command: Command, step: string): void {
    this.seen.set(command, (this.seen.get(command) ?? new Set()).add(step));
  }

  get steps(): ReadonlySet<string> {
    return new Set([...this.seen.values()].flatMap((each) => [...each]));
  }

  /** Those of a command at which no blow has fallen, though not for want of trying. */
  fresh(command: Command, tries = 3): readonly string[] {
    return [...(this.seen.get(command) ?? [])].filter((step) => !this.hit.has(step) && (this.tried.get(step) ?? 0) < tries).sort();
  }
}

const errors = [5, 12, 24, 28] as const; // EIO, ENOMEM, EMFILE, ENOSPC

export class Rounds {
  readonly #random: Random;
  readonly #known: Known;
  #number = 0;
  #wish: Wish = { version: 1, web: 2, extra: false };

  constructor(seed: number, known: Known) {
    this.#random = new Random(seed);
    this.#known = known;
  }

  next(): Round {
    const random = this.#random;
    const number = (this.#number += 1);
    // The first ones are left in peace: they show which steps there are.
    const command = commands[number - 1] ?? random.pick(weighted);
    const peace = number <= commands.length;
    this.#wish = peace && number === 1 ? this.#wish : this.#changed(command);
    const kind = peace ? "none" : random.pick(["step", "step", "step", "step", "step", "step", "fail", "fault", "time"] as const);
    const fault = kind === "fault" ? this.#fault() : ({ kind: "none" } as const);
    const blow = kind === "step" || kind === "fail" ? this.#blow(command, kind === "fail") : undefined;
    const also = kind === "step" || kind === "time" ? this.#also() : [];
    return { number, wish: this.#wish, command, blow, fault, also, reboot: kind !== "none" && kind !== "fail" && random.chance(4), heal: random.chance(20) ? "down" : "up" };
  }

  /** A blow of this kind at each step in turn, the command's own apart. Undefined: it has fallen everywhere, or not in four tries. */
  every(mode: Mode): Round | undefined {
    if (this.#number < commands.length) return this.next();
    const random = this.#random;
    const left = commands.flatMap((command) => this.#known.fresh(command, 4).map((step) => ({ command, step }))).filter(({ step }) => !step.startsWith("cli "));
    if (left.length === 0) return undefined;
    const { command, step } = random.pick(left);
    const number = (this.#number += 1);
    this.#wish = this.#changed(command);
    const blow: Blow = { role: step.slice(0, step.indexOf(" ")) as Role, mode, after: 0, step, ...(mode === "fail" ? { errno: random.pick(errors) } : {}) };
    // Half of the commands find everything there, half of them nothing.
    return { number, wish: this.#wish, command, blow, fault: { kind: "none" }, also: [], reboot: false, heal: random.chance(50) ? "up" : "down" };
  }

  #changed(command: Command): Wish {
    const random = this.#random;
    const { version, web, extra } = this.#wish;
    if (command === "scale") return { version, web: 1 + random.int(3), extra: random.chance(30) };
    if (command === "up") return { version: version + (random.chance(60) ? 1 : 0), web, extra };
    return this.#wish;
  }

  #also(): Round["also"] {
    const random = this.#random;
    return random.chance(60) ? [] : random.pick([["agent"], ["monitors"], ["agent", "monitors"], ["containers"], ["agent", "monitors", "containers"], ["command"], ["command", "agent"]] as const);
  }

  #fault(): Fault {
    const random = this.#random;
    const of = random.chance(50) ? "agent" : "monitor";
    return random.pick<Fault>([
      { kind: "disk", pages: random.int(24) },
      { kind: "descriptors", of, margin: random.int(8) },
      { kind: "memory", of, margin: random.int(64) * 65_536 },
    ]);
  }

  #blow(command: Command, fails: boolean): Blow {
    const random = this.#random;
    const fresh = this.#known.fresh(command).filter((step) => !fails || !step.startsWith("cli"));
    const mode: Mode = fails ? "fail" : random.pick(["before", "before", "after", "half"]);
    const error = fails ? { errno: random.pick(errors) } : {};
    if (fresh.length > 0 && random.chance(85)) {
      const step = random.pick(fresh);
      return { role: step.slice(0, step.indexOf(" ")) as Role, mode, ...error, after: random.chance(70) ? 0 : random.int(4), step };
    }
    const role = random.pick<Role>(["agent", "agent", "monitor", "monitor", "monitor", "child"]);
    return { role, mode, ...error, after: random.int(role === "agent" ? 120 : 200) };
  }
}
