import { describe, expect, it } from "vitest";
import { cgroupDirectories, containerCgroup, parseCgroups } from "./cgroups.ts";
import { parseMounts } from "./mounts.ts";

const mounts = parseMounts(
  [
    "30 25 0:26 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw,nsdelegate",
    "31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct",
    "32 25 0:28 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd",
  ].join("\n"),
);

describe("cgroups", () => {
  it("reads version 1, version 2 and named hierarchies, and paths with colons", () => {
    expect(parseCgroups("3:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c:d\n")).toEqual([
      { controllers: ["cpu", "cpuacct"], path: "/a" },
      { controllers: ["name=systemd"], path: "/b" },
      { controllers: [], path: "/c:d" },
    ]);
  });

  it("finds each hierarchy where it is mounted, and leaves out what is not mounted", () => {
    const found = cgroupDirectories(parseCgroups("5:memory:/x\n3:cpu,cpuacct:/x\n1:name=systemd:/x\n0::/x"), mounts);
    expect(found.map(({ directory }) => directory)).toEqual(["/sys/fs/cgroup/cpu,cpuacct/x", "/sys/fs/cgroup/systemd/x", "/sys/fs/cgroup/unified/x"]);
  });

  it("cuts a path above the container's leaves", () => {
    expect(containerCgroup("/stack/p/abc/init", "abc")).toBe("/stack/p/abc");
    expect(containerCgroup("/stack/p/abc", "abc")).toBe("/stack/p/abc");
    expect(containerCgroup("/elsewhere", "abc")).toBeUndefined();
  });
});
