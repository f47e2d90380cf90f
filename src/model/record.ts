import { parseDuration } from "./units.ts";

/** Typed reading of decoded data. The decoder has checked it: a member is there in the right type, or absent. */
export type Data = Readonly<Record<string, unknown>>;

export function data(value: unknown): Data | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Data) : undefined;
}

export function text(from: Data | undefined, key: string): string | undefined {
  const value = from?.[key];
  return typeof value === "string" ? value : undefined;
}

export function number(from: Data | undefined, key: string): number | undefined {
  const value = from?.[key];
  return typeof value === "number" ? value : undefined;
}

/** Absent is false. */
export function flag(from: Data | undefined, key: string): boolean {
  return from?.[key] === true;
}

export function optionalFlag(from: Data | undefined, key: string): boolean | undefined {
  const value = from?.[key];
  return typeof value === "boolean" ? value : undefined;
}

/** Absent is empty. */
export function texts(from: Data | undefined, key: string): readonly string[] {
  const value = from?.[key];
  return Array.isArray(value) ? (value as string[]) : [];
}

export function items(from: Data | undefined, key: string): readonly Data[] {
  const value = from?.[key];
  return Array.isArray(value) ? (value as Data[]) : [];
}

export function strings(from: Data | undefined, key: string): Readonly<Record<string, string>> {
  return (data(from?.[key]) ?? {}) as Readonly<Record<string, string>>;
}

export function variables(from: Data | undefined, key: string): Readonly<Record<string, string | null>> {
  return (data(from?.[key]) ?? {}) as Readonly<Record<string, string | null>>;
}

/** Bytes are kept as digits. */
export function bytes(from: Data | undefined, key: string): number | undefined {
  const value = text(from, key);
  return value === undefined ? undefined : Number(value);
}

/** Milliseconds out of a duration's text. */
export function milliseconds(from: Data | undefined, key: string): number | undefined {
  const value = text(from, key);
  const nanoseconds = value === undefined ? undefined : parseDuration(value);
  return nanoseconds === undefined ? undefined : nanoseconds / 1e6;
}

/** `x-*` members. */
export function extensions(from: Data | undefined, without?: string): Data {
  return Object.fromEntries(Object.entries(from ?? {}).filter(([key]) => key.startsWith("x-") && key !== without));
}

/** Members that may be undefined on the way; `clean` leaves those out. */
export type Loose<T> = { readonly [K in keyof T]: T[K] | undefined };

export function clean<T extends object>(object: Loose<T>): T {
  const result: Record<string, unknown> = {};
  for (const key of Object.keys(object) as (keyof T & string)[]) {
    const value = object[key];
    if (value !== undefined) result[key] = value;
  }
  return result as T;
}
