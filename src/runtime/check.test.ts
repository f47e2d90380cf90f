import { describe, expect, it } from "vitest";
import { checkService } from "./check.ts";
import { refusal, service } from "./fixtures.ts";
import type { ServiceInput } from "./input.ts";

describe("before anything is made", () => {
  it.each<[string, Partial<ServiceInput>]>([
    ["an unknown capability", { cap_add: ["FLY"] }],
    ["an unknown signal", { stop_signal: "SIGFLY" }],
    ["an unknown security option", { security_opt: ["magic"] }],
    ["an unknown limit", { ulimits: { files: { soft: 1, hard: 1 } } }],
    ["limits that contradict each other", { limits: { mem_limit: 10, memswap_limit: 5 } }],
    ["a target that is no path", { tmpfs: ["run"] }],
    ["a device rule that is none", { device_cgroup_rules: ["x"] }],
    ["a log size that is none", { logging: { options: { "max-size": "lots" } } }],
    ["a host's sysctl", { network_mode: "host", sysctls: { "net.a": "1" } }],
    ["what we cannot do", { gpus: "all" }],
  ])("%s is refused", (_, members) => {
    expect(refusal(() => checkService(service(members)))[0]).toMatch(/^(usage|unsupported)$/);
  });

  it("nothing is that depends on the machine or the image", () => {
    checkService(
      service({
        devices: [{ source: "/dev/none", target: "/dev/none", permissions: "r" }],
        blkio_config: { weight_device: [{ path: "/dev/none", weight: 10 }], device_read_bps: [], device_read_iops: [], device_write_bps: [], device_write_iops: [] },
        security_opt: ["apparmor=mine", "seccomp=/profile.json", "label=type:x"],
        cap_add: ["ALL"],
        privileged: true,
      }),
    );
  });
});
