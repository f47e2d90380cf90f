import type { Machine } from "./machine.ts";
import type { Running } from "./command.ts";

export interface TerminalOptions {
  readonly rows?: number;
  readonly columns?: number;
  readonly env?: Readonly<Record<string, string>>;
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/**
 * `stack ARGS…` on a real terminal (script(1) makes the pair). What is written to it are key strokes,
 * `\x03` is Ctrl-C. `until` and `output` see what the screen was sent, escape sequences included.
 */
export function onTerminal(machine: Machine, args: readonly string[], options: TerminalOptions = {}): Running {
  const command = [process.execPath, new URL("../../dist/stack.js", import.meta.url).pathname, ...args].map(quoted).join(" ");
  const sized = `stty rows ${options.rows ?? 40} cols ${options.columns ?? 120}; exec ${command}`;
  return machine.command(["script", "--quiet", "--return", "--command", sized, "/dev/null"], {
    interactive: true,
    env: { TERM: "xterm-256color", SHELL: "/bin/sh", ...options.env },
  });
}

/** Without escape sequences, one line for each that was drawn. */
export function plain(output: string): string {
  return output.replaceAll(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replaceAll("\r", "");
}
