import { StackError } from "../core/index.ts";
import type { OciSeccomp, OciSyscall } from "./oci.ts";

/** A profile as Docker's `--security-opt seccomp=FILE` takes it: OCI's, with conditions. */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly archMap?: readonly { readonly architecture: string; readonly subArchitectures?: readonly string[] | null }[];
  readonly flags?: readonly string[];
  readonly listenerPath?: string;
  readonly listenerMetadata?: string;
  readonly syscalls: readonly SeccompRule[];
}

export interface SeccompRule extends Partial<Omit<OciSyscall, "action">> {
  /** Older profiles name one call. */
  readonly name?: string;
  readonly action: string;
  /** Holds only where all of these do. */
  readonly includes?: SeccompCondition;
  /** Does not hold where any of these does. */
  readonly excludes?: SeccompCondition;
}

export interface SeccompCondition {
  readonly arches?: readonly string[];
  readonly caps?: readonly string[];
  /** `4.8` */
  readonly minKernel?: string;
}

export interface SeccompFacts {
  /** Go's word: `amd64`. */
  readonly arch: string;
  readonly kernel: readonly [number, number];
  /** Bounding set of the container. */
  readonly capabilities: readonly string[];
}

const nativeArchitecture: Readonly<Record<string, string>> = {
  amd64: "SCMP_ARCH_X86_64",
  "386": "SCMP_ARCH_X86",
  arm64: "SCMP_ARCH_AARCH64",
  arm: "SCMP_ARCH_ARM",
  riscv64: "SCMP_ARCH_RISCV64",
  ppc64le: "SCMP_ARCH_PPC64LE",
  s390x: "SCMP_ARCH_S390X",
  loong64: "SCMP_ARCH_LOONGARCH64",
  mips64: "SCMP_ARCH_MIPS64",
  mips64le: "SCMP_ARCH_MIPSEL64",
};

/** The profile for one container: conditions decided, ready for `linux.seccomp`. Pure. */
export function compileSeccomp(profile: SeccompProfile, facts: SeccompFacts): OciSeccomp {
  const syscalls = profile.syscalls.filter((rule) => applies(rule, facts)).map(toSyscall);
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: architectures(profile, facts.arch),
    ...(profile.flags === undefined ? {} : { flags: profile.flags }),
    ...(profile.listenerPath === undefined ? {} : { listenerPath: profile.listenerPath }),
    ...(profile.listenerMetadata === undefined ? {} : { listenerMetadata: profile.listenerMetadata }),
    syscalls,
  };
}

function architectures(profile: SeccompProfile, arch: string): readonly string[] {
  if (profile.archMap === undefined || profile.archMap.length === 0) return profile.architectures ?? [];
  const native = nativeArchitecture[arch];
  const entry = profile.archMap.find((candidate) => candidate.architecture === native);
  return entry === undefined ? [] : [entry.architecture, ...(entry.subArchitectures ?? [])];
}

function applies(rule: SeccompRule, facts: SeccompFacts): boolean {
  const { excludes, includes } = rule;
  if (excludes?.arches?.includes(facts.arch) === true) return false;
  if (excludes?.caps?.some((cap) => facts.capabilities.includes(cap)) === true) return false;
  if (excludes?.minKernel !== undefined && kernelAtLeast(facts.kernel, excludes.minKernel)) return false;
  if (includes?.arches !== undefined && includes.arches.length > 0 && !includes.arches.includes(facts.arch)) return false;
  if (includes?.caps?.every((cap) => facts.capabilities.includes(cap)) === false) return false;
  return includes?.minKernel === undefined || kernelAtLeast(facts.kernel, includes.minKernel);
}

function kernelAtLeast([major, minor]: readonly [number, number], text: string): boolean {
  const [wantedMajor = 0, wantedMinor = 0] = text.split(".").map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

function toSyscall(rule: SeccompRule): OciSyscall {
  const names = rule.names !== undefined && rule.names.length > 0 ? rule.names : rule.name === undefined ? [] : [rule.name];
  return {
    names,
    action: rule.action,
    ...(rule.errnoRet === undefined ? {} : { errnoRet: rule.errnoRet }),
    ...(rule.args === undefined || rule.args.length === 0 ? {} : { args: rule.args }),
  };
}

/** Checks the shape of a profile that a user wrote. `where` is its path, for the message. */
export function parseSeccompProfile(text: string, where: string): SeccompProfile {
  const fail = (why: string, cause?: unknown): never => {
    throw new StackError("usage", `Seccomp profile ${where}: ${why}`, {
      hint: "It must be a profile as Docker and the OCI runtime specification have it.",
      ...(cause === undefined ? {} : { cause }),
    });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return fail("not JSON", error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fail("not an object");
  const profile = value as Record<string, unknown>;
  if (typeof profile["defaultAction"] !== "string") return fail("`defaultAction` is missing");
  const rules = profile["syscalls"] ?? [];
  if (!Array.isArray(rules)) return fail("`syscalls` is not a list");
  for (const [index, rule] of (rules as unknown[]).entries()) {
    const why = ruleFault(rule);
    if (why !== undefined) return fail(`syscalls[${index}]: ${why}`);
  }
  if (Array.isArray(profile["architectures"]) && profile["architectures"].length > 0 && Array.isArray(profile["archMap"]) && profile["archMap"].length > 0)
    return fail("`architectures` and `archMap` exclude each other");
  return { ...(value as SeccompProfile), syscalls: rules as SeccompRule[] };
}

function ruleFault(rule: unknown): string | undefined {
  if (typeof rule !== "object" || rule === null) return "not an object";
  const { action, name, names } = rule as Record<string, unknown>;
  if (typeof action !== "string") return "`action` is missing";
  if (name !== undefined && name !== "" && Array.isArray(names) && names.length > 0) return "`name` and `names` exclude each other";
  const listed = Array.isArray(names) && names.every((n) => typeof n === "string") && names.length > 0;
  if (!listed && (typeof name !== "string" || name === "")) return "`names` is missing";
  return undefined;
}
