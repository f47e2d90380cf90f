import { describe, expect, it } from "vitest";
import { allCapabilities, capabilitySet, defaultCapabilities } from "./capabilities.ts";
import { refusal } from "./fixtures.ts";
import { ownCapabilities } from "./host.ts";

const set = (add: readonly string[], drop: readonly string[] = [], privileged = false, available = allCapabilities): readonly string[] =>
  capabilitySet({ name: "web", cap_add: add, cap_drop: drop, privileged }, available);

describe("capabilities", () => {
  it("are Docker's 14 by default", () => {
    expect(set([])).toHaveLength(14);
    expect(new Set(set([]))).toEqual(new Set(defaultCapabilities));
  });
  it("are added and dropped by any spelling of their names", () => {
    expect(set(["net_admin"], ["CAP_CHOWN", "mknod"])).toEqual(expect.arrayContaining(["CAP_NET_ADMIN"]));
    expect(set(["net_admin"], ["CAP_CHOWN", "mknod"])).not.toEqual(expect.arrayContaining(["CAP_CHOWN"]));
  });
  it("ALL: dropped leaves what is added, added leaves what is not dropped", () => {
    expect(set(["NET_BIND_SERVICE"], ["ALL"])).toEqual(["CAP_NET_BIND_SERVICE"]);
    expect(set([], ["all"])).toEqual([]);
    expect(set(["ALL"], ["SYS_ADMIN"])).toEqual(allCapabilities.filter((cap) => cap !== "CAP_SYS_ADMIN"));
    expect(set(["ALL", "SYS_ADMIN"], ["SYS_ADMIN"])).not.toContain("CAP_SYS_ADMIN");
  });
  it("are all with privileged, whatever is dropped", () => {
    expect(set([], ["ALL"], true)).toEqual(allCapabilities);
  });
  it("are never more than this process has: less by default, an error where one was asked for", () => {
    const few = ["CAP_CHOWN", "CAP_KILL"];
    expect(set([], [], false, few)).toEqual(few);
    expect(set(["ALL"], [], false, few)).toEqual(few);
    expect(refusal(() => set(["SYS_ADMIN"], [], false, few))[0]).toBe("permission-denied");
    expect(refusal(() => set(["FLY"]))).toEqual(["usage", 'Service "web": cap_add: there is no capability "FLY"']);
  });
  it("of this process are read from its status", () => {
    expect(ownCapabilities("CapPrm:\t0000000000000003\nCapEff:\t0000010000000021\n")).toEqual(["CAP_CHOWN", "CAP_KILL", "CAP_CHECKPOINT_RESTORE"]);
  });
});
