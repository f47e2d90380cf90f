import { createInterface } from "node:readline/promises";
import { isStackError } from "../core/index.ts";
import type { PlanQuestion } from "../reconcile/index.ts";
import type { Context } from "./context.ts";

/**
 * Answers to the questions of a plan that was refused because of them: all yes with `-y`, else by the user at the
 * terminal. Undefined: it is another error, or there is nobody to ask.
 */
export async function answersTo(context: Context, error: unknown, yes: boolean): Promise<readonly string[] | undefined> {
  if (!isStackError(error) || error.code !== "question") return undefined;
  const questions = error.details["questions"] as readonly PlanQuestion[];
  if (yes) return questions.map((q) => q.id);
  if (!canAsk(context)) return undefined;
  const answers: string[] = [];
  for (const question of questions) answers.push((await confirm(context, `${question.message} (${question.whenYes})`)) ? question.id : `!${question.id}`);
  return answers;
}

export function canAsk(context: Context): boolean {
  return context.stdin.isTTY && context.stderr.isTTY && context.globals.progress !== "json";
}

/** Asks at the terminal; no answer is no. */
export async function confirm(context: Context, question: string): Promise<boolean> {
  const lines = createInterface({ input: context.stdin, output: process.stderr, terminal: false });
  try {
    await context.stderr.write(`${question} [y/N] `);
    const answer = await new Promise<string>((resolve) => {
      lines.once("line", resolve);
      lines.once("close", () => resolve(""));
      context.interrupts.graceful.addEventListener("abort", () => resolve(""), { once: true });
    });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}
