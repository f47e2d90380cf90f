import { execFileSync, spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { commandOf, needsAgent } from "../../src/cli/command-word.ts";
import { agentFlags, loadNative } from "../../src/native/index.ts";

/**
 * The launcher beside a command and an agent of the test's own: the command tells what it was started with, and asks the
 * agent, if one boots, the same.
 */
const command = `
const { readSync, writeSync, readlinkSync } = require("node:fs");
const said = { words: process.argv.slice(2), env: process.env, fds: {} };
const [input, output] = (process.env.STACK_BOOTING_AGENT ?? "").split(" ").map(Number);
for (const fd of [0, 1, 2]) said.fds[fd] = readlinkSync("/proc/self/fd/" + fd);
if (input > 0) {
  writeSync(input, "tell");
  const buffer = Buffer.alloc(1 << 16);
  said.agent = JSON.parse(buffer.toString("utf8", 0, readSync(output, buffer)));
}
console.log(JSON.stringify(said));
process.exitCode = 7;
`;
const agent = `
const { readdirSync, readlinkSync } = require("node:fs");
process.stdin.once("data", () => {
  const files = readdirSync("/proc/self/fd").flatMap((fd) => { try { return [readlinkSync("/proc/self/fd/" + fd)]; } catch { return []; } }).filter((file) => file.startsWith("/") && !file.startsWith("/dev/") && !file.startsWith("/proc/"));
  console.error("heard");
  process.stdout.write(JSON.stringify({ flags: process.execArgv, env: process.env, cwd: process.cwd(), session: require("node:fs").readFileSync("/proc/self/stat", "utf8").split(" ")[5] === String(process.pid), files }));
});
process.stdin.once("end", () => process.exit());
`;

interface Said {
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly fds: Readonly<Record<string, string>>;
  readonly agent?: { readonly flags: readonly string[]; readonly env: Readonly<Record<string, string>>; readonly cwd: string; readonly session: boolean; readonly files: readonly string[] };
}

const built = fileURLToPath(new URL("../../dist", import.meta.url));
let scratch: string;
let root: string;
let project: string;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "stack-launcher-"));
  root = join(scratch, "root");
  project = join(scratch, "project");
  const dist = join(scratch, "dist");
  for (const directory of [join(dist, "lib"), join(dist, "native"), join(root, "projects"), project, join(root, "bin", "bundles-hash-123native-hash-1234")]) mkdirSync(directory, { recursive: true });
  copyFileSync(join(built, "stack"), join(dist, "stack"));
  copyFileSync(join(built, "lib/launch.txt"), join(dist, "lib/launch.txt"));
  writeFileSync(join(dist, ".hash"), "bundles-hash-123 and what follows");
  writeFileSync(join(dist, "native/.hash"), "native-hash-1234 and what follows");
  writeFileSync(join(dist, "stack.js"), command);
  writeFileSync(join(root, "bin/bundles-hash-123native-hash-1234/agent.js"), agent);
});

afterEach(() => {
  rmSync(scratch, { recursive: true, force: true });
});

function launch(words: readonly string[], env: Readonly<Record<string, string>> = {}): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  return spawnSync(join(scratch, "dist/stack"), words, { cwd: project, encoding: "utf8", env: { PATH: process.env["PATH"] ?? "", STACK_ROOT: root, ...env }, timeout: 20_000 });
}

function said(words: readonly string[], env: Readonly<Record<string, string>> = {}): Said {
  const result = launch(words, env);
  expect(result.status, result.stderr).toBe(7);
  return JSON.parse(result.stdout) as Said;
}

describe("the launcher", () => {
  it("hands the words, the environment and the standard streams to the command, and its exit status back", () => {
    const { words, env } = said(["ps", "--filter", "a b", ""], { FOO: "bar" });
    expect(words).toEqual(["ps", "--filter", "a b", ""]);
    expect(env).toMatchObject({ FOO: "bar", STACK_ROOT: root });
    expect(env).not.toHaveProperty("STACK_BOOTING_AGENT");
  });

  it("works through links, as npm installs it", () => {
    symlinkSync(join(scratch, "dist/stack"), join(scratch, "stack"));
    const result = spawnSync("stack", ["version"], { cwd: project, encoding: "utf8", env: { PATH: `${scratch}:${process.env["PATH"] ?? ""}` } });
    expect(JSON.parse(result.stdout)).toMatchObject({ words: ["version"] });
  });

  it("has an agent boot beside a command that changes something", () => {
    const { agent } = said(["-f", "x.yaml", "up", "-d"], { HOME: "/home/x", SECRET: "no", NODE_OPTIONS: "--no-warnings" });
    expect(agent).toMatchObject({ cwd: "/", session: true, files: [join(root, "agent.log")], flags: agentFlags });
    expect(agent?.env).toEqual({ PATH: process.env["PATH"], HOME: "/home/x", STACK_ROOT: root });
    expect(readFileSync(join(root, "agent.log"), "utf8")).toBe("heard\n");
  });

  it.each([
    ["up"],
    ["--profile", "up", "ps"],
    ["--profile", "ps", "up"],
    ["ps"],
    ["down", "--help"],
    ["up", "--dry-run"],
    ["--dry-run=true", "up"],
    ["--file=x", "down"],
    ["--verbose", "restart", "web"],
    ["config"],
    [],
    ["-p"],
    ["upp"],
  ])("is of one mind with the command about who needs one: %j %j %j", (...words) => {
    expect(said(words).agent !== undefined).toBe(needsAgent(commandOf(words), words));
  });

  it("starts no agent where one of this directory lives", () => {
    const directory = join(root, "projects", "p");
    mkdirSync(directory);
    writeFileSync(join(directory, "agent.json"), JSON.stringify({ version: 1, pid: 1, workingDir: project }));
    const native = loadNative();
    const lock = native.lock(join(directory, "agent.lock"), "exclusive", false);
    expect(said(["up"]).agent).toBeUndefined();
    native.close(lock);
    expect(said(["up"]).agent).toBeDefined();
  });

  it("leaves a data root without this program to the command", () => {
    writeFileSync(join(scratch, "dist/.hash"), "another program's hash");
    expect(said(["up"]).agent).toBeUndefined();
  });

  it("leaves a relative data root to the command", () => {
    expect(said(["up"], { STACK_ROOT: "root" }).agent).toBeUndefined();
  });

  it("gives Node's further certificates to both under another name, which Node does not read", () => {
    const { env, agent } = said(["up"], { NODE_EXTRA_CA_CERTS: "/etc/no-such-file" });
    for (const variables of [env, agent?.env]) {
      expect(variables).toMatchObject({ STACK_EXTRA_CA_CERTS: "/etc/no-such-file" });
      expect(variables).not.toHaveProperty("NODE_EXTRA_CA_CERTS");
    }
  });

  it("and both find them again under the name that people know", () => {
    const load = JSON.stringify(join(built, "load.js"));
    const known = execFileSync(process.execPath, ["-p", `require(${load}); [process.env.NODE_EXTRA_CA_CERTS, process.env.STACK_EXTRA_CA_CERTS]`], { encoding: "utf8", env: { STACK_EXTRA_CA_CERTS: "/etc/x.pem" } });
    expect(known).toBe("[ '/etc/x.pem', undefined ]\n");
  });

  it("boots no agent by a `node` that chooses among several, which may choose otherwise elsewhere", () => {
    const shims = join(scratch, "shims");
    mkdirSync(shims);
    writeFileSync(join(shims, "node"), `#!/bin/sh\nexec ${process.execPath} "$@"\n`, { mode: 0o755 });
    expect(said(["up"], { PATH: `${shims}:/usr/bin:/bin` }).agent).toBeUndefined();
  });

  it("says what to do where there is no Node", () => {
    const result = launch(["up"], { PATH: scratch });
    expect(result.status).toBe(127);
    expect(result.stderr).toContain("there is no `node` in PATH");
    expect(result.stderr).not.toContain("sudo");
    expect(launch(["up"], { PATH: scratch, SUDO_USER: "joe" }).stderr).toContain('sudo env "PATH=$PATH" stack');
  });

  it("works with standard streams that are closed, and passes nothing else on that is open", () => {
    const result = spawnSync("sh", ["-c", `exec 9<"$0"; exec "$0" up -d <&- 2>&-`, join(scratch, "dist/stack")], { cwd: project, encoding: "utf8", env: { PATH: process.env["PATH"] ?? "", STACK_ROOT: root } });
    const told = JSON.parse(result.stdout) as Said;
    expect(told.fds["0"]).toBe("/dev/null");
    expect(told.agent?.files).toEqual([join(root, "agent.log")]);
  });

  it("lets the agent end with a command that is killed", async () => {
    writeFileSync(join(scratch, "dist/stack.js"), `require("node:fs").writeSync(1, "up\\n"); setInterval(() => {}, 1e6);`);
    const child = spawn(join(scratch, "dist/stack"), ["up"], { cwd: project, env: { PATH: process.env["PATH"] ?? "", STACK_ROOT: root }, stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    const children = execFileSync("ps", ["-o", "pid=", "--ppid", String(child.pid)], { encoding: "utf8" }).trim().split(/\s+/);
    expect(children).toHaveLength(1);
    child.kill("SIGKILL");
    await expect.poll(() => existsSync(`/proc/${children[0] ?? ""}`), { timeout: 10_000 }).toBe(false);
  });
});
