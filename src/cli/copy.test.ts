import { describe, expect, it } from "vitest";
import type { FileStat } from "../engine/index.ts";
import { findSource, findTarget, parseCopyPlace } from "./copy.ts";
import type { CopySide } from "./copy.ts";

const tree: Readonly<Record<string, FileStat>> = {
  "/": { type: "directory" },
  "/d": { type: "directory" },
  "/d/sub": { type: "directory" },
  "/f": { type: "file" },
  "/link": { type: "symlink", target: "d/sub" },
  "/file": { type: "symlink", target: "/f" },
  "/new": { type: "symlink", target: "d/made" },
  "/loop": { type: "symlink", target: "loop" },
};
const side: CopySide = { label: "web:", stat: (path) => Promise.resolve(tree[path] ?? { type: "missing" }) };

describe("the arguments of cp", () => {
  it.each([
    ["web:/x", { kind: "container", service: "web", path: "/x" }],
    ["web:", { kind: "container", service: "web", path: "" }],
    ["web:a:b", { kind: "container", service: "web", path: "a:b" }],
    ["./a:b", { kind: "host", path: "./a:b" }],
    ["/a:b", { kind: "host", path: "/a:b" }],
    ["plain", { kind: "host", path: "plain" }],
    ["-", { kind: "stream" }],
  ])("%s", (text, place) => {
    expect(parseCopyPlace(text)).toEqual(place);
  });
});

describe("the source of cp", () => {
  it.each([
    ["/f", false, { path: "/f", directory: false, contents: false }],
    ["/d", false, { path: "/d", directory: true, contents: false }],
    ["/d/", false, { path: "/d", directory: true, contents: false }],
    ["/d/.", false, { path: "/d", directory: true, contents: true }],
    ["/", false, { path: "/", directory: true, contents: true }],
    ["/link", false, { path: "/link", directory: false, contents: false }],
    ["/link", true, { path: "/d/sub", directory: true, contents: false }],
    ["/link/", false, { path: "/d/sub", directory: true, contents: false }],
    ["/d/../f", false, { path: "/f", directory: false, contents: false }],
  ])("%s, following: %s", async (path, follow, source) => {
    expect(await findSource(side, path, follow)).toEqual(source);
  });

  it.each([
    ["/none", "web:/none: no such file or directory"],
    ["/f/", "web:/f/ is no directory"],
    ["/loop/", "web:/loop: too many levels of symbolic links"],
  ])("%s is refused by name", async (path, message) => {
    await expect(findSource(side, path, false)).rejects.toThrow(message);
  });
});

describe("the destination of cp", () => {
  const file = { path: "/a/src", directory: false, contents: false };
  const directory = { path: "/a/src", directory: true, contents: false };
  const contents = { path: "/a/src", directory: true, contents: true };

  it.each([
    ["a file goes into a directory", "/d", file, { directory: "/d", name: "src" }],
    ["and through a link to one", "/link", file, { directory: "/d/sub", name: "src" }],
    ["it replaces a file", "/f", file, { directory: "/", name: "f" }],
    ["also behind a link", "/file", file, { directory: "/", name: "f" }],
    ["or gets a new name", "/d/x", file, { directory: "/d", name: "x" }],
    ["also behind a link to nothing", "/new", file, { directory: "/d", name: "made" }],
    ["a directory goes into a directory", "/d/", directory, { directory: "/d", name: "src" }],
    ["or becomes one", "/d/x/", directory, { directory: "/d", name: "x" }],
    ["what is in it goes into one", "/d", contents, { directory: "/d", name: "" }],
    ["or becomes one", "/d/x", contents, { directory: "/d", name: "x" }],
  ])("%s", async (_, path, source, target) => {
    expect(await findTarget(side, path, source)).toEqual(target);
  });

  it.each([
    ["/d/x/", file, "web:/d/x/: no such directory"],
    ["/none/x", file, "web:/none/x: directory /none does not exist"],
    ["/f/x", file, "web:/f/x: directory /f does not exist"],
    ["/f", directory, "cannot copy a directory onto web:/f, which is a file"],
    ["/f/", file, "web:/f/ is no directory"],
  ])("%s is refused by name", async (path, source, message) => {
    await expect(findTarget(side, path, source)).rejects.toThrow(message);
  });
});
