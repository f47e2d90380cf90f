import { afterEach, expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";

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
