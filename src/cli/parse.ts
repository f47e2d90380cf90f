import { Command, CommanderError, Option } from "commander";
import { StackError } from "../core/index.ts";
import { longName } from "./flags.ts";
import type { Flag, Flags, FlagValues } from "./flags.ts";
import { nearest } from "./suggest.ts";

export interface Syntax<F extends Flags> {
  /** `up`; for messages. */
  readonly name: string;
  readonly flags: F;
  /** False: the first positional ends the flags, what follows belongs to somebody else (`exec`, `run`). */
  readonly interspersed: boolean;
  /** As commander writes them: `<service>`, `[services...]`. */
  readonly positionals: readonly string[];
}

export interface Parsed<F extends Flags> {
  readonly flags: FlagValues<F>;
  readonly positionals: readonly string[];
  /** Keys that were given on the command line. */
  readonly given: ReadonlySet<string>;
}

/** Flags as Go programs take them, which is what scripts for Docker Compose write: `--flag=false`, `-t=5`, `-t5`. */
export function parseFlags<F extends Flags>(syntax: Syntax<F>, argv: readonly string[]): Parsed<F> {
  if (isWithoutFlags(syntax, argv)) return { flags: initialValues(syntax.flags), positionals: argv, given: new Set() };
  const { tokens, switchedOff } = normalise(syntax, argv);
  const command = new Command(syntax.name).exitOverride().helpOption(false).allowExcessArguments(false);
  command.configureOutput({ writeErr: () => undefined, writeOut: () => undefined });
  for (const positional of syntax.positionals) command.argument(positional);
  if (!syntax.interspersed) command.passThroughOptions();
  for (const [key, flag] of Object.entries(syntax.flags)) command.addOption(optionOf(key, flag));
  try {
    command.parse(tokens, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) throw usageError(syntax, error);
    throw error;
  }
  const found: Readonly<Record<string, unknown>> = command.opts();
  const values: Record<string, unknown> = {};
  const given = new Set<string>(switchedOff);
  for (const [key, flag] of Object.entries(syntax.flags)) {
    const value = found[attribute(key)];
    if (value !== undefined) given.add(key);
    values[key] = switchedOff.has(key) ? false : (value ?? flag.initial);
  }
  return { flags: values as FlagValues<F>, positionals: command.args, given };
}

/** What most command lines are, on both sides of the command's name; commander takes longer to set up than to be told so. */
function isWithoutFlags({ interspersed, positionals }: Syntax<Flags>, argv: readonly string[]): boolean {
  if (argv.length === 0) return !positionals.some((p) => p.startsWith("<"));
  const [only, ...more] = positionals;
  return !interspersed && more.length === 0 && only?.endsWith("...]") === true && argv[0]?.startsWith("-") === false;
}

/** The flags of a command line that has none. */
export function initialValues<F extends Flags>(flags: F): FlagValues<F> {
  return Object.fromEntries(Object.entries(flags).map(([key, flag]) => [key, flag.initial])) as FlagValues<F>;
}

/** Commander derives names of its own from `--no-x`; ours are keys of the table. */
const attribute = (key: string): string => `flag${key}`;

function optionOf(key: string, flag: Flag<unknown>): Option {
  const long = longName(key, flag);
  const names = `${flag.short === undefined ? "" : `-${flag.short}, `}--${long}${flag.kind === "boolean" ? "" : ` <${flag.value ?? "value"}>`}`;
  const option = new Option(names, flag.description);
  option.negate = false;
  option.attributeName = () => attribute(key);
  const shown = flag.short === undefined ? `--${long}` : `-${flag.short}, --${long}`;
  if (flag.kind === "integer") option.argParser((value) => integerOf(value, shown));
  else if (flag.kind === "list") option.argParser((value, before: unknown) => [...(Array.isArray(before) ? (before as string[]) : []), value]);
  if (flag.choices !== undefined) {
    const choices = flag.choices;
    option.argParser((value) => {
      if (choices.includes(value)) return value;
      throw new StackError("usage", `unsupported ${shown} value "${value}"`, { hint: `Use one of ${choices.map((c) => `"${c}"`).join(", ")}.` });
    });
  }
  return option;
}

function integerOf(value: string, flag: string): number {
  if (!/^[+-]?\d{1,15}$/.test(value)) throw new StackError("usage", `invalid argument "${value}" for "${flag}": not a whole number`);
  return Number(value);
}

interface Normalised {
  readonly tokens: readonly string[];
  readonly switchedOff: ReadonlySet<string>;
}

/** Rewrites what commander does not know: `--flag=true|false`, `-x=value`, alias names. */
function normalise({ name, flags, interspersed }: Syntax<Flags>, argv: readonly string[]): Normalised {
  const byLong = new Map<string, string>();
  const byShort = new Map<string, string>();
  for (const [key, flag] of Object.entries(flags)) {
    for (const long of [longName(key, flag), ...(flag.aliases ?? [])]) byLong.set(long, key);
    if (flag.short !== undefined) byShort.set(flag.short, key);
  }
  const tokens: string[] = [];
  const switchedOff = new Set<string>();
  const words = [...argv];
  for (let i = 0; i < words.length; i += 1) {
    const token = words[i] ?? "";
    if (token === "--" || (!interspersed && (token === "-" || !token.startsWith("-")))) {
      tokens.push(...words.slice(i));
      break;
    }
    const switches = shortSwitches(token, byShort, flags);
    if (switches !== undefined) {
      words.splice(i, 1, ...switches);
      i -= 1;
      continue;
    }
    const long = /^--([^=]+)(?:=(.*))?$/s.exec(token);
    const key = long === null ? undefined : byLong.get(long[1] ?? "");
    const flag = key === undefined ? undefined : flags[key];
    if (long !== null && key !== undefined && flag !== undefined) {
      const canonical = `--${longName(key, flag)}`;
      const value = long[2];
      if (flag.kind !== "boolean") {
        tokens.push(value === undefined ? canonical : `${canonical}=${value}`);
        if (value === undefined && i + 1 < words.length) tokens.push(words[++i] ?? "");
      } else if (value === undefined || isTrue(value, canonical)) {
        switchedOff.delete(key);
        tokens.push(canonical);
      } else switchedOff.add(key);
      continue;
    }
    const rest = shortWithValue(token, byShort, flags);
    if (rest === undefined) {
      for (const letter of /^-[^-]/.test(token) ? token.slice(1) : "") switchedOff.delete(byShort.get(letter) ?? "");
      tokens.push(token);
    } else {
      tokens.push(rest.flags);
      if (rest.value !== undefined) tokens.push(rest.value);
      else if (i + 1 < words.length) tokens.push(words[++i] ?? "");
      else throw new StackError("usage", `flag needs an argument: ${rest.flags}`, { hint: `See \`stack ${name} --help\`.` });
    }
  }
  // The last word counts: what was switched off last is off, wherever it was switched on before.
  return { tokens, switchedOff };
}

/** `-di=false` is `-d --interactive=false`. */
function shortSwitches(token: string, byShort: ReadonlyMap<string, string>, flags: Flags): readonly string[] | undefined {
  const [, before = "", letter = "", value = ""] = /^(-[^-=]*)([^-=])=(.*)$/s.exec(token) ?? [];
  const key = byShort.get(letter);
  const flag = key === undefined ? undefined : flags[key];
  if (key === undefined || flag?.kind !== "boolean" || shortWithValue(before, byShort, flags) !== undefined) return undefined;
  return [...(before === "-" ? [] : [before]), `--${longName(key, flag)}=${value}`];
}

/** `-dt=5`, `-t5`, `-t 5`: the flags up to the one that takes a value, and that value. */
function shortWithValue(token: string, byShort: ReadonlyMap<string, string>, flags: Flags): { flags: string; value: string | undefined } | undefined {
  if (!/^-[^-]/.test(token)) return undefined;
  for (let at = 1; at < token.length; at += 1) {
    const key = byShort.get(token[at] ?? "");
    const flag = key === undefined ? undefined : flags[key];
    if (flag === undefined) return undefined;
    if (flag.kind === "boolean") continue;
    const rest = token.slice(at + 1);
    return { flags: token.slice(0, at + 1), value: rest === "" ? undefined : rest.startsWith("=") ? rest.slice(1) : rest };
  }
  return undefined;
}

function isTrue(value: string, flag: string): boolean {
  if (["true", "True", "TRUE", "t", "T", "1"].includes(value)) return true;
  if (["false", "False", "FALSE", "f", "F", "0"].includes(value)) return false;
  throw new StackError("usage", `invalid argument "${value}" for "${flag}": neither true nor false`);
}

/** Flags of `stack` itself, for the hint where somebody writes one behind the command. */
export const globalNames = ["-f", "--file", "-p", "--project-name", "--project-directory", "--profile", "--env-file", "--ansi", "--progress", "--parallel", "--compatibility", "--all-resources"];

function usageError(syntax: Syntax<Flags>, error: CommanderError): StackError {
  const message = error.message.replace(/^error: /, "").split("\n")[0] ?? error.message;
  const help = syntax.name === "stack" ? "stack --help" : `stack ${syntax.name} --help`;
  if (error.code === "commander.unknownOption") {
    const flag = /'([^']*)'/.exec(message)?.[1] ?? "";
    const bare = flag.split("=")[0] ?? flag;
    if (syntax.name !== "stack" && globalNames.includes(bare))
      return new StackError("usage", `unknown flag for ${syntax.name}: ${bare}`, { hint: `${bare} belongs before the command: \`stack ${bare} … ${syntax.name}\`.` });
    const known = Object.entries(syntax.flags).filter(([, f]) => f.hidden !== true).map(([key, f]) => `--${longName(key, f)}`);
    const near = nearest(bare, known);
    return new StackError("usage", `unknown flag: ${bare}`, { hint: near === undefined ? `See \`${help}\`.` : `Did you mean ${near}?` });
  }
  return new StackError("usage", message, { hint: `See \`${help}\`.` });
}
