import type { LintInput, LintRule, Tell } from "./rule.ts";
import { isPlain, written } from "./rule.ts";
import { below, compileRules } from "../rules.ts";
import type { RuleNode } from "../rules.ts";
import { formatPath, scalarText } from "../tree.ts";
import type { Node, Path, ScalarNode } from "../tree.ts";

/** What is written without quotes and means something else than it looks like. */
export const yamlRules: readonly LintRule[] = [
  {
    id: "sexagesimal",
    level: "warning",
    summary: "an unquoted value such as 22:22, which YAML 1.1 reads as a number to base 60",
    why: "stack reads text; podman-compose, Ansible and other tools with a YAML 1.1 parser read 22:22 as 1342 and publish that.",
    bad: "services:\n  git:\n    image: gitea/gitea:1.22\n    ports:\n      - 22:22\n",
    good: 'services:\n  git:\n    image: gitea/gitea:1.22\n    ports:\n      - "22:22"\n',
    check: (input, tell) =>
      eachScalar(input, (node) => {
        if (isPlain(node) && /^[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+$/.test(written(node)))
          tell(node, { message: `${written(node)} without quotes is a number to base 60 in YAML 1.1`, hint: `Write "${written(node)}".` });
      }),
  },
  {
    id: "yaml-1.1-word",
    level: "warning",
    summary: "an unquoted yes, no, on or off, which YAML 1.1 reads as true or false",
    why: "Compose reads the word; other tools, and people, read a boolean: the container gets yes from one and True from the other.",
    bad: "services:\n  web:\n    image: nginx:1.27\n    environment:\n      DEBUG: yes\n",
    good: 'services:\n  web:\n    image: nginx:1.27\n    environment:\n      DEBUG: "yes"\n',
    check: (input, tell) =>
      eachScalar(input, (node, path) => {
        const text = written(node);
        if (!isPlain(node) || !/^(?:yes|no|on|off)$/i.test(text) || path.at(-1)?.startsWith("[") === true || isFlag(path)) return;
        tell(node, { message: `${formatPath(path)}: ${text} without quotes is a boolean in YAML 1.1 and a word in Compose`, hint: `Write "${text}".` });
      }),
  },
  {
    id: "lossy-number",
    level: "warning",
    summary: "an unquoted number that reaches the container in another form than it is written",
    why: "3.10 becomes 3.1, 0123 becomes 83, 1_000 becomes 1000, 1e3 becomes 1000: YAML makes a number of it before anybody makes it text again.",
    bad: "services:\n  app:\n    image: nginx:1.27\n    environment:\n      PYTHON_VERSION: 3.10\n",
    good: 'services:\n  app:\n    image: nginx:1.27\n    environment:\n      PYTHON_VERSION: "3.10"\n',
    check: (input, tell) => {
      for (const document of input.documents) walkTexts(document, TEXTS, [], tell);
    },
  },
  {
    id: "decimal-mode",
    level: "warning",
    summary: "permission bits written as a decimal number",
    why: "mode: 440 without a leading zero is decimal: the file gets 0670, which lets a group write.",
    bad: "services:\n  app:\n    image: nginx:1.27\n    secrets:\n      - source: key\n        mode: 440\nsecrets:\n  key:\n    file: ./key\n",
    good: "services:\n  app:\n    image: nginx:1.27\n    secrets:\n      - source: key\n        mode: 0440\nsecrets:\n  key:\n    file: ./key\n",
    check: (input, tell) =>
      eachScalar(input, (node, path) => {
        const text = written(node);
        if (path.at(-1) !== "mode" || !isPlain(node) || !/^[1-7][0-7]{2,3}$/.test(text)) return;
        const bits = `0${Number(text).toString(8)}`;
        tell(node, { message: `${formatPath(path)}: ${text} is a decimal number: the permission bits are ${bits}`, hint: `Write 0${text}.` });
      }),
  },
  {
    id: "crlf",
    level: "off",
    summary: "a file whose lines end in CR LF",
    why: "YAML does not mind; scripts and environment files that were saved in the same editor do: /bin/sh^M is no program.",
    bad: "services:\r\n  web:\r\n    image: nginx:1.27\r\n",
    good: "services:\n  web:\n    image: nginx:1.27\n",
    check: (input, tell) => {
      for (const document of input.documents) {
        const { source } = document.at;
        const at = source.text.indexOf("\r\n");
        if (at !== -1 && input.documents.find((d) => d.at.source === source) === document)
          tell({ kind: "scalar", value: null, at: { source, start: at, end: at + 1 } }, { message: "The lines of this file end in CR LF", hint: "Save it with Unix line ends." });
      }
    },
  },
  {
    id: "quotes-in-list",
    level: "warning",
    summary: 'quotes inside a list item such as - KEY="value"',
    why: "YAML has no quotes in the middle of a plain value: the container gets them as part of the value.",
    bad: 'services:\n  app:\n    image: nginx:1.27\n    environment:\n      - GREETING="hello"\n',
    good: "services:\n  app:\n    image: nginx:1.27\n    environment:\n      - GREETING=hello\n",
    check: (input, tell) => {
      for (const document of input.documents)
        walkLists(document, LISTS, (node, text) => {
          const [, name, quote, value] = /^([^=]+)=(["'])(.*)\2$/s.exec(text) ?? [];
          if (name === undefined || quote === undefined || !isPlain(node)) return;
          tell(node, { message: `The quotes are part of the value of ${name}`, hint: `Write ${quote}${name}=${value ?? ""}${quote}, with the quotes around all of it, or without any.` });
        });
    },
  },
];

function eachScalar(input: LintInput, visit: (node: ScalarNode, path: Path) => void): void {
  const walk = (node: Node, path: Path): void => {
    if (node.kind === "scalar") visit(node, path);
    else if (node.kind === "map") for (const [key, value] of node.entries) walk(value, [...path, key]);
    else for (const [index, value] of node.items.entries()) walk(value, [...path, `[${index}]`]);
  };
  for (const document of input.documents) walk(document, []);
}

/** Where a boolean is expected: the model says it there already. */
const FLAGS = new Set(["privileged", "read_only", "tty", "stdin_open", "init", "disable", "external", "internal", "attachable", "enable_ipv4", "enable_ipv6", "oom_kill_disable", "nocopy", "required", "attach"]);

function isFlag(path: Path): boolean {
  return FLAGS.has(path.at(-1) ?? "") && path.at(-2) !== "environment";
}

/** Values that programs get as text. */
const TEXTS: RuleNode<true> = compileRules<true>({
  "services.*.environment.*": true,
  "services.*.labels.*": true,
  "services.*.annotations.*": true,
  "services.*.build.args.*": true,
  "services.*.build.labels.*": true,
  "services.*.command.[]": true,
  "services.*.entrypoint.[]": true,
  "services.*.hostname": true,
  "services.*.image": true,
  "services.*.user": true,
  "services.*.working_dir": true,
  "services.*.logging.options.*": true,
  "networks.*.driver_opts.*": true,
  "volumes.*.driver_opts.*": true,
});

function walkTexts(node: Node, rules: RuleNode<true>, path: Path, tell: Tell): void {
  if (node.kind === "map") {
    for (const [key, value] of node.entries) {
      const next = below(rules, key);
      if (next !== undefined) walkTexts(value, next, [...path, key], tell);
    }
  } else if (node.kind === "seq") {
    for (const [i, item] of node.items.entries()) if (rules.any !== undefined) walkTexts(item, rules.any, [...path, `[${i}]`], tell);
  } else if (rules.rule === true && typeof node.value === "number" && isPlain(node) && scalarText(node) !== written(node).replace(/^\+/, ""))
    tell(node, { message: `${formatPath(path)}: ${written(node)} is read as the number ${scalarText(node)}`, hint: `Write "${written(node)}".` });
}

const LISTS: RuleNode<true> = compileRules<true>({
  "services.*.environment.[]": true,
  "services.*.labels.[]": true,
  "services.*.build.args.[]": true,
});

function walkLists(node: Node, rules: RuleNode<true>, visit: (node: ScalarNode, text: string) => void): void {
  if (node.kind === "map") {
    for (const [key, value] of node.entries) {
      const next = below(rules, key);
      if (next !== undefined) walkLists(value, next, visit);
    }
  } else if (node.kind === "seq") {
    for (const item of node.items) if (rules.any?.rule === true && item.kind === "scalar" && typeof item.value === "string") visit(item, item.value);
  }
}
