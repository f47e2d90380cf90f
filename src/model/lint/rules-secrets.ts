import { childMap, scalarText, stringOf } from "../tree.ts";
import type { Node } from "../tree.ts";
import type { LintRule } from "./rule.ts";
import { written } from "./rule.ts";

/** Where passwords stand that should stand nowhere. */
export const secretRules: readonly LintRule[] = [
  {
    id: "plain-secret",
    level: "warning",
    summary: "a password, token or key written out in environment",
    why: "It is in the repository for good, and every process of the container, `stack config` and error reports show it.",
    bad: "services:\n  app:\n    image: nginx:1.27\n    environment:\n      API_TOKEN: 9f8e7d6c5b4a\n",
    good: "services:\n  app:\n    image: nginx:1.27\n    environment:\n      API_TOKEN: ${API_TOKEN:?put it into .env}\n",
    check: (input, tell) => {
      for (const { name, node } of input.services)
        for (const { key, value, at } of pairsOf(node.entries.get("environment"))) {
          if (value === "" || written(at).includes("$")) continue;
          const url = /^[a-z][a-z0-9+.-]*:\/\/[^/\s:@]*:([^/\s@]+)@/i.exec(value)?.[1];
          if (!isSecretName(key, value) && url === undefined) continue;
          tell(at, {
            message: `Service "${name}": ${key} holds ${url === undefined ? "a secret" : "a password"} in plain text`,
            hint: `Write \${${key}} and keep the value in an .env that is not committed, or use \`secrets:\`${knowsFile(key) ? ` with ${key}_FILE` : ""}.`,
          });
        }
    },
  },
  {
    id: "secret-build-arg",
    level: "warning",
    summary: "a password, token or key among build.args",
    why: "Build arguments stay in the history of the image: whoever can pull it can read them.",
    bad: "services:\n  app:\n    build:\n      context: .\n      args:\n        NPM_TOKEN: ${NPM_TOKEN:-}\n",
    good: "services:\n  app:\n    build:\n      context: .\n      secrets: [npm]\nsecrets:\n  npm:\n    environment: NPM_TOKEN\n",
    check: (input, tell) => {
      for (const { name, node } of input.services)
        for (const { key, value, at } of pairsOf(childMap(node, "build")?.entries.get("args")))
          if (isSecretName(key, value === "" ? "x" : value))
            tell(at, { message: `Service "${name}": the build argument ${key} stays readable in the image`, hint: "Use `build.secrets`, which the image does not keep." });
    },
  },
];

export interface Pair {
  readonly key: string;
  readonly value: string;
  readonly at: Node;
}

/** `environment` and its like, as a mapping or a list; without those that have no value. */
export function pairsOf(node: Node | undefined): readonly Pair[] {
  if (node?.kind === "map")
    return [...node.entries].flatMap(([key, at]) => (at.kind === "scalar" && at.value !== null ? [{ key, value: scalarText(at), at }] : []));
  if (node?.kind !== "seq") return [];
  return node.items.flatMap((at) => {
    const text = stringOf(at) ?? "";
    const equals = text.indexOf("=");
    return equals === -1 ? [] : [{ key: text.slice(0, equals), value: text.slice(equals + 1), at }];
  });
}

const SECRET = /(?:^|_)(?:PASSWORD|PASSWD|PASS|PASSPHRASE|PWD|SECRET|SECRET_KEY|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|ENCRYPTION_KEY|CREDENTIALS?)$|(?:^|_)SECRET_KEY_BASE$|^PGPASSWORD$|SECRET_ACCESS_KEY$/i;
/** Switches and places, not secrets. */
const HARMLESS = /(?:^|_)(?:ALLOW|EMPTY|RANDOM|ENABLE|DISABLE|REQUIRE|REQUIRED|USE)(?:_|$)|^(?:OLD)?PWD$/i;

function isSecretName(key: string, value: string): boolean {
  return SECRET.test(key) && !HARMLESS.test(key) && !/^(?:true|false|yes|no|on|off|0|1|none|null)$/i.test(value) && !/^\/(?:run|etc|var)\//.test(value);
}

/** Official images read the value from a file when it is named so. */
function knowsFile(key: string): boolean {
  return /^(?:POSTGRES|MYSQL|MARIADB|MONGO_INITDB)_/.test(key);
}
