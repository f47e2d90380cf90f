import { ATTRIBUTES } from "./attributes/index.ts";
import type { Support } from "./attributes/index.ts";

const HEAD = `# Attributes

What becomes of every attribute of a stack file: those of the Compose Specification, and stack's own. Made from the
table in \`src/model/attributes/\`, and kept up to date by its test (\`npx vitest run --project unit -u
src/model/attributes.test.ts\` writes it anew).

| word | meaning |
| --- | --- |
| honoured | a test sees its effect in a running stack: the one named beside it, of \`test/e2e/attributes/\` |
| partly | honoured but for what is said; where a file needs that, starting says so |
| refused | starting a service that asks for it fails with a clear message |
| not carried out | accepted; a warning names it with its place |
| information | there is nothing to carry out |

\`*\` stands for a name that you choose, \`[]\` for each item of a list. Stack's own keys stand bare in \`stack.yaml\`
and under \`x-stack\` in other files. \`x-…\` may stand everywhere: it is kept and passed through.
`;

const SECTIONS: readonly (readonly [title: string, belongs: (path: string) => boolean])[] = [
  ["Top level", (path) => !path.includes(".") || path.startsWith("include.")],
  ["Services", (path) => path.startsWith("services.") && !/^services\.\*\.(build|deploy|develop|models|provider|post_start|pre_)/.test(path)],
  ["Services: build", (path) => path.startsWith("services.*.build")],
  ["Services: deploy", (path) => path.startsWith("services.*.deploy")],
  ["Services: the rest", (path) => path.startsWith("services.")],
  ["Networks", (path) => path.startsWith("networks.")],
  ["Volumes", (path) => path.startsWith("volumes.")],
  ["Configs and secrets", (path) => /^(configs|secrets)\./.test(path)],
  ["Models", (path) => path.startsWith("models.")],
];

function describe(support: Support): string {
  switch (support.state) {
    case "honoured":
      return "honoured";
    case "not-carried-out":
      return `not carried out: ${support.why}`;
    default:
      return `${support.state}: ${support.why}`;
  }
}

/** `schemas/ATTRIBUTES.md`. `tests`: attribute → what a test sees of it. */
export function renderAttributes(tests: ReadonlyMap<string, string>): string {
  const left = new Set(Object.keys(ATTRIBUTES));
  let text = HEAD;
  for (const [title, belongs] of SECTIONS) {
    const paths = [...left].filter(belongs).sort();
    text += `\n## ${title}\n\n| attribute | | seen |\n| --- | --- | --- |\n`;
    for (const path of paths) {
      left.delete(path);
      const support = ATTRIBUTES[path];
      const shown = path.replace(/^services\.\*\./, "").replaceAll(".[]", "[]");
      if (support !== undefined) text += `| \`${shown}\` | ${describe(support)} | ${tests.get(path) ?? ""} |\n`;
    }
  }
  return text;
}
