/** `cp` and `export`: between the host and containers that run, do not run, or are hostile. */
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { Layout, tar } from "../support/images/index.ts";
import { useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });
afterEach(async () => {
  await used.current.ok("down", "-v", "-t", "0");
  expect(await used.current.remains()).toEqual([]);
});

const file = `
services:
  web: {image: "busybox:1", init: true, user: "1000:1001", command: [sleep, "1000"], volumes: ["data:/data", "tmp:/tmp"]}
  two: {image: "busybox:1", init: true, command: [sleep, "1000"], scale: 2, volumes: [/tmp]}
volumes: {data: {}, tmp: {}}
`;
const inside = async (...argv: string[]): Promise<string> => used.current.ok("exec", "-T", "-u", "0", "web", ...argv);
const at = (path: string): string => join(used.current.directory, path);
const owner = (path: string): string => `${lstatSync(at(path)).uid}:${lstatSync(at(path)).gid}`;

test("files and trees go in and out with their kinds, modes and hard links; who owns them is as with Docker", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file);
  machine.write("tree/sub/program", "#!/bin/sh\n");
  execFileSync("sh", ["-ec", "ln program twin; ln -s twin link; mkfifo pipe; mknod null c 1 3; chown 1234:1235 program; chmod 4755 program", "sh"], { cwd: at("tree/sub") });
  await machine.ok("up", "-d");
  await machine.ok("cp", "tree", "web:/tmp/");
  expect((await inside("stat", "-c", "%F %a %u:%g %h", "/tmp/tree/sub/program", "/tmp/tree/sub/link", "/tmp/tree/sub/pipe", "/tmp/tree/sub/null")).split("\n").slice(0, 4)).toEqual([
    "regular file 4755 1234:1235 2",
    "symbolic link 777 0:0 1",
    "fifo 644 0:0 1",
    "character special file 644 0:0 1",
  ]);
  await machine.ok("cp", "-a", "tree/sub/program", "web:/tmp/mine");
  expect(await inside("stat", "-c", "%u:%g", "/tmp/mine")).toBe("1000:1001\n");
  await machine.ok("cp", "web:/tmp/tree/sub", "back");
  expect(owner("back/program"), "it belongs to whoever asked").toBe(`${process.geteuid!()}:${process.getegid!()}`);
  expect(lstatSync(at("back/program")).ino).toBe(lstatSync(at("back/twin")).ino);
  expect(readlinkSync(at("back/link"))).toBe("twin");
  await machine.ok("cp", "-a", "web:/tmp/tree/sub/program", "kept");
  expect(owner("kept")).toBe("1234:1235");
  await machine.ok("cp", "-L", "tree/sub/link", "web:/tmp/followed");
  expect(await inside("stat", "-c", "%F", "/tmp/followed")).toBe("regular file\n");
  await machine.ok("cp", "web:/proc/version", "version");
  expect(machine.read("version")).toBe(readFileSync("/proc/version", "utf8"));
});

test("every replica gets it, or the one with this number; it comes from the first", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file);
  machine.write("f", "one");
  await machine.ok("up", "-d", "two");
  await machine.ok("cp", "f", "two:/tmp/");
  machine.write("f", "two");
  await machine.ok("cp", "--index", "2", "f", "two:/tmp/f");
  await machine.ok("cp", "two:/tmp/f", "first");
  await machine.ok("cp", "--index", "2", "two:/tmp/f", "second");
  expect([machine.read("first"), machine.read("second")]).toEqual(["one", "two"]);
  const refused = await machine.stack("cp", "--index", "7", "f", "two:/tmp/f");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('service "two" has no container #7');
  expect((await machine.stack("cp", "two:/tmp/f", "web:/tmp/f")).stderr).toContain("copying between services is not supported");
  expect((await machine.stack("cp", "f", "g")).stderr).toContain("unknown copy direction");
});

test("a container that was never started, and one that was stopped: into its layer and its volumes", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file);
  machine.write("f", "early");
  await machine.ok("create", "web");
  await machine.ok("cp", "f", "web:/etc/early");
  await machine.ok("cp", "f", "web:/data/early");
  await machine.ok("up", "-d", "web");
  expect(await inside("cat", "/etc/early", "/data/early")).toBe("earlyearly");
  await inside("sh", "-c", "echo late > /etc/late; echo kept > /data/late");
  await machine.ok("stop", "-t", "0", "web");
  expect(await machine.ok("cp", "web:/data/late", "-")).toContain("kept");
  await machine.ok("cp", "web:/etc/late", "late");
  expect(machine.read("late")).toBe("late\n");
  await machine.ok("start", "web");
  expect(await inside("cat", "/etc/late")).toBe("late\n");
});

test("archives by standard input and output, compressed ones too", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file);
  await machine.ok("up", "-d", "web");
  const archive = tar([{ path: "dir/", type: "directory" }, { path: "dir/.wh.name", content: "a name like any other" }]);
  for (const [stdin, target] of [[archive, "/data"], [execFileSync("gzip", ["-c"], { input: archive }), "/tmp"]] as const) {
    const copying = machine.start(["cp", "-", `web:${target}`], { input: stdin });
    expect((await copying.ended).code).toBe(0);
    expect(await inside("cat", `${target}/dir/.wh.name`)).toBe("a name like any other");
  }
  writeFileSync(at("out.tar"), (await machine.ok("cp", "web:/data/dir", "-")));
  expect(execFileSync("tar", ["tf", at("out.tar")], { encoding: "utf8" })).toBe("dir/\ndir/.wh.name\n");
  const nowhere = machine.start(["cp", "-", "web:/data/none"], { input: archive });
  expect((await nowhere.ended).stderr).toContain("must be a directory that exists");
});

test("what a container has made of its paths leads out of it in neither direction", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file);
  machine.write("f", "mine");
  const secret = at("secret");
  writeFileSync(secret, "of the host");
  await machine.ok("up", "-d", "web");
  await inside("sh", "-c", `mkdir -p /tmp/deep; ln -s ${machine.directory} /tmp/out; ln -s / /tmp/root; ln -s ../../../../../../..${secret} /tmp/up`);
  expect((await machine.stack("cp", "web:/tmp/out/secret", "stolen")).code).toBe(1);
  expect((await machine.stack("cp", "-L", "web:/tmp/up", "stolen")).code).toBe(1);
  expect(existsSync(at("stolen"))).toBe(false);
  expect((await machine.stack("cp", "f", "web:/tmp/out/planted")).code).toBe(1);
  await machine.ok("cp", "f", "web:/tmp/root/planted");
  expect(await inside("cat", "/planted"), "an absolute link means the container's own root").toBe("mine");
  expect(existsSync("/planted")).toBe(false);
  mkdirSync(at("in"));
  symlinkSync(machine.directory, at("in/out"));
  await machine.ok("cp", "in/.", "web:/tmp/deep");
  const climbing = machine.start(["cp", "-", "web:/tmp/deep"], { input: tar([{ path: "../../../climbed", content: "x" }]) });
  expect((await climbing.ended).code).toBe(1);
  const through = machine.start(["cp", "-", "web:/tmp/deep"], { input: tar([{ path: "out/climbed", content: "x" }]) });
  await through.ended;
  expect(existsSync(at("climbed"))).toBe(false);
});

test("files and directories never replace each other, and what is mounted or read-only says so", async () => {
  const machine = used.current;
  machine.write("compose.yaml", `${file}\n`.replace("  two:", `  ro: {image: "busybox:1", init: true, read_only: true, command: [sleep, "1000"]}\n  two:`));
  machine.write("name/inner", "x");
  machine.write("plain", "x");
  await machine.ok("up", "-d", "web", "ro");
  await inside("sh", "-c", "mkdir -p /tmp/plain /tmp/target; touch /tmp/target/name");
  for (const [source, target, message] of [
    ["plain", "web:/tmp/", "plain: a directory is in the way"],
    ["name", "web:/tmp/target", "name: something that is no directory is in the way"],
    ["plain", "web:/etc/hosts", "it is mounted there, and cannot be replaced"],
    ["plain", "ro:/etc/new", "Read-only file system"],
  ] as const) {
    const { code, stderr } = await machine.stack("cp", source, target);
    expect(code, stderr).toBe(1);
    expect(stderr).toContain(message);
  }
});

test("export writes the root file system without what is mounted in it; it loads as an image's layer", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file);
  await machine.ok("up", "-d", "web");
  await inside("sh", "-c", "echo hello > /etc/greeting; echo volume > /data/file");
  await machine.ok("export", "-o", "root.tar", "web");
  const names = execFileSync("tar", ["tf", at("root.tar")], { encoding: "utf8" }).split("\n");
  expect(names).toContain("etc/greeting");
  expect(names).toContain("data/");
  expect(names.filter((name) => name.startsWith("data/") || name.startsWith("proc/"))).toEqual(["data/", "proc/"]);
  expect(execFileSync("tar", ["xOf", at("root.tar"), "etc/hosts"], { encoding: "utf8" }), "a mounted file is only its place").toBe("");
  const layout = new Layout(at("layout"));
  layout.image("exported:1", [layout.layer(readFileSync(at("root.tar")))], { Cmd: ["cat", "/etc/greeting"] });
  await machine.ok("load", "-q", "-i", layout.directory);
  machine.write("again.yaml", 'services: {again: {image: "exported:1"}}\n');
  expect(await machine.ok("-p", "again", "-f", "again.yaml", "run", "--rm", "-T", "again")).toBe("hello\n");
  await machine.ok("-p", "again", "-f", "again.yaml", "down");
});
