import { describe, expect, it } from "vitest";
import { refusal } from "./fixtures.ts";
import { compileSeccomp, parseSeccompProfile } from "./seccomp.ts";
import { defaultSeccompProfile } from "./seccomp-default.ts";
import type { OciSeccomp } from "./oci.ts";

const facts = { arch: "amd64", kernel: [6, 18] as const, capabilities: ["CAP_CHOWN", "CAP_SYS_CHROOT"] };

/** What the kernel would do: `ALLOW`, or the error number. */
function verdict(policy: OciSeccomp, name: string, args: readonly number[] = []): string | number {
  for (const rule of policy.syscalls) {
    if (!rule.names.includes(name)) continue;
    const holds = (rule.args ?? []).every(({ index, value, valueTwo = 0, op }) => {
      const given = args[index] ?? 0;
      switch (op) {
        case "SCMP_CMP_EQ":
          return given === value;
        case "SCMP_CMP_NE":
          return given !== value;
        case "SCMP_CMP_LT":
          return given < value;
        case "SCMP_CMP_MASKED_EQ":
          return Number(BigInt(given) & BigInt(value)) === valueTwo;
        default:
          throw new Error(`operator ${op}`);
      }
    });
    if (holds) return rule.action === "SCMP_ACT_ALLOW" ? "ALLOW" : (rule.errnoRet ?? -1);
  }
  return policy.defaultErrnoRet ?? -1;
}

describe("the default seccomp policy", () => {
  const policy = compileSeccomp(defaultSeccompProfile, facts);
  const admin = compileSeccomp(defaultSeccompProfile, { ...facts, capabilities: ["CAP_SYS_ADMIN"] });

  it("allows 361 calls to everybody, each named once", () => {
    const names = defaultSeccompProfile.syscalls[0]!.names!;
    expect(names.length).toBe(361);
    expect(new Set(names).size).toBe(361);
  });

  it.each([
    ["openat", [], "ALLOW"],
    ["ptrace", [], "ALLOW"],
    ["chroot", [], "ALLOW"], // for its capability
    ["socket", [2], "ALLOW"],
    ["socket", [10], "ALLOW"],
    ["socket", [16], "ALLOW"],
    ["socket", [38], 1], // AF_ALG
    ["socket", [40], 1], // AF_VSOCK
    ["socket", [12], 1], // AF_DECnet
    ["personality", [0x20000], "ALLOW"],
    ["personality", [0x40000], 1], // ADDR_NO_RANDOMIZE
    ["clone", [0x01200011], "ALLOW"], // fork
    ["clone", [0x10000000], 1], // a new user namespace
    ["clone3", [], 38],
    ["unshare", [], 1],
    ["mount", [], 1],
    ["keyctl", [], 1],
    ["bpf", [], 1],
    ["io_uring_setup", [], 1],
    ["kexec_load", [], 1],
    ["arch_prctl", [], "ALLOW"],
    ["arm_fadvise64_64", [], 1],
    ["reboot", [], 1],
    ["nonsense_of_2030", [], 1],
  ] as const)("%s %j → %s", (name, args, expected) => {
    expect(verdict(policy, name, args)).toBe(expected);
  });

  it("gives CAP_SYS_ADMIN what it needs", () => {
    for (const name of ["mount", "clone3", "unshare", "setns", "bpf", "fsopen"]) expect(verdict(admin, name, [0x10000000])).toBe("ALLOW");
    expect(verdict(admin, "clone", [0x10000000])).toBe("ALLOW");
    expect(verdict(admin, "chroot")).toBe(1);
  });

  it("looks at clone's second argument on s390, and knows each architecture's own calls", () => {
    const s390 = compileSeccomp(defaultSeccompProfile, { ...facts, arch: "s390x" });
    expect(verdict(s390, "clone", [0x10000000, 0])).toBe("ALLOW");
    expect(verdict(s390, "clone", [0, 0x10000000])).toBe(1);
    expect(s390.architectures).toEqual(["SCMP_ARCH_S390X", "SCMP_ARCH_S390"]);
    expect(policy.architectures).toEqual(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    expect(verdict(compileSeccomp(defaultSeccompProfile, { ...facts, arch: "arm64" }), "cacheflush")).toBe("ALLOW");
  });

  it("closes ptrace before Linux 4.8", () => {
    expect(verdict(compileSeccomp(defaultSeccompProfile, { ...facts, kernel: [4, 7] }), "ptrace")).toBe(1);
    expect(verdict(compileSeccomp(defaultSeccompProfile, { ...facts, kernel: [4, 10] }), "ptrace")).toBe("ALLOW");
  });
});

describe("a profile of the user's", () => {
  it("is read in Docker's and in OCI's form", () => {
    const text = JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"], syscalls: [{ name: "mkdir", action: "SCMP_ACT_ERRNO" }, { names: ["rmdir"], action: "SCMP_ACT_KILL", excludes: { caps: ["CAP_CHOWN"] } }] });
    expect(compileSeccomp(parseSeccompProfile(text, "p"), facts)).toEqual({
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO" }],
    });
  });
  it.each([
    ["{", "not JSON"],
    ["[]", "not an object"],
    ["{}", "`defaultAction` is missing"],
    ['{"defaultAction":"x","syscalls":[{}]}', "syscalls[0]: `action` is missing"],
    ['{"defaultAction":"x","syscalls":[{"action":"y"}]}', "syscalls[0]: `names` is missing"],
    ['{"defaultAction":"x","architectures":["a"],"archMap":[{}],"syscalls":[]}', "`architectures` and `archMap` exclude each other"],
  ])("%s is refused: %s", (text, why) => {
    expect(refusal(() => parseSeccompProfile(text, "p.json"))).toEqual(["usage", `Seccomp profile p.json: ${why}`]);
  });
});
