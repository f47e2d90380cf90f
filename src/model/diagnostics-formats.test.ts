import { describe, expect, it } from "vitest";
import { diagnosticsGithub } from "./diagnostics-github.ts";
import { diagnosticsSarif } from "./diagnostics-sarif.ts";
import type { Diagnostic } from "./diagnostics.ts";

const place = { file: "/repo/a dir,b:c/50%#1.yaml", line: 3, column: 5, length: 4, text: "    imag: ngin\u{1f600}" };
const hostile: Diagnostic = {
  severity: "error",
  rule: "unknown-key",
  message: "100% wrong\n::error file=/etc/passwd::forged\r\nend",
  hint: "Write `image`.",
  place,
  related: [{ ...place, line: 1, note: "first: here, and\n::warning::there" }],
};

describe("annotations for GitHub", () => {
  it("are one line each, whatever stands in message, note and name of the file", () => {
    const text = diagnosticsGithub([hostile, hostile], "/repo");
    expect(text.split("\n")).toHaveLength(3);
    const [line = ""] = text.split("\n");
    expect(line).toBe(
      "::error file=a dir%2Cb%3Ac/50%25#1.yaml,line=3,endLine=3,col=5,endColumn=9,title=unknown-key::" +
        "100%25 wrong%0A::error file=/etc/passwd::forged%0D%0Aend%0Afirst: here, and%0A::warning::there: a dir,b:c/50%25#1.yaml:1:5%0AWrite `image`.",
    );
  });

  it("name no file where there is none to show", () => {
    expect(diagnosticsGithub([{ severity: "warning", rule: "r", message: "m", hint: undefined, related: [], place: { ...place, file: "-" } } as unknown as Diagnostic], "/repo")).toBe("::warning title=r::m\n");
  });
});

/** What SARIF 2.1.0 (OASIS, sections 3.27 to 3.30) says of the members that we write. */
interface Log {
  readonly version: string;
  readonly runs: readonly {
    readonly tool: { readonly driver: { readonly name: string; readonly rules: readonly { readonly id: string }[] } };
    readonly originalUriBaseIds: Readonly<Record<string, { readonly uri: string }>>;
    readonly results: readonly {
      readonly ruleId: string;
      readonly ruleIndex: number;
      readonly level: string;
      readonly message: { readonly text: string };
      readonly locations?: readonly { readonly physicalLocation: { readonly artifactLocation: { readonly uri: string; readonly uriBaseId?: string }; readonly region: Readonly<Record<string, number>> } }[];
      readonly relatedLocations?: readonly { readonly id: number }[];
    }[];
  }[];
}

describe("a SARIF log", () => {
  const log = (list: readonly Diagnostic[]): Log => JSON.parse(diagnosticsSarif(list, [{ id: "other", summary: "other", level: "off" }], "/repo", "1.2.3")) as Log;

  it("names files by valid references relative to a base that ends with a slash (3.4.3, 3.14.14)", () => {
    const [run] = log([hostile, { ...hostile, place: { ...place, file: "/else where/x.yaml" } }, { ...hostile, place: { ...place, file: "-" } }]).runs;
    const base = run?.originalUriBaseIds["SRCROOT"]?.uri ?? "";
    expect(base).toBe("file:///repo/");
    const artifacts = run?.results.map((r) => r.locations?.[0]?.physicalLocation.artifactLocation);
    expect(artifacts).toEqual([{ uri: "a%20dir,b%3Ac/50%25%231.yaml", uriBaseId: "SRCROOT" }, { uri: "file:///else%20where/x.yaml" }, { uri: "stdin" }]);
    for (const artifact of artifacts ?? []) expect(artifact?.uri).toMatch(/^(?:[A-Za-z0-9\-._~:/@!$&'()*+,;=]|%[0-9A-F]{2})+$/);
    expect(decodeURIComponent(new URL(artifacts?.[0]?.uri ?? "", base).pathname)).toBe(place.file);
  });

  it("describes every rule that a result has, once, at its index (3.27.6, 3.19.23)", () => {
    const [run] = log([hostile, hostile]).runs;
    expect(run?.tool.driver.rules.map((r) => r.id)).toEqual(["other", "unknown-key"]);
    for (const result of run?.results ?? []) expect([result.ruleId, result.ruleIndex, result.level]).toEqual(["unknown-key", 1, "error"]);
  });

  it("counts lines and columns from 1, the end behind the last one, and related places from 0 (3.30, 3.28.2)", () => {
    const [result] = log([hostile]).runs[0]?.results ?? [];
    expect(result?.locations?.[0]?.physicalLocation.region).toEqual({ startLine: 3, startColumn: 5, endLine: 3, endColumn: 9, snippet: { text: place.text } });
    expect(result?.relatedLocations?.map((r) => r.id)).toEqual([0]);
    expect(result?.message.text).toBe(`${hostile.message}\n${hostile.hint ?? ""}`);
  });

  it("has a result without a place where nothing can be pointed at", () => {
    const nowhere: Diagnostic = { severity: "error", rule: "r", message: "m", related: [] };
    expect(log([nowhere]).runs[0]?.results[0]).not.toHaveProperty("locations");
  });
});
