import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv } from "ajv";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fakeContext } from "../fake-context.ts";
import { command } from "./lint.ts";

let directory = "";
const BAD = "services:\n  db:\n    image: postgres\n    privileged: true # 100%\n    tmpfs: /var/lib/postgresql/data\n";

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "stack-lint-"));
  writeFileSync(join(directory, "warn.yaml"), BAD);
  writeFileSync(join(directory, "clean.yaml"), "services:\n  web:\n    image: nginx:1.27\n");
  writeFileSync(join(directory, "port.yaml"), 'services:\n  a: {image: "a:1", ports: ["80:80"]}\n  b: {image: "b:1", ports: ["80:80"]}\n');
  writeFileSync(join(directory, "broken.yaml"), "services:\n  web:\n    imag: nginx\n    depends_on: [dbb]\n  db:\n    image: x:1\n");
});
afterAll(() => rmSync(directory, { recursive: true }));

interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

async function lint(file: string, ...argv: readonly string[]): Promise<Ran> {
  const context = { ...fakeContext({ globals: { files: [join(directory, file)] } }), cwd: directory };
  const status = await command.invoke(context, argv);
  return { status, out: context.out.text, err: context.err.text };
}

describe("the exit status of lint", () => {
  it.each([
    ["clean.yaml", [], 0],
    ["warn.yaml", [], 0],
    ["warn.yaml", ["--strict"], 1],
    ["warn.yaml", ["--max-warnings", "1"], 1],
    ["warn.yaml", ["--max-warnings", "2"], 0],
    ["warn.yaml", ["--rule", "privileged=error"], 1],
    ["warn.yaml", ["--strict", "--disable", "privileged", "--disable", "image-tag"], 0],
    ["warn.yaml", ["--strict", "--disable", "privileged,image-tag"], 0],
    ["port.yaml", [], 1],
    ["port.yaml", ["--disable", "duplicate-port"], 0],
    ["port.yaml", ["--rule", "duplicate-port=warning"], 0],
    ["broken.yaml", [], 1],
  ] as const)("of %s with %j is %i", async (file, argv, status) => {
    expect((await lint(file, ...argv)).status).toBe(status);
  });
});

describe("what will not be carried out as written", () => {
  const support = async (...argv: readonly string[]) => {
    writeFileSync(join(directory, "support.yaml"), "services:\n  web:\n    image: nginx:1.27\n    use_api_socket: true\n    gpus: all\n    pull_policy: build\n");
    const { status, out } = await lint("support.yaml", "--format", "json", ...argv);
    const { diagnostics } = JSON.parse(out) as { readonly diagnostics: readonly { readonly rule: string; readonly severity: string; readonly place: { readonly line: number } }[] };
    return { status, found: diagnostics.map((d) => [d.rule, d.severity, d.place.line]) };
  };

  it("is told at its place", async () => {
    expect(await support()).toEqual({ status: 0, found: [["not-carried-out", "warning", 4], ["refused-attribute", "warning", 5], ["partly-carried-out", "warning", 6]] });
  });

  it("is switched off and raised as every rule is", async () => {
    expect(await support("--disable", "not-carried-out,partly-carried-out", "--rule", "refused-attribute=error")).toEqual({ status: 1, found: [["refused-attribute", "error", 5]] });
  });
});

describe("what lint prints", () => {
  it("is nothing where nothing is found", async () => {
    expect(await lint("clean.yaml")).toEqual({ status: 0, out: "", err: "" });
  });

  it("is the place, the line and a count, relative to here", async () => {
    expect((await lint("warn.yaml")).out).toBe(
      [
        'warning: Service "db": the image postgres has no tag, so it is latest [image-tag]',
        "  --> warn.yaml:3:12",
        "  3 |     image: postgres",
        "    |            ^^^^^^^^",
        "  hint: Name the version: postgres:1.2.",
        "",
        'warning: Service "db" is root on the machine itself [privileged]',
        "  --> warn.yaml:4:17",
        "  4 |     privileged: true # 100%",
        "    |                 ^^^^",
        "  hint: Name what it needs: `cap_add`, `devices`, `sysctls`.",
        "",
        "2 warnings",
        "",
      ].join("\n"),
    );
  });

  it("is a document of the published schema as JSON", async () => {
    const schema = JSON.parse(readFileSync(new URL("../../../schemas/diagnostics.schema.json", import.meta.url), "utf8")) as object;
    const valid = new Ajv({ strict: true }).compile(schema);
    for (const file of ["clean.yaml", "warn.yaml", "broken.yaml", "port.yaml"]) {
      const document: unknown = JSON.parse((await lint(file, "--format", "json")).out);
      expect(valid(document), JSON.stringify(valid.errors)).toBe(true);
    }
    const broken = JSON.parse((await lint("broken.yaml", "--format", "json")).out) as { readonly errors: number };
    expect(broken).toMatchObject({ version: 1, errors: 2, warnings: 0, diagnostics: [{ rule: "unknown-key", place: { line: 3, column: 5, length: 4 } }, { rule: "undefined-service" }] });
  });

  it("is one annotation for each finding for GitHub, whatever the message holds", async () => {
    const { out } = await lint("warn.yaml", "--format", "github");
    expect(out.split("\n")).toHaveLength(3);
    expect(out).toContain('::warning file=warn.yaml,line=3,endLine=3,col=12,endColumn=20,title=image-tag::Service "db": the image postgres has no tag, so it is latest%0AName the version');
    const { out: errors } = await lint("port.yaml", "--format", "github");
    expect(errors).toMatch(/^::error file=port\.yaml,line=3,.*title=duplicate-port::.*%0Aservice "a" has it: port\.yaml:2:/);
  });

  it("has what SARIF 2.1.0 requires", async () => {
    const log = JSON.parse((await lint("port.yaml", "--format", "sarif")).out) as Sarif;
    expect(log.version).toBe("2.1.0");
    expect(log.$schema).toMatch(/sarif-2\.1\.0/);
    const [run] = log.runs;
    expect(run?.tool.driver.name).toBe("stack");
    expect(run?.originalUriBaseIds.SRCROOT.uri).toMatch(/^file:\/\/.*\/$/);
    const ids = run?.tool.driver.rules.map((r) => r.id) ?? [];
    expect(new Set(ids).size).toBe(ids.length);
    for (const rule of run?.tool.driver.rules ?? []) expect(["warning", "error"]).toContain(rule.defaultConfiguration.level);
    expect(run?.results).toHaveLength(1);
    for (const result of run?.results ?? []) {
      expect(run?.tool.driver.rules[result.ruleIndex]?.id).toBe(result.ruleId);
      expect(result.message.text).not.toBe("");
      const { artifactLocation, region } = result.locations[0]!.physicalLocation;
      expect(artifactLocation).toEqual({ uri: "port.yaml", uriBaseId: "SRCROOT" });
      expect(region).toMatchObject({ startLine: 3, endLine: 3 });
      expect(region.endColumn).toBeGreaterThan(region.startColumn);
      expect(result.relatedLocations[0]).toMatchObject({ id: 0, message: { text: 'service "a" has it' } });
    }
  });

  it("is errors alone with --quiet, and warnings count all the same", async () => {
    expect(await lint("warn.yaml", "--quiet", "--strict")).toMatchObject({ status: 1, out: "" });
  });

  it("is the table of rules with --rules, in three forms", async () => {
    expect((await lint("clean.yaml", "--rules")).out).toContain("exposed-database");
    expect((await lint("clean.yaml", "--rules", "--format", "markdown")).out).toContain("## exposed-database");
    expect(JSON.parse((await lint("clean.yaml", "--rules", "--format", "json")).out)).toContainEqual(expect.objectContaining({ id: "exposed-database", level: "warning" }));
  });
});

describe("lint refuses", () => {
  it.each([
    [["--rule", "image-tga=off"], 'there is no rule "image-tga"', "Did you mean `image-tag`?"],
    [["--disable", "nonsense-entirely"], 'there is no rule "nonsense-entirely"', "`stack lint --rules` lists them."],
    [["--rule", "image-tag=fatal"], '"fatal" is no level', "Use one of off, warning, error."],
    [["--rule", "image-tag"], "the level is missing", "Write --rule image-tag=off"],
    [["--format", "xml"], 'unsupported --format value "xml"', "sarif"],
  ] as const)("%j", async (argv, message, hint) => {
    await expect(lint("clean.yaml", ...argv)).rejects.toMatchObject({ code: "usage", message: expect.stringContaining(message) as string, hint: expect.stringContaining(hint) as string });
  });
});

interface Sarif {
  readonly $schema: string;
  readonly version: string;
  readonly runs: readonly {
    readonly tool: { readonly driver: { readonly name: string; readonly rules: readonly { readonly id: string; readonly defaultConfiguration: { readonly level: string } }[] } };
    readonly originalUriBaseIds: { readonly SRCROOT: { readonly uri: string } };
    readonly results: readonly {
      readonly ruleId: string;
      readonly ruleIndex: number;
      readonly message: { readonly text: string };
      readonly locations: readonly { readonly physicalLocation: { readonly artifactLocation: unknown; readonly region: { readonly startLine: number; readonly startColumn: number; readonly endColumn: number } } }[];
      readonly relatedLocations: readonly unknown[];
    }[];
  }[];
}
