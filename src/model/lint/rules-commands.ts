import { child, childItems, formatPath, scalarText, stringOf } from "../tree.ts";
import type { MapNode, Node, Path } from "../tree.ts";
import type { LintRule } from "./rule.ts";

/** What is run, and how. A command that is one line of text is the model's: it warns where the line is cut. */
export const commandRules: readonly LintRule[] = [
  {
    id: "shell-operators",
    level: "warning",
    summary: "&&, ||, | or > in the list of a command that no shell reads",
    why: "A list is executed as it is: the program gets && as an argument.",
    bad: 'services:\n  app:\n    image: nginx:1.27\n    healthcheck:\n      test: ["CMD", "curl", "-f", "http://localhost/", "||", "exit", "1"]\n',
    good: 'services:\n  app:\n    image: nginx:1.27\n    healthcheck:\n      test: ["CMD-SHELL", "curl -f http://localhost/ || exit 1"]\n',
    check: (input, tell) => {
      for (const { name, node } of input.services)
        for (const { path, node: at, words } of listsOf(name, node)) {
          const found = words.find((w) => OPERATORS.has(w));
          if (found === undefined || readByShell(words)) continue;
          const shell = path.at(-1) === "test" ? '"CMD-SHELL"' : '"sh", "-c"';
          tell(at, {
            message: `${formatPath(path)}: no shell reads this list: ${words[0] ?? ""} gets ${found} as an argument`,
            hint: `Write [${shell}, ${JSON.stringify(words.join(" "))}].`,
          });
        }
    },
  },
  {
    id: "command-in-one-word",
    level: "warning",
    summary: 'a list such as ["npm start"], whose only item is a program with its arguments',
    why: 'A list is not split: a program called "npm start", with the space, is looked for and not found.',
    bad: 'services:\n  app:\n    image: node:22\n    entrypoint: ["npm start"]\n',
    good: 'services:\n  app:\n    image: node:22\n    entrypoint: ["npm", "start"]\n',
    check: (input, tell) => {
      for (const { name, node } of input.services)
        for (const { path, words, node: at } of listsOf(name, node)) {
          const [first] = words;
          if (words.length !== 1 || first === undefined || !/^[\w./-]+\s+\S/.test(first)) continue;
          const apart = first.split(/\s+/).map((w) => JSON.stringify(w));
          tell(at, { message: `${formatPath(path)}: the program is called "${first}", with its spaces`, hint: `Write [${apart.join(", ")}], or the line without a list.` });
        }
    },
  },
];

interface CommandList {
  readonly path: Path;
  readonly node: Node;
  /** The first is the program. */
  readonly words: readonly string[];
}

function listsOf(name: string, service: MapNode): readonly CommandList[] {
  const lists: CommandList[] = [];
  const add = (node: Node | undefined, path: Path, drop = 0): void => {
    if (node?.kind !== "seq" || node.items.length <= drop) return;
    lists.push({ path, node, words: node.items.slice(drop).map((i) => (i.kind === "scalar" ? scalarText(i) : "")) });
  };
  const entrypoint = service.entries.get("entrypoint");
  add(entrypoint, ["services", name, "entrypoint"]);
  // Behind an entrypoint of its own a command is arguments, which only their reader understands.
  if (entrypoint === undefined) add(service.entries.get("command"), ["services", name, "command"]);
  const health = service.entries.get("healthcheck");
  if (stringOf(childItems(health, "test")[0]) === "CMD") add(child(health, "test"), ["services", name, "healthcheck", "test"], 1);
  for (const hook of ["pre_start", "post_start", "pre_stop"])
    for (const [i, item] of childItems(service, hook).entries()) add(child(item, "command"), ["services", name, hook, `[${i}]`, "command"]);
  return lists;
}

const OPERATORS = new Set(["&&", "||", "|", ">", ">>", "2>&1"]);

/** `sh -c` and its like get text that they read themselves; other interpreters have operators of their own. */
function readByShell(words: readonly string[]): boolean {
  return /(?:^|\/)(?:ba|da|a|z|k)?sh$/.test(words[0] ?? "") || words.some((w) => w === "-c" || w === "-exec" || w === "-e");
}
