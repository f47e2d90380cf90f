import { StackError } from "../core/index.ts";

/** OCI image specification, image-index.md, "platform". */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** Other names of an architecture: `uname -m`'s, Debian's. */
const aliases: Readonly<Record<string, readonly [string, string?]>> = {
  x86_64: ["amd64"],
  "x86-64": ["amd64"],
  aarch64: ["arm64"],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
  i386: ["386"],
  i686: ["386"],
};

/** Node's name of this machine's processor → Go's, which registries use. */
const nodeArchitectures: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", ppc64: "ppc64le" };

export function normalisePlatform(os: string, architecture: string, variant?: string): Platform {
  const lower = architecture.toLowerCase();
  const [arch, implied] = aliases[lower] ?? [lower];
  let v = variant === undefined || variant === "" ? implied : variant.toLowerCase();
  // The variants that every such machine has are not written (containerd, platforms/database.go).
  if ((arch === "arm64" && (v === "v8" || v === "8")) || (arch === "amd64" && v === "v1")) v = undefined;
  if (arch === "arm") v = v === undefined ? "v7" : /^\d$/.test(v) ? `v${v}` : v;
  return { os: os.toLowerCase(), architecture: arch, ...(v === undefined ? {} : { variant: v }) };
}

/** `linux/arm64/v8`, `linux/amd64`, `amd64`, `linux`. Throws `usage`. */
export function parsePlatform(text: string): Platform {
  const parts = text.split("/");
  const [first = "", second, third] = parts;
  if (parts.length > 3 || parts.some((p) => !/^[A-Za-z0-9_.-]+$/.test(p)))
    throw new StackError("usage", `"${text}" is not a platform`, { hint: "Write it as OS/ARCHITECTURE[/VARIANT], for example linux/arm64." });
  if (second === undefined) {
    const host = hostPlatform();
    return first.toLowerCase() === "linux" ? host : normalisePlatform("linux", first);
  }
  return normalisePlatform(first, second, third);
}

export function formatPlatform(platform: Platform): string {
  return `${platform.os}/${platform.architecture}${platform.variant === undefined ? "" : `/${platform.variant}`}`;
}

/** This machine's. */
export function hostPlatform(arch: string = process.arch): Platform {
  return normalisePlatform("linux", nodeArchitectures[arch] ?? arch);
}

/**
 * What a machine of that platform can run, best first (containerd, `platforms.Only`): newer ARM cores run
 * older code, and amd64 runs 386.
 */
export function runnable(platform: Platform): readonly Platform[] {
  const of = (architecture: string, variant?: string): Platform => ({ os: platform.os, architecture, ...(variant === undefined ? {} : { variant }) });
  const arm = (from: number): Platform[] => Array.from({ length: from - 4 }, (_, i) => of("arm", `v${from - i}`));
  switch (platform.architecture) {
    case "amd64": {
      const level = Number(/^v([2-9])$/.exec(platform.variant ?? "")?.[1] ?? 1);
      const levels = Array.from({ length: level - 1 }, (_, i) => of("amd64", `v${level - i}`));
      return [...levels, of("amd64"), of("386")];
    }
    case "arm64":
      return [...(platform.variant === undefined ? [] : [platform]), of("arm64"), ...arm(8)];
    case "arm":
      return arm(Number(/^v([5-8])$/.exec(platform.variant ?? "")?.[1] ?? 7));
    default:
      return [platform];
  }
}

function same(a: Platform, b: Platform): boolean {
  return a.os === b.os && a.architecture === b.architecture && a.variant === b.variant;
}

/** Can an image of platform `image` be what was asked for with `wanted`? */
export function satisfies(image: Platform, wanted: Platform): boolean {
  return runnable(wanted).some((p) => same(p, image));
}

/** The best of `offers` for `wanted`; the first of equals. */
export function choosePlatform<T extends { readonly platform?: Platform }>(offers: readonly T[], wanted: Platform): T | undefined {
  for (const platform of runnable(wanted)) {
    const found = offers.find((o) => o.platform !== undefined && same(o.platform, platform));
    if (found !== undefined) return found;
  }
  return undefined;
}
