import { describe, expect, it } from "vitest";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { memoryReader } from "../memory-reader.ts";
import { renderDiagnostics } from "../render.ts";
import type { Level } from "./rule.ts";
import { LINT_RULES, lintFiles, MODEL_WARNINGS, ruleReference } from "./index.ts";
import type { Example } from "./rule.ts";

const BESIDE = { key: "k", ".env": "API_TOKEN=x\nNPM_TOKEN=x\n" };

async function lint(example: Example, levels: Readonly<Record<string, Level>> = {}, profiles: readonly string[] = []): Promise<Awaited<ReturnType<typeof lintFiles>>> {
  const files = { ...BESIDE, ...(typeof example === "string" ? { "compose.yaml": example } : example) };
  const reader = memoryReader(Object.fromEntries(Object.entries(files).map(([name, text]) => [`/p/${name}`, text])));
  return lintFiles({ env: {}, cwd: "/p", reader, profiles }, { levels: new Map(Object.entries(levels)) });
}

const rulesOf = async (example: Example, levels: Readonly<Record<string, Level>> = {}): Promise<readonly string[]> => (await lint(example, levels)).diagnostics.map((d) => d.rule);

describe("every rule", () => {
  it.each(LINT_RULES.map((r) => [r.id, r] as const))("%s finds its bad example, alone, and nothing in its good one", async (id, rule) => {
    const levels: Readonly<Record<string, Level>> = rule.level === "off" ? { [id]: "warning" } : {};
    const bad = await lint(rule.bad, levels);
    expect([...new Set(bad.diagnostics.map((d) => d.rule))], renderDiagnostics(bad.diagnostics, { color: false })).toEqual([id]);
    expect(bad.loads).toBe(true);
    for (const d of bad.diagnostics) {
      expect(d.place, "every finding has a place").toBeDefined();
      expect(d.hint, "every finding says what to do").toBeDefined();
    }
    const good = await lint(rule.good, levels);
    expect(renderDiagnostics(good.diagnostics, { color: false })).toBe("");
    expect(good.loads).toBe(true);
  });

  it("has an id of its own and texts that end as sentences do", () => {
    expect(new Set(LINT_RULES.map((r) => r.id)).size).toBe(LINT_RULES.length);
    for (const r of LINT_RULES) {
      expect(r.id).toMatch(/^[a-z0-9.]+(?:-[a-z0-9.]+)*$/);
      expect(r.why).toMatch(/[.!]$/);
    }
  });

  it("can be switched off, and raised to an error", async () => {
    for (const rule of LINT_RULES) {
      expect(await rulesOf(rule.bad, { [rule.id]: "off" }), rule.id).toEqual([]);
      const raised = await lint(rule.bad, { [rule.id]: "error" });
      expect(raised.diagnostics.map((d) => d.severity), rule.id).toContain("error");
    }
  });

  it("stands in the reference as the table has it", () => {
    expect(readFileSync(new URL("README.md", import.meta.url), "utf8")).toBe(ruleReference());
  });
});

describe("comments", () => {
  const file = (before: string, behind = "", top = ""): string => `${top}services:\n  cache:\n${before}    image: redis${behind}\n  web:\n    image: nginx\n`;
  const lines = async (text: string): Promise<readonly string[]> => (await lint(text)).diagnostics.map((d) => `${d.place?.line ?? 0} ${d.rule}`);

  it("switch a rule off for the next line alone", async () => {
    expect(await lines(file("    # stack-lint-disable-next-line image-tag\n"))).toEqual(["6 image-tag"]);
  });

  it("may stand above each other, with reasons", async () => {
    expect(await lines(file("    # stack-lint-disable-next-line image-tag -- the newest is wanted\n    # another remark\n"))).toEqual(["7 image-tag"]);
  });

  it("switch a rule off for their own line", async () => {
    expect(await lines(file("", " # stack-lint-disable-line image-tag"))).toEqual(["5 image-tag"]);
  });

  it("switch a rule off for the whole file, or all rules", async () => {
    expect(await lines(file("", "", "# stack-lint-disable image-tag\n"))).toEqual([]);
    expect(await lines(file("", "", "# stack-lint-disable\n"))).toEqual([]);
    expect(await lines(file("", "", "# stack-lint-disable links, privileged\n"))).toEqual(["4 image-tag", "6 image-tag"]);
  });

  it("do nothing where they are no comments", async () => {
    const text = "services:\n  web:\n    image: nginx\n    labels:\n      a: |\n        # stack-lint-disable image-tag\n      b: '# stack-lint-disable image-tag'\n";
    expect(await lines(text)).toEqual(["3 image-tag"]);
  });

  it("are told where they name a rule that is not there", async () => {
    const { diagnostics } = await lint(file("", "", "# stack-lint-disable image-tags\n"));
    expect(diagnostics[0]).toMatchObject({ rule: "unknown-rule", severity: "warning", place: { line: 1 }, hint: "Did you mean `image-tag`?" });
  });

  it("cannot hide an error of the file itself", async () => {
    const { diagnostics } = await lint("# stack-lint-disable\nservices:\n  web:\n    imag: nginx\n");
    expect(diagnostics.map((d) => d.rule)).toContain("unknown-key");
  });

  it("hide warnings of the loader", async () => {
    expect(await lines("# stack-lint-disable obsolete-version\nversion: '3'\nservices:\n  web:\n    image: nginx:1\n")).toEqual([]);
  });
});

describe("lint", () => {
  it("raises and lowers the loader's warnings, and leaves its errors", async () => {
    const text = "version: '3'\nservices:\n  web:\n    image: nginx:1\n";
    expect((await lint(text, { "obsolete-version": "error" })).diagnostics.map((d) => d.severity)).toEqual(["error"]);
    expect(await rulesOf(text, { "obsolete-version": "off" })).toEqual([]);
  });

  it("names the alias, the base and the including file that a finding came through", async () => {
    const { diagnostics } = await lint({
      "compose.yaml": "include: [more.yaml]\nx-base: &base\n  privileged: true\nservices:\n  a:\n    <<: *base\n    image: nginx:1\n  b:\n    image: nginx:1\n    extends: {file: base.yaml, service: b}\n",
      "base.yaml": "services:\n  b:\n    privileged: true\n",
      "more.yaml": "services:\n  c:\n    image: nginx:1\n    privileged: true\n",
    });
    expect(diagnostics.map((d) => [d.place?.file, d.place?.line, ...d.related.map((r) => `${r.note} ${r.file}:${r.line}`)])).toEqual([
      ["/p/compose.yaml", 3, "through the alias *base /p/compose.yaml:6"],
      ["/p/base.yaml", 3, 'service "b" has it through `extends` /p/compose.yaml:10'],
      ["/p/more.yaml", 4, "included here /p/compose.yaml:1"],
    ]);
  });

  it("says what it can about the text of a file that does not load", async () => {
    expect(await rulesOf("services:\n  web:\n    imag: nginx\n    ports: [22:22]\n")).toEqual(["unknown-key", "sexagesimal"]);
  });
});

describe("no finding", () => {
  const QUIET: Readonly<Record<string, Example>> = {
    "a database that only talks to its own network": "services:\n  db:\n    image: postgres:17\n    volumes: [db:/var/lib/postgresql/data]\n    environment:\n      POSTGRES_PASSWORD_FILE: /run/secrets/pw\n      POSTGRES_PASSWORD: ${API_TOKEN}\nvolumes:\n  db:\n",
    "a tmpfs for a test database": "services:\n  db:\n    image: mysql:8\n    tmpfs: [/var/lib/mysql]\n    environment:\n      MYSQL_ALLOW_EMPTY_PASSWORD: 'yes'\n",
    "a client in a database's image": "services:\n  job:\n    image: postgres:17\n    command: psql -h db -c 'select 1'\n  shell:\n    image: postgres:17\n    entrypoint: [psql]\n",
    "one port for tcp and udp, or on two addresses": 'services:\n  dns:\n    image: coredns:1\n    ports: ["53:53/tcp", "53:53/udp", "127.0.0.2:54:54", "127.0.0.3:54:54"]\n',
    "services of different profiles that want the same port": "services:\n  a:\n    image: nginx:1\n    profiles: [a]\n    ports: ['80:80']\n  b:\n    image: nginx:1\n    profiles: [b]\n    ports: ['80:80']\n",
    "a condition that was written out": "services:\n  a:\n    image: nginx:1\n    depends_on:\n      b: {condition: service_started}\n  b:\n    image: nginx:1\n    healthcheck: {test: nginx -t}\n",
    "a shell that reads its own operators": 'services:\n  a:\n    image: nginx:1\n    command: ["sh", "-c", "a && b", "||"]\n  b:\n    image: nginx:1\n    entrypoint: ["/bin/bash", "-ec"]\n    command: ["a", "&&", "b"]\n',
    "ports that no clock has": "services:\n  a:\n    image: nginx:1\n    ports:\n      - 8080:80\n      - 3000:3000\n",
    "numbers that stay what they are": "services:\n  a:\n    image: nginx:1\n    environment:\n      PORT: 8080\n      RATIO: 0.5\n      NEGATIVE: -1\n",
    "a volume that only a service of a profile uses": "services:\n  a:\n    image: nginx:1\n    profiles: [x]\n    volumes: [vol:/v]\n  b:\n    image: nginx:1\nvolumes:\n  vol:\n",
    "an image that this project builds": "services:\n  a:\n    build: .\n    image: mine\n  b:\n    image: mine\n",
    "a directory that is made on the way": "services:\n  a:\n    image: nginx:1\n    volumes: ['./data:/data', './conf.d:/etc/conf.d', '/etc/localtime:/etc/localtime:ro']\n",
    "the machine's root for reading": "services:\n  a:\n    image: nginx:1\n    volumes: ['/:/host:ro', '/proc:/host/proc:ro']\n",
  };
  it.each(Object.entries(QUIET))("%s", async (_name, example) => {
    expect(renderDiagnostics((await lint(example)).diagnostics, { color: false })).toBe("");
  });
});

describe("the examples, which people copy", () => {
  const examples = fileURLToPath(new URL("../../../examples", import.meta.url));
  it.each(readdirSync(examples).filter((n) => !n.startsWith(".")))("%s lints clean", async (name) => {
    const file = readdirSync(`${examples}/${name}`).find((f) => /^(?:stack|compose)\.yaml$/.test(f)) ?? "";
    const { diagnostics, loads } = await lintFiles({ env: { JOBS_PASSWORD: "x" }, cwd: `${examples}/${name}`, files: [file] }, { levels: new Map() });
    expect(renderDiagnostics(diagnostics, { color: false })).toBe("");
    expect(loads).toBe(true);
  });
});

describe("the loader's warnings", () => {
  it("stand in the table, so that they can be switched off", () => {
    const directory = fileURLToPath(new URL("..", import.meta.url));
    const texts = readdirSync(directory).filter((f) => f.endsWith(".ts") && !f.includes(".test")).map((f) => readFileSync(`${directory}/${f}`, "utf8"));
    const warned = texts.flatMap((text) => [...text.matchAll(/\.warn\([^{]*\{\s*rule: "([^"]+)"/g)].map((m) => m[1] ?? ""));
    expect(warned.length).toBeGreaterThan(5);
    for (const id of warned) expect(Object.keys(MODEL_WARNINGS)).toContain(id);
  });
});
