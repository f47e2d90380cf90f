import { describe, expect, test } from "vitest";
import { fakeContainer } from "../fake-context.ts";
import type { FakeContainer } from "../fake-context.ts";
import { renderListing } from "./listing.ts";
import type { Listing } from "./listing.ts";
import { commandText, portsText, publishedPorts, statusText } from "./status.ts";
import { printable } from "./table.ts";
import { compileTemplate } from "./template.ts";
import { binarySize, humanDuration, humanSize, parseDuration } from "./units.ts";

const now = Date.parse("2026-01-01T01:00:00Z");
const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString();

describe("status as Docker words it", () => {
  test.each<[string, Partial<FakeContainer>]>([
    ["Created", { status: "created" }],
    ["Up 3 minutes", { startedAt: ago(180) }],
    ["Up Less than a second", { startedAt: ago(0) }],
    ["Up 1 second (healthy)", { startedAt: ago(1), health: "healthy" }],
    ["Up About an hour (unhealthy)", { startedAt: ago(3600), health: "unhealthy" }],
    ["Up 5 seconds (health: starting)", { startedAt: ago(5), health: "starting" }],
    ["Up 2 days (Paused)", { status: "paused", startedAt: ago(2 * 86_400) }],
    ["Exited (3) 2 seconds ago", { status: "exited", exitCode: 3, finishedAt: ago(2) }],
    ["Exited (137) About a minute ago (out of memory)", { status: "exited", exitCode: 137, oomKilled: true, finishedAt: ago(60) }],
    ["Exited (unknown) 2 seconds ago", { status: "exited", exitCode: -1, finishedAt: ago(2) }],
    ["Restarting 7×, next in 12 s, last exit 1", { status: "restarting", exitCode: 1, failures: 7, finishedAt: ago(3), nextRestartAt: ago(-12) }],
    ["Restarting 7×, next in 12 s, last exit 137 (out of memory)", { status: "restarting", exitCode: 137, signal: 9, oomKilled: true, failures: 7, finishedAt: ago(3), nextRestartAt: ago(-12) }],
    ["Restarting 1×, next in 0 s, last exit 139 (SIGSEGV)", { status: "restarting", exitCode: 139, signal: 11, endedBy: "", failures: 1, finishedAt: ago(3), nextRestartAt: ago(1) }],
    ["Up 3 seconds, restarted 2×, last exit 137 (SIGKILL)", { status: "running", exitCode: 137, signal: 9, failures: 2, startedAt: ago(3) }],
    ["Up 30 seconds", { status: "running", exitCode: 137, signal: 9, failures: 2, startedAt: ago(30) }],
    ["Exited (143) 3 seconds ago (unhealthy: no answer)", { status: "exited", exitCode: 143, signal: 15, endedBy: "health", reason: "unhealthy: no answer", finishedAt: ago(3) }],
    ["Exited (143) 3 seconds ago", { status: "exited", exitCode: 143, signal: 15, endedBy: "stop", finishedAt: ago(3) }],
    ["Exited (127) 3 seconds ago (exec: no such file)", { status: "exited", exitCode: 127, endedBy: "start-failure", error: { stage: "exec", message: "no such file" }, finishedAt: ago(3) }],
    ["Dead (its monitor was killed)", { status: "dead" }],
  ])("%s", (text, container) => {
    expect(statusText(fakeContainer({ service: "web", ...container }), now)).toBe(text);
  });
});

test.each([
  [900, "Less than a second"],
  [59_000, "59 seconds"],
  [61_000, "About a minute"],
  [119_000, "About a minute"],
  [3_000_000, "50 minutes"],
  [5_400_000, "2 hours"],
  [47.4 * 3_600_000, "47 hours"],
  [72 * 3_600_000, "3 days"],
  [15 * 86_400_000, "2 weeks"],
  [70 * 86_400_000, "2 months"],
  [800 * 86_400_000, "2 years"],
])("%d ms are %s", (ms, text) => {
  expect(humanDuration(ms)).toBe(text);
});

test("sizes as Docker prints them", () => {
  expect([0, 999, 1_982_340, 188_000_000].map((n) => humanSize(n))).toEqual(["0B", "999B", "1.98MB", "188MB"]);
  expect([847_872, 25_277_000_000].map(binarySize)).toEqual(["828KiB", "23.54GiB"]);
});

test.each([
  ["1h30m", 5_400_000],
  ["42m", 2_520_000],
  ["1.5s", 1500],
  ["0", 0],
  ["5", undefined],
  ["5x", undefined],
  ["", undefined],
])("duration %s", (text, expected) => {
  expect(parseDuration(text)).toBe(expected);
});

describe("ports", () => {
  const port = (hostIp: string, hostPort: number, containerPort: number, protocol: "tcp" | "udp" = "tcp") => ({ hostIp, hostPort, containerPort, protocol });

  test("all addresses are IPv4 and IPv6", () => {
    const container = fakeContainer({ service: "web", ports: [port("", 8080, 80), port("127.0.0.1", 32_768, 81, "udp")] });
    expect(portsText(publishedPorts(container))).toBe("0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 127.0.0.1:32768->81/udp");
  });

  test("neighbours are one range, others are not", () => {
    expect(portsText([port("0.0.0.0", 8001, 81), port("0.0.0.0", 8000, 80), port("0.0.0.0", 8002, 82), port("0.0.0.0", 9000, 83)])).toBe(
      "0.0.0.0:8000-8002->80-82/tcp, 0.0.0.0:9000->83/tcp",
    );
  });

  test("what has ended publishes nothing", () => {
    expect(publishedPorts(fakeContainer({ service: "web", status: "exited", ports: [port("", 80, 80)] }))).toEqual([]);
  });
});

test("commands are quoted and cut as Docker's", () => {
  expect(commandText(["sh", "-c", "while true; do echo tick; done"], true)).toBe(`"sh -c 'while true; …"`);
  expect(commandText(["sh", "-c", "while true; do echo tick; done"], false)).toBe(`"sh -c 'while true; do echo tick; done'"`);
  expect(commandText(["sleep", "100"], true)).toBe('"sleep 100"');
});

describe("templates", () => {
  const row = { Name: "web-1", Labels: { a: "b" }, Ports: ["80"], Number: 3 };
  test.each([
    ["{{.Name}}", "web-1"],
    ["{{ .Name }}\\t{{.Number}}", "web-1\t3"],
    ["{{json .}}", JSON.stringify(row)],
    ["{{json .Labels}}", '{"a":"b"}'],
    ["{{.Name | upper}}", "WEB-1"],
    ["{{upper .Name}} {{.Labels.a}}", "WEB-1 b"],
    ['{{"x"}}{{truncate .Name 3}}', "xweb"],
    ["no template", "no template"],
  ])("%s", (source, expected) => {
    expect(compileTemplate(source)(row)).toBe(expected);
  });

  test.each([
    ["{{.Nmae}}", "there is no field .Nmae"],
    ["{{range .Ports}}x{{end}}", '"range" is not supported'],
    ["{{.Name", "unclosed action"],
    ["{{}}", "empty action"],
    ["{{.constructor}}", "there is no field .constructor"],
  ])("%s is refused by name", (source, message) => {
    expect(() => compileTemplate(source)(row)).toThrow(message);
  });
});

describe("lists", () => {
  const listing: Listing = {
    rows: [{ Name: "shop-web-1", Status: "Up" }, { Name: "a\x1b[31m\nb", Status: "" }],
    columns: [
      { heading: "NAME", field: "Name" },
      { heading: "STATUS", field: "Status" },
    ],
    json: "lines",
    table: { minimum: 10 },
  };

  test("a table has Docker's columns, and no name can paint the terminal", () => {
    expect(renderListing("table", listing)).toBe(`NAME         STATUS\nshop-web-1   Up\n${"a\uFFFD[31m b".padEnd(13)}\n`);
  });

  test("json is one object a line, or one array", () => {
    expect(renderListing("json", listing).split("\n")).toHaveLength(3);
    expect(JSON.parse(renderListing("json", { ...listing, json: "array" }))).toEqual(listing.rows);
  });

  test("a table of one's own has headings of its own", () => {
    expect(renderListing("table {{.Status}}\\t{{.Name}}", listing).split("\n")[0]).toBe("STATUS   NAME");
  });

  test("an empty list still has its headings", () => {
    expect(renderListing("table", { ...listing, rows: [] })).toBe("NAME      STATUS\n");
  });
});

test("printable leaves letters of all kinds alone", () => {
  expect(printable("naïve 日本 🎉 \x07\x9b")).toBe("naïve 日本 🎉 \uFFFD\uFFFD");
});
