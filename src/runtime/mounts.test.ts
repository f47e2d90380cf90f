import { describe, expect, it } from "vitest";
import type { HostPath } from "../core/index.ts";
import { image, refusal, service } from "./fixtures.ts";
import type { MountInput } from "./input.ts";
import { planMounts } from "./mounts.ts";

const volume = (target: string, source?: string): MountInput => ({ type: "volume", target, read_only: false, nocopy: false, labels: {}, ...(source === undefined ? {} : { source }) });
const targets = (...args: Parameters<typeof planMounts>): readonly string[] => planMounts(...args).map((mount) => `${mount.kind} ${mount.target}`);

describe("the mounts of a service", () => {
  it("come with parents first, however they are written", () => {
    expect(targets(service({ volumes: [volume("/a/b/c"), volume("/a"), volume("/a/b/")], tmpfs: ["/z"], secrets: [{ source: "s", target: "/run/secrets/s" }] }), null)).toEqual([
      "volume /a",
      "tmpfs /z",
      "volume /a/b",
      "volume /a/b/c",
      "secret /run/secrets/s",
    ]);
  });

  it("have an anonymous volume for what the image declares, unless something else is mounted there", () => {
    const declared = { ...image, volumes: ["/data/", "/cache", "/"] };
    expect(targets(service({ volumes: [volume("/data", "named")] }), declared)).toEqual(["volume /data", "volume /cache"]);
    expect(planMounts(service({ volumes: [volume("/data", "named")] }), declared)[0]).toMatchObject({ source: "named" });
    expect(targets(service({ tmpfs: ["/cache"] }), declared)).toEqual(["volume /data", "tmpfs /cache"]);
  });

  it("take those of another container, and their own over them", () => {
    const inherited = planMounts(service({ volumes: [volume("/x", "theirs"), volume("/y", "theirs")] }), null);
    const mounts = planMounts(service({ volumes: [volume("/y", "ours")] }), null, inherited);
    expect(mounts).toMatchObject([{ target: "/x", source: "theirs" }, { target: "/y", source: "ours" }]);
  });

  it.each([
    ["/t", ["noexec", "nosuid", "nodev"]],
    ["/t:exec,size=64m", ["nosuid", "nodev", "exec", "size=64m"]],
    ["/t:size=1m,size=2m,mode=1777", ["noexec", "nosuid", "nodev", "size=2m", "mode=1777"]],
    ["/t:ro", ["noexec", "nosuid", "nodev", "ro"]],
    ["/t:rw,suid,dev", ["noexec", "rw", "suid", "dev"]],
  ])("tmpfs %s", (text, options) => {
    expect(planMounts(service({ tmpfs: [text] }), null)).toEqual([{ kind: "tmpfs", target: "/t", options }]);
  });

  it("know tmpfs in its long form", () => {
    expect(planMounts(service({ volumes: [{ type: "tmpfs", target: "/t", read_only: false, size: 10, mode: 0o1777 }] }), null)).toEqual([
      { kind: "tmpfs", target: "/t", options: ["noexec", "nosuid", "nodev", "size=10", "mode=1777"] },
    ]);
  });

  it("cannot cover the root, and know nothing of Windows", () => {
    expect(refusal(() => planMounts(service({ volumes: [volume("/..")] }), null))[0]).toBe("usage");
    expect(refusal(() => planMounts(service({ volumes: [volume("v:/data")] }), null))).toEqual(["usage", 'Service "web": "v:/data" is not an absolute path in the container']);
    expect(refusal(() => planMounts(service({ tmpfs: ["run:size=1m"] }), null))[0]).toBe("usage");
    expect(refusal(() => planMounts(service({ volumes: [{ type: "npipe", target: "/p", read_only: false }] }), null))[0]).toBe("unsupported");
  });

  it("pass on what is said of a bind mount", () => {
    const bind: MountInput = { type: "bind", target: "/b", source: "/s" as HostPath, read_only: true, create_host_path: false, propagation: "rslave", recursive: "readonly" };
    expect(planMounts(service({ volumes: [bind] }), null)).toEqual([
      { kind: "bind", target: "/b", source: "/s", readOnly: true, createHostPath: false, propagation: "rslave", recursive: "readonly" },
    ]);
  });
});
