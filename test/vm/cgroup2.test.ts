/** On a kernel with cgroups of version 2 alone, as most users have it: what `guest.mjs` saw there. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Layout, tar } from "../support/images/index.ts";
import { repository } from "../support/machine.ts";
import { inVirtualMachine } from "./virtual-machine.ts";
import type { GuestResult } from "./virtual-machine.ts";

const guest = join(import.meta.dirname, "guest.mjs");
/** Its promises, in its order. */
const promises = [...readFileSync(guest, "utf8").matchAll(/^ {2}"([^"]+)": (?:async )?\(\) => \{$/gm)].map((match) => match[1]!);

const job = mkdtempSync("/var/tmp/stack-vm-");
let result: GuestResult = { status: undefined, output: "", console: "" };
const seen = new Map<string, string | undefined>();

beforeAll(async () => {
  const layout = new Layout(join(job, "layout"));
  const applets = ["sh", "sleep", "touch", "test", "head", "tail", "cat", "echo", "mkdir", "httpd"];
  const entries = [
    { path: "bin/busybox", content: readFileSync("/bin/busybox"), mode: 0o755 },
    ...applets.map((name) => ({ path: `bin/${name}`, type: "symlink" as const, link: "busybox" })),
    { path: "tmp/", type: "directory" as const, mode: 0o1777 },
  ];
  layout.image("tools:1", [layout.layer(tar(entries))], { Env: ["PATH=/bin"] });
  const numbered = Array.from({ length: 100 }, (_, at) => layout.layer(tar([{ path: `layers/${at + 1}`, content: `${at + 1}\n` }])));
  layout.image("many:1", [layout.layer(tar(entries)), ...numbered], { Env: ["PATH=/bin"] });
  result = await inVirtualMachine(job, `exec ${process.execPath} ${guest} ${repository} /job/layout /job/results`, 900_000);
  if (!existsSync(join(job, "results"))) return;
  for (const line of readFileSync(join(job, "results"), "utf8").trim().split("\n")) {
    const { name, error } = JSON.parse(line) as { readonly name: string; readonly error?: string };
    seen.set(name, error);
  }
}, 960_000);

afterAll(() => {
  rmSync(job, { recursive: true, force: true });
});

test("the machine ran to its end", () => {
  expect(promises.length).toBeGreaterThan(5);
  expect(result.status, `${result.output}\n${result.console}`).toBe(0);
});

test.each(promises)("%s", (name) => {
  expect(seen.has(name), `${result.output}\n${result.console}`).toBe(true);
  expect(seen.get(name)).toBeUndefined();
});
