// The checker: `checker.mjs ROOT MARKER` reads questions from standard input, one JSON object a line, and answers each with
// one line: what is wrong. It runs in the network namespace that is to be judged, and reads the kernel, not the product's state.
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { Kernel } from "./facts.ts";
import type { Facts } from "./facts.ts";
import { judge } from "./judge.ts";
import type { Expectation } from "./judge.ts";
import { judgeBooks } from "./books.ts";
import type { BookQuestion } from "./books.ts";

export type Question =
  | { readonly ask: "state"; readonly expected: Expectation; /** What goes on in the background after a command may take so long, milliseconds. */ readonly withinMs: number }
  | { readonly ask: "facts" }
  | ({ readonly ask: "books" } & BookQuestion);

export type Answer = { readonly wrong: readonly string[] } | { readonly facts: Facts };

const [root = "", marker = ""] = process.argv.slice(2);
const kernel = new Kernel(root, marker);

/** The kernel does not tell when a stranger's process ends or a link goes: it is asked again until all is well, or too late. */
async function settled(expected: Expectation, withinMs: number): Promise<readonly string[]> {
  for (const deadline = Date.now() + withinMs; ; ) {
    const wrong = judge(kernel.look(), expected);
    if (wrong.length === 0 || Date.now() > deadline) return wrong;
    await delay(20);
  }
}

async function answer(question: Question): Promise<Answer> {
  switch (question.ask) {
    case "state":
      return { wrong: await settled(question.expected, question.withinMs) };
    case "facts":
      return { facts: kernel.look() };
    case "books":
      return { wrong: judgeBooks(question) };
  }
}

for await (const line of createInterface({ input: process.stdin })) process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as Question))}\n`);
