import { formatPath } from "./tree.ts";
import type { Node, ScalarNode } from "./tree.ts";
import type { Report } from "./report.ts";
import { below, compileRules } from "./rules.ts";
import type { RuleNode } from "./rules.ts";
import { didYouMean } from "./suggest.ts";
import { substitute } from "./template.ts";
import type { TemplateProblem } from "./template.ts";

/** What a string at this path is turned into after its variables are filled in. */
type Cast = "integer" | "float" | "boolean";

const CASTS: RuleNode<Cast> = compileRules<Cast>({
  "services.*.cpu_count": "integer",
  "services.*.cpu_percent": "float",
  "services.*.cpu_period": "integer",
  "services.*.cpu_quota": "integer",
  "services.*.cpu_rt_period": "integer",
  "services.*.cpu_rt_runtime": "integer",
  "services.*.cpu_shares": "integer",
  "services.*.cpus": "float",
  "services.*.deploy.placement.max_replicas_per_node": "integer",
  "services.*.deploy.replicas": "integer",
  "services.*.deploy.restart_policy.max_attempts": "integer",
  "services.*.deploy.rollback_config.max_failure_ratio": "float",
  "services.*.deploy.rollback_config.parallelism": "integer",
  "services.*.deploy.update_config.max_failure_ratio": "float",
  "services.*.deploy.update_config.parallelism": "integer",
  "services.*.healthcheck.disable": "boolean",
  "services.*.healthcheck.retries": "integer",
  "services.*.init": "boolean",
  "services.*.oom_kill_disable": "boolean",
  "services.*.oom_score_adj": "integer",
  "services.*.pids_limit": "integer",
  "services.*.ports.[].target": "integer",
  "services.*.privileged": "boolean",
  "services.*.read_only": "boolean",
  "services.*.scale": "integer",
  "services.*.stdin_open": "boolean",
  "services.*.tty": "boolean",
  "services.*.ulimits.*": "integer",
  "services.*.ulimits.*.hard": "integer",
  "services.*.ulimits.*.soft": "integer",
  "services.*.volumes.[].read_only": "boolean",
  "services.*.volumes.[].volume.nocopy": "boolean",
  "networks.*.attachable": "boolean",
  "networks.*.enable_ipv4": "boolean",
  "networks.*.enable_ipv6": "boolean",
  "networks.*.external": "boolean",
  "networks.*.internal": "boolean",
  "volumes.*.external": "boolean",
  "secrets.*.external": "boolean",
  "configs.*.external": "boolean",
});

export interface Interpolation {
  readonly environment: ReadonlyMap<string, string>;
  /** Names of variables that were used and are not set: each is told once per load. */
  readonly unset: Set<string>;
  /** Whether so many characters may be filled in; false was reported. */
  readonly mayFill: (characters: number, at: Node) => boolean;
}

/** Looking for what was meant compares a name with all that there are: not for the thousandth one. */
const SUGGESTIONS = 20;

/** Fills the variables of all values in; keys are left as they are. Changes the tree. */
export function interpolate(root: Node, options: Interpolation, report: Report): void {
  new Walker(options, report).walk(root, [], CASTS);
}

class Walker {
  readonly #options: Interpolation;
  readonly #report: Report;

  constructor(options: Interpolation, report: Report) {
    this.#options = options;
    this.#report = report;
  }

  walk(node: Node, path: string[], casts: RuleNode<Cast> | undefined): void {
    if (node.kind === "map") {
      for (const [key, value] of node.entries) {
        path.push(key);
        this.walk(value, path, below(casts, key));
        path.pop();
      }
    } else if (node.kind === "seq") {
      for (const [index, item] of node.items.entries()) {
        path.push(`[${index}]`);
        this.walk(item, path, casts?.any);
        path.pop();
      }
    } else if (typeof node.value === "string") this.#scalar(node, node.value, path, casts?.rule);
  }

  #scalar(node: ScalarNode, text: string, path: readonly string[], cast: Cast | undefined): void {
    if (text.includes("$")) {
      const { value, problems } = substitute(text, (name) => this.#options.environment.get(name));
      for (const problem of problems) this.#tell(node, text, problem, path);
      node.value = value.length <= text.length || this.#options.mayFill(value.length, node) ? value : "";
    }
    if (cast === undefined || node.broken === true || typeof node.value !== "string") return;
    const casted = castText(node.value, cast);
    if (casted === undefined) {
      node.broken = true;
      this.#report.error(node, {
        rule: "wrong-type",
        message: `${formatPath(path)}: ${JSON.stringify(node.value)} is not ${cast === "integer" ? "a whole number" : cast === "float" ? "a number" : "true or false"}`,
        hint: cast === "integer" ? "Write digits: 3." : cast === "float" ? "Write digits: 0.5." : "Write true or false.",
      });
    } else {
      if (cast === "boolean" && !/^(true|false)$/i.test(node.value))
        this.#report.warn(node, {
          rule: "yaml-1.1-boolean",
          message: `${formatPath(path)}: "${node.value}" is not a boolean of YAML 1.2`,
          hint: `Write ${String(casted)}.`,
        });
      node.value = casted;
    }
  }

  #tell(node: ScalarNode, text: string, problem: TemplateProblem, path: readonly string[]): void {
    const where = formatPath(path);
    if (problem.kind === "unset") {
      if (this.#options.unset.has(problem.name)) return;
      this.#options.unset.add(problem.name);
      this.#report.warn(node, {
        rule: "unset-variable",
        message: `The variable ${problem.name} is not set: ${where} gets an empty string in its place`,
        hint:
          (this.#options.unset.size > SUGGESTIONS ? undefined : didYouMean(problem.name, this.#options.environment.keys())) ??
          (text.includes(`$${problem.name}`) && !text.startsWith(`$${problem.name}`)
            ? `If a dollar sign is meant, write $$${problem.name}; else set the variable, or give it a default: \${${problem.name}:-value}.`
            : `Set it in the environment or in .env, or give it a default: \${${problem.name}:-value}.`),
      });
      return;
    }
    node.broken = true;
    if (problem.kind === "too-long")
      this.#report.error(node, { rule: "interpolation", message: `${where}: its variables add up to too long a text` });
    else if (problem.kind === "malformed")
      this.#report.error(node, {
        rule: "interpolation",
        message: `${where}: invalid interpolation format in ${JSON.stringify(shorten(problem.text))}`,
        hint: "A variable is written $NAME or ${NAME}; for a plain dollar sign write $$.",
      });
    else
      this.#report.error(node, {
        rule: "required-variable",
        message: `${where}: required variable ${problem.name} is missing a value${problem.reason === "" ? "" : `: ${problem.reason}`}`,
        hint: `Set ${problem.name} in the environment or in .env.`,
      });
  }
}

function shorten(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

function castText(text: string, cast: Cast): number | boolean | undefined {
  switch (cast) {
    case "integer":
      return /^[-+]?[0-9]{1,19}$/.test(text) ? Number(text) : undefined;
    case "float":
      return /^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$/.test(text) ? Number(text) : undefined;
    case "boolean":
      return /^(?:true|y|yes|on)$/i.test(text) ? true : /^(?:false|n|no|off)$/i.test(text) ? false : undefined;
  }
}
