import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, closeSync, ftruncateSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/**
 * No stack file, environment file or environment makes the command crash, hang or use more than 256 MB, and what is
 * refused is refused with the limit and the place. Each case is one run of the built command, with the peak of its
 * resident memory read from the kernel.
 */
const repository = join(dirname(fileURLToPath(import.meta.url)), "../..");
const PEAK = 256 * 1024;

let scratch = "";
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "stack-hostile-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  /** KB; undefined where the process did not end by itself. */
  readonly peak: number | undefined;
}

type Files = Readonly<Record<string, string | Buffer>>;

function run(directory: string, env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, ["--require", join(repository, "test/support/peak-memory.cjs"), join(repository, "dist/stack.js"), "config", "--quiet"], {
      cwd: directory,
      env: { PATH: process.env["PATH"] ?? "", HOME: scratch, STACK_ROOT: join(scratch, "root"), ...env },
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      timeout: 20_000,
      killSignal: "SIGKILL",
    });
    let stderr = "";
    let peak = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.stdio[3]?.on("data", (bytes: Buffer) => (peak += bytes.toString()));
    child.on("error", failed);
    child.on("close", (status, signal) => done({ status, signal, stderr, peak: peak === "" ? undefined : Number(peak) }));
  });
}

function write(name: string, files: Files): string {
  const directory = join(scratch, name.replace(/[^a-z0-9]+/gi, "-"));
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), content);
  }
  return directory;
}

async function check(directory: string, expected: "accepted" | RegExp, env?: Readonly<Record<string, string>>): Promise<void> {
  const outcome = await run(directory, env);
  const shown = outcome.stderr.slice(0, 2000);
  expect(outcome.signal, `killed: ${shown}`).toBeNull();
  expect(outcome.peak, shown).toBeLessThan(PEAK);
  expect(outcome.stderr.length, "a screenful is enough").toBeLessThan(200_000);
  expect(outcome.stderr).not.toMatch(/internal error|at .*\.cjs/);
  if (expected === "accepted") expect(outcome.status, shown).toBe(0);
  else {
    expect(outcome.status, shown).toBe(1);
    expect(outcome.stderr).toMatch(expected);
  }
}

const MB = 1_000_000;
const web = "services:\n  web:\n    image: a\n";
const lines = (count: number, line: (i: number) => string): string => Array.from({ length: count }, (_, i) => line(i)).join("");
const bomb = (levels: number): string =>
  `a0: &a0 [x, x, x, x, x, x, x, x, x]\n${lines(levels, (i) => `a${i + 1}: &a${i + 1} [${Array.from({ length: 9 }, () => `*a${i}`).join(", ")}]\n`)}`;
const mapBomb = (levels: number): string =>
  `x-a0: &a0 {k: v}\n${lines(levels, (i) => `x-a${i + 1}: &a${i + 1} {${Array.from({ length: 9 }, (_, k) => `k${k}: *a${i}`).join(", ")}}\n`)}`;

const CASES: Readonly<Record<string, readonly [Files, "accepted" | RegExp]>> = {
  "aliases that explode": [{ "compose.yaml": `${bomb(30)}${web}` }, /Aliases expand to more than \d+ values/],
  "aliases of mappings that explode": [{ "compose.yaml": `${mapBomb(30)}${web}` }, /Aliases expand to more than \d+ values/],
  "aliases that explode in a JSON of one line": [{ "compose.yaml": `{x-a: &a [${"1,".repeat(5000)}1], x-b: &b [${"*a,".repeat(5000)}*a], services: {web: {image: a}}}` }, /Aliases expand to more than \d+ values/],
  "merge keys that explode": [
    { "compose.yaml": `x-a0: &a0 {${lines(50, (i) => `k${i}: v, `)}}\n${lines(40, (i) => `x-a${i + 1}: &a${i + 1}\n  <<: [${Array.from({ length: 30 }, () => `*a${i}`).join(", ")}]\n  n${i}: *a${i}\n`)}${web}` },
    /Aliases expand to more than \d+ values/,
  ],
  "an anchor that contains itself": [{ "compose.yaml": `x-a: &a {b: *a}\n${web}` }, /contains itself/],
  "10 MB of one text": [{ "compose.yaml": `${web}    command: "${"x".repeat(10 * MB)}"\n` }, /has 100\d+ characters; the limit is 4000000/],
  "3.9 MB of one text": [{ "compose.yaml": `${web}    labels: {a: "${"x".repeat(3.9 * MB)}"}\n` }, "accepted"],
  "10 MB of keys": [{ "compose.yaml": `${web}    environment:\n${lines(330_000, (i) => `      K${i}: "value of ${i}"\n`)}` }, /the limit is 4000000/],
  "3.9 MB of keys": [{ "compose.yaml": `${web}    environment:\n${lines(160_000, (i) => `      K${i}: "v${i}"\n`)}` }, /holds more than about 150000 values/],
  "so many keys as are allowed": [{ "compose.yaml": `${web}    environment:\n${lines(90_000, (i) => `      KEY_${i}: "value of ${i}"\n`)}` }, "accepted"],
  "so many items as are allowed": [{ "compose.yaml": `${web}    command:\n${lines(95_000, (i) => `      - "argument ${i}"\n`)}` }, "accepted"],
  "10 MB of items": [{ "compose.yaml": `${web}    command:\n${lines(500_000, (i) => `      - argument ${i}\n`)}` }, /the limit is 4000000/],
  "nesting without end": [{ "compose.yaml": `x-a: ${"[".repeat(MB)}\n${web}` }, /Nested more than \d+ levels deep/],
  "nesting of blocks without end": [{ "compose.yaml": `x-a:\n${lines(1500, (i) => `${" ".repeat(i + 1)}a:\n`)}${web}` }, /Nested more than \d+ levels deep/],
  "a huge flow mapping": [{ "compose.yaml": `${web}    labels: {${lines(160_000, (i) => `a${i}: b, `)}}\n` }, /holds more than about 150000 values/],
  "a flow mapping of keys without values": [{ "compose.yaml": `x-a: {${lines(200_000, (i) => `a${i},`)}}\n${web}` }, /holds more than about 150000 values/],
  "many documents": [{ "compose.yaml": lines(30_000, (i) => `services: {s${i % 10}: {image: a}}\n---\n`) }, /more than \d+ documents/],
  "many comments": [{ "compose.yaml": `${lines(100_000, (i) => `# comment number ${i}\n`)}${web}` }, "accepted"],
  "many comments before what only the full parser reads": [{ "compose.yaml": `${lines(100_000, (i) => `# comment number ${i}\n`)}${web}    tty: !!bool true\n` }, "accepted"],
  "many line breaks": [{ "compose.yaml": `${web}${"\n".repeat(3.9 * MB)}` }, "accepted"],
  "many tabs": [{ "compose.yaml": `${web}${"\t\n".repeat(MB)}` }, /TAB|tab|values/i],
  "one line without end of anything": [{ "compose.yaml": "a ".repeat(1.9 * MB) }, /mapping/],
  "colons without end": [{ "compose.yaml": ": ".repeat(1.9 * MB) }, /./],
  "dashes without end": [{ "compose.yaml": "- ".repeat(1.9 * MB) }, /levels deep/],
  "quotes without end": [{ "compose.yaml": `a: ${"'".repeat(3 * MB)}` }, /./],
  "question marks without end": [{ "compose.yaml": "? ".repeat(1.9 * MB) }, /levels deep/],
  "anchors without end": [{ "compose.yaml": `a: ${"&a ".repeat(MB)}` }, /./],
  "tags without end": [{ "compose.yaml": `a: ${"!a ".repeat(MB)}` }, /./],
  "a tag handle for every value": [{ "compose.yaml": `%TAG !e! tag:x,2000:\n---\n${web}    x-a: [${"!e!a b, ".repeat(60_000)}]\n` }, "accepted"],
  "percent lines": [{ "compose.yaml": "%YAML 1.2\n".repeat(300_000) }, /./],
  "interpolation that nests without end": [{ "compose.yaml": `${web}    command: "${"${A:-".repeat(100_000)}${"}".repeat(100_000)}"\n` }, /invalid interpolation format/],
  "interpolation that opens without end": [{ "compose.yaml": `${web}    command: "${"${A:-".repeat(300_000)}"\n` }, /invalid interpolation format/],
  "dollar signs without end": [{ "compose.yaml": `${web}    command: "${"$A".repeat(900_000)}"\n` }, "accepted"],
  "variables that double": [{ "compose.yaml": `${web}    command: \${Z40}\n`, ".env": `Z0=xxxxxxxxxx\n${lines(40, (i) => `Z${i + 1}=\${Z${i}}\${Z${i}}\n`)}` }, /too long a text/],
  "a variable of a megabyte, many times": [{ "compose.yaml": `${web}    command: [${'"$A", '.repeat(5000)}]\n`, ".env": `A=${"x".repeat(MB)}\n` }, /more than \d+ characters/],
  "a base of a service with many heirs": [{ "compose.yaml": `services:\n  base:\n    image: a\n    environment: [${lines(10_000, (i) => `E${i}=1,`)}]\n${lines(5000, (i) => `  s${i}: {extends: base}\n`)}` }, /copies more than 300000 values/],
  "a chain of extends": [{ "compose.yaml": `services:\n${lines(6000, (i) => `  s${i}: {extends: s${i + 1}}\n`)}  s6000: {image: a}\n` }, /more than 200 services deep/],
  "a cycle of extends": [{ "compose.yaml": `services:\n${lines(100, (i) => `  s${i}: {extends: s${(i + 1) % 100}}\n`)}` }, /Circular `extends`/],
  "a cycle of extends over files": [{ "compose.yaml": "services: {a: {extends: {file: b.yaml, service: b}}}\n", "b.yaml": "services: {b: {extends: {file: compose.yaml, service: a}}}\n" }, /Circular `extends`/],
  "a file that includes itself": [{ "compose.yaml": `include: [compose.yaml]\n${web}` }, /Circular `include`/],
  "a cycle of includes": [{ "compose.yaml": "include: [a.yaml]\n", "a.yaml": "include: [b.yaml]\n", "b.yaml": "include: [a.yaml]\n" }, /Circular `include`/],
  "includes that double": [
    { "compose.yaml": `include: [f0.yaml]\n${web}`, ...Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`f${i}.yaml`, `include: [f${i + 1}.yaml, g${i + 1}.yaml]\n`])), ...Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`g${i}.yaml`, `include: [f${i + 1}.yaml, g${i + 1}.yaml]\n`])), "f25.yaml": "services: {}\n", "g25.yaml": "services: {}\n" },
    /more than \d+ files/,
  ],
  "a chain of includes": [{ "compose.yaml": `include: [f0.yaml]\n${web}`, ...Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`f${i}.yaml`, `include: [f${i + 1}.yaml]\n`])), "f300.yaml": "services: {}\n" }, /levels deep/],
  "a chain of dependencies": [{ "compose.yaml": `services:\n${lines(8000, (i) => `  s${i}: {image: a, depends_on: [s${i + 1}]}\n`)}  s8000: {image: a}\n` }, "accepted"],
  "a cycle of dependencies": [{ "compose.yaml": `services:\n${lines(3000, (i) => `  s${i}: {image: a, depends_on: [s${(i + 1) % 3000}]}\n`)}` }, /Dependency cycle/],
  "dependencies of all on all": [{ "compose.yaml": `services:\n${lines(250, (i) => `  s${i}: {image: a, depends_on: [${Array.from({ length: i }, (_, k) => `s${k}`).join(", ")}]}\n`)}` }, "accepted"],
  "invalid UTF-8": [{ "compose.yaml": Buffer.concat([Buffer.from(web), Buffer.from([0x20, 0x20, 0x23, 0xff, 0xfe])]) }, /not valid UTF-8 \(byte \d+\)/],
  "UTF-16": [{ "compose.yaml": Buffer.from(`\ufeff${web}`, "utf16le") }, /UTF-16|not valid UTF-8/],
  "a NUL byte": [{ "compose.yaml": `${web}    command: "a\0b"\n` }, /U\+0000 is not allowed/],
  "many NUL bytes": [{ "compose.yaml": "\0".repeat(3 * MB) }, /U\+0000 is not allowed/],
  "CRLF and BOM": [{ "compose.yaml": `\ufeff${web.replaceAll("\n", "\r\n")}` }, "accepted"],
  "a tab for indentation": [{ "compose.yaml": "services:\n\tweb:\n\t\timage: a\n" }, /compose\.yaml:2:1/],
  "an unknown key ten thousand times": [{ "compose.yaml": `services:\n${lines(10_000, (i) => `  s${i}: {image: a, imagee: b}\n`)}` }, /unknown key/],
  "ports without end": [{ "compose.yaml": `${web}    ports: [${'"1-65535:1-65535", '.repeat(2000)}]\n` }, /more ports than a host has/],
  "a name for every regular expression": [{ "compose.yaml": `${web}    container_name: "${"a-".repeat(MB)}!"\n    restart: "on-failure:${"1".repeat(MB)}x"\n    pull_policy: "every_${"1h".repeat(MB)}x"\n` }, /./],
  "durations and sizes without end": [{ "compose.yaml": `${web}    stop_grace_period: "${"1h".repeat(900_000)}"\n    mem_limit: "${"1".repeat(MB)}"\n` }, /./],
  "command lines without end": [{ "compose.yaml": `${web}    command: "${"a\\\\ ".repeat(600_000)}"\n` }, "accepted"],
  "an environment file of many variables": [{ "compose.yaml": `${web}    env_file: e\n`, e: lines(100_000, (i) => `VARIABLE_${i}=value ${i}\n`) }, "accepted"],
  ".env of many variables": [{ "compose.yaml": web, ".env": lines(100_000, (i) => `VARIABLE_${i}=value ${i}\n`) }, "accepted"],
  "an environment file without line breaks": [{ "compose.yaml": `${web}    env_file: e\n`, e: "A".repeat(9 * MB) }, "accepted"],
  "an environment file of quotes": [{ "compose.yaml": `${web}    env_file: e\n`, e: `A="${"\\\"".repeat(2 * MB)}` }, /never closed/],
};

describe("no input makes the command crash, hang or use more than 256 MB:", () => {
  for (const [name, [files, expected]] of Object.entries(CASES))
    it(name, async () => {
      const directory = write(name, files);
      await check(directory, expected);
      rmSync(directory, { recursive: true, force: true });
    });

  const sparse = (file: string, size: number): void => {
    const fd = openSync(file, "w");
    ftruncateSync(fd, size);
    closeSync(fd);
  };

  for (const [what, text] of Object.entries({
    env_file: `${web}    env_file: thing\n`,
    label_file: `${web}    label_file: thing\n`,
    include: `include: [thing]\n${web}`,
    extends: "services: {web: {extends: {file: thing, service: web}}}\n",
  })) {
    for (const [kind, make, expected] of [
      ["a file of 1 GB", (file: string) => sparse(file, 2 ** 30), /thing.*larger than \d+ bytes/],
      ["a FIFO", (file: string) => spawnSync("mkfifo", [file]), /thing.*(?:FIFO|not a regular file)/],
      ["/dev/zero", (file: string) => spawnSync("ln", ["-s", "/dev/zero", file]), /thing.*(?:device|not a regular file)/],
      ["a directory", (file: string) => mkdirSync(file), /thing.*directory/],
      ["a link to itself", (file: string) => spawnSync("ln", ["-s", "thing", file]), /thing.*(?:ELOOP|links)/],
    ] as const)
      it(`\`${what}\` of ${kind}`, async () => {
        const directory = write(`${what} ${kind}`, { "compose.yaml": text });
        make(join(directory, "thing"));
        await check(directory, expected);
      });
  }

  it("`.env` that is a file of 1 GB", async () => {
    const directory = write("env-gb", { "compose.yaml": web });
    sparse(join(directory, ".env"), 2 ** 30);
    await check(directory, /\.env.*larger than \d+ bytes/);
  });

  it("`.env` that is a FIFO", async () => {
    const directory = write("env-fifo", { "compose.yaml": web });
    spawnSync("mkfifo", [join(directory, ".env")]);
    await check(directory, /\.env.*(?:FIFO|not a regular file)/);
  });

  it("a stack file that is a FIFO", async () => {
    const directory = write("main-fifo", { x: "" });
    spawnSync("mkfifo", [join(directory, "compose.yaml")]);
    await check(directory, /compose\.yaml.*(?:FIFO|not a regular file)/);
  });

  it("a process environment of ten thousand variables and a misspelt one", async () => {
    const directory = write("many-variables", { "compose.yaml": `${web}    command: $VARIABEL_77\n` });
    await check(directory, "accepted", Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`VARIABLE_${i}`, `value ${i}`])));
  });
});
