import { didYouMean } from "./suggest.ts";

/** Values of those keys that a pattern describes. */
const CHOICES: Readonly<Record<string, readonly string[]>> = {
  restart: ["no", "always", "unless-stopped", "on-failure"],
  pull_policy: ["always", "never", "missing", "build", "daily", "weekly"],
  protocol: ["tcp", "udp", "sctp"],
};

/** What to write where a pattern was not met. */
const EXPECTED: Readonly<Record<string, string>> = {
  container_name: "It begins with a letter or digit and consists of letters, digits, underscores, dots and hyphens.",
  pull_policy: "One of always, never, missing, build, daily, weekly, or every_12h and the like.",
  restart: 'One of "no", always, unless-stopped, on-failure, on-failure:5.',
  protocol: "One of tcp, udp, sctp.",
  gpus: "`all`, or a list of requests.",
};

/** `healthy` is `service_healthy`. */
export function partOf(value: string, allowed: readonly string[]): string | undefined {
  const found = value.length < 3 ? [] : allowed.filter((a) => a.includes(value.toLowerCase()));
  return found.length === 1 ? `Did you mean \`${found[0] ?? ""}\`?` : undefined;
}

/** What is said of a value that does not look as its key wants it. `where`: as it is shown. */
export function invalidValue(
  key: string,
  where: string,
  value: string,
  hint = EXPECTED[key],
): { readonly rule: string; readonly message: string; readonly hint: string | undefined } {
  const choices = CHOICES[key] ?? [];
  const hints = [didYouMean(value, choices) ?? partOf(value, choices), hint].filter((h) => h !== undefined);
  return { rule: "invalid-value", message: `${where}: "${value}" is not a valid value`, hint: hints.length === 0 ? undefined : hints.join(" ") };
}
