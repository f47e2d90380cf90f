/** Brands for strings that must not be mixed up. Only the parsers in this file make them. */
declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** 64 lower-case hexadecimal digits, random. The first 12 are what people see. */
export type ContainerId = Brand<string, "ContainerId">;
/** `sha256:` and 64 lower-case hexadecimal digits (OCI image specification, descriptor.md). */
export type Digest = Brand<string, "Digest">;
export type ServiceName = Brand<string, "ServiceName">;
export type ProjectName = Brand<string, "ProjectName">;
/** An absolute path on the host. */
export type HostPath = Brand<string, "HostPath">;
/** An absolute path inside a container. */
export type ContainerPath = Brand<string, "ContainerPath">;

export function parseContainerId(text: string): ContainerId | undefined {
  return /^[0-9a-f]{64}$/.test(text) ? (text as ContainerId) : undefined;
}

export function parseDigest(text: string): Digest | undefined {
  return /^sha256:[0-9a-f]{64}$/.test(text) ? (text as Digest) : undefined;
}

/** Compose Specification, "services": `[a-zA-Z0-9._-]+`. */
export function parseServiceName(text: string): ServiceName | undefined {
  return /^[a-zA-Z0-9._-]+$/.test(text) ? (text as ServiceName) : undefined;
}

/** Compose Specification, "name": `[a-z0-9][a-z0-9_-]*`. */
export function parseProjectName(text: string): ProjectName | undefined {
  return /^[a-z0-9][a-z0-9_-]*$/.test(text) ? (text as ProjectName) : undefined;
}

export function parseHostPath(text: string): HostPath | undefined {
  return text.startsWith("/") && !text.includes("\0") ? (text as HostPath) : undefined;
}

export function parseContainerPath(text: string): ContainerPath | undefined {
  return text.startsWith("/") && !text.includes("\0") ? (text as ContainerPath) : undefined;
}

/** The twelve digits that people see. */
export function shortId(id: ContainerId | Digest): string {
  const hex = id.startsWith("sha256:") ? id.slice(7) : id;
  return hex.slice(0, 12);
}
