import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { Layout, tar } from "../support/images/index.ts";
import { useMachine } from "../support/machine.ts";
import { Registry } from "../support/registry.ts";

const used = useMachine({ images: true });
afterEach(async () => {
  await used.current.ok("down", "-v", "-t", "1");
  expect(await used.current.remains()).toEqual([]);
});

const file = (mount: string) => `services:\n  web: {image: "busybox:1", init: true, command: [sleep, "1000"], volumes: [{type: image, source: "node:20", target: /tools${mount}}]}\n`;
const exec = (...argv: string[]) => used.current.stack("exec", "-T", "web", ...argv);

test("an image is mounted with all its layers, read-only, and stays while it is", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file(""));
  await machine.ok("up", "-d");
  const node = machine.start(["run", "--rm", "-T", "--entrypoint", "ls", "web", "/tools/usr/local/bin/node"]);
  expect((await node.ended).code).toBe(0);
  expect((await exec("sh", "-c", "touch /tools/x")).stderr).toContain("Read-only");
  expect((await exec("cat", "/tools/etc/passwd")).stdout).toContain("root:");
  expect(await machine.ok("plan"), "as it is").not.toContain("web");
  await machine.ok("restart", "-t", "1");
  expect((await exec("ls", "/tools/usr/local/bin/node")).code).toBe(0);
});

test("a part of it by subpath, a directory or a file; what does not exist is refused by name and leaves nothing", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file(", image: {subpath: usr/local/bin}"));
  await machine.ok("up", "-d");
  expect((await exec("ls", "/tools/node")).code).toBe(0);
  machine.write("compose.yaml", file(", image: {subpath: etc/passwd}"));
  await machine.ok("up", "-d", "-t", "1");
  expect((await exec("cat", "/tools")).stdout).toContain("root:");
  await machine.ok("down", "-t", "1");
  for (const subpath of ["no/such", "../../../etc/shadow-of-the-host"]) {
    machine.write("compose.yaml", file(`, image: {subpath: ${subpath}}`));
    const { code, stderr } = await machine.stack("up", "-d");
    expect(code, subpath).toBe(1);
    expect(stderr).toContain(`There is no ${subpath} in image "node:20"`);
    expect(machine.containers).toEqual([]);
  }
});

/** Puts an image under this reference that holds one file. */
async function load(tag: string, content: string): Promise<void> {
  const layout = new Layout(join(used.current.directory, `layout-${content}`));
  layout.image(tag, [layout.layer(tar([{ path: "word", content }]))], {});
  await used.current.ok("load", "-q", "-i", layout.directory);
}

test("a newer image under the same reference is a reason to recreate, and the plan names it; `run` fetches what it mounts", async () => {
  const machine = used.current;
  await load("words:1", "old");
  machine.write("compose.yaml", 'services:\n  web: {image: "busybox:1", init: true, command: [sleep, "1000"], volumes: [{type: image, source: "words:1", target: /words}]}\n');
  await machine.ok("up", "-d");
  expect((await exec("cat", "/words/word")).stdout).toBe("old");
  await load("words:1", "new");
  expect((await exec("cat", "/words/word")).stdout, "nothing moves under a running container").toBe("old");
  expect(await machine.ok("plan")).toContain("image words:1 mounted on /words changed");
  await machine.ok("up", "-d", "-t", "1");
  expect((await exec("cat", "/words/word")).stdout).toBe("new");
  expect(await machine.ok("plan")).toBe("nothing to do\n");

  await using registry = await Registry.start(machine, { port: 5003 });
  await registry.push("busybox:1");
  machine.write("run.yaml", `services:\n  web: {image: "busybox:1", volumes: [{type: image, source: "${registry.address}/busybox:1", target: /tools}]}\n`);
  expect(await machine.ok("-p", "one-off", "-f", "run.yaml", "run", "--rm", "-T", "web", "ls", "/tools/bin/busybox")).toBe("/tools/bin/busybox\n");
  await machine.ok("-p", "one-off", "-f", "run.yaml", "down", "-v");
});

test("a part of a volume by subpath stays in the volume, whatever another container puts in its place before a restart", async () => {
  const machine = used.current;
  const secret = join(machine.directory, "secret");
  machine.write("secret/key", "the host's");
  machine.write("compose.yaml", `services:
  writer: {image: "busybox:1", command: [sleep, "1000"], volumes: ["vol:/v"]}
  web: {image: "busybox:1", command: [sleep, "1000"], volumes: [{type: volume, source: vol, target: /part, volume: {subpath: part}}]}
volumes: {vol: {}}
`);
  await machine.ok("up", "-d", "-t", "0", "writer");
  await machine.ok("exec", "-T", "writer", "mkdir", "/v/part", "/v/other");
  await machine.ok("exec", "-T", "writer", "touch", "/v/part/own", "/v/other/its");
  await machine.ok("up", "-d");
  expect((await exec("ls", "/part")).stdout).toBe("own\n");
  await machine.ok("exec", "-T", "writer", "sh", "-c", "mv /v/part /v/was && ln -s /other /v/part");
  await machine.ok("restart", "-t", "0", "web");
  expect((await exec("ls", "/part")).stdout, "in the volume").toBe("its\n");
  await machine.ok("exec", "-T", "writer", "sh", "-c", `rm /v/part && ln -s ${secret} /v/part`);
  await machine.stack("restart", "-t", "0", "web");
  expect((await exec("cat", "/part/key")).stdout).not.toContain("the host's");
});

test("its layers stay when another project takes the image away", async () => {
  const machine = used.current;
  machine.write("compose.yaml", file(""));
  await machine.ok("up", "-d");
  machine.write("other.yaml", 'services: {x: {image: "node:20", command: ["true"]}}\n');
  await machine.ok("-p", "other", "-f", "other.yaml", "create");
  await machine.ok("-p", "other", "-f", "other.yaml", "down", "--rmi", "all");
  expect(await machine.ok("images", "-q")).not.toBe("");
  expect((await exec("cat", "/tools/etc/passwd")).stdout).toContain("root:");
  expect((await exec("ls", "/tools/usr/local/bin/node")).code).toBe(0);
});
