import type { HostPath } from "../core/index.ts";
import type { StringMap } from "./project-units.ts";

// What services share.

export interface Network {
  /** The name it has outside the file: `NAME_KEY` unless `name` or `external`. */
  readonly name: string;
  readonly external: boolean;
  readonly driver?: string;
  readonly driver_opts: StringMap;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly enable_ipv4: boolean;
  readonly enable_ipv6: boolean;
  readonly ipam: {
    readonly driver?: string;
    readonly config: readonly {
      readonly subnet?: string;
      readonly ip_range?: string;
      readonly gateway?: string;
      readonly aux_addresses: StringMap;
    }[];
    readonly options: StringMap;
  };
  readonly labels: StringMap;
  readonly extensions: Readonly<Record<string, unknown>>;
  readonly canonical: Readonly<Record<string, unknown>>;
}

export interface Volume {
  readonly name: string;
  readonly external: boolean;
  readonly driver?: string;
  /** `local` with type, o, device: as mount(8) takes them. */
  readonly driver_opts: StringMap;
  readonly labels: StringMap;
  readonly extensions: Readonly<Record<string, unknown>>;
  readonly canonical: Readonly<Record<string, unknown>>;
}

export interface FileSource {
  /** The name it has outside the file: `NAME_KEY` unless `name` or `external`. */
  readonly name: string;
  readonly from:
    | { readonly kind: "file"; readonly path: HostPath }
    /** `value` is what the variable held when the file was loaded; absent: it was not set. */
    | { readonly kind: "environment"; readonly variable: string; readonly value?: string }
    | { readonly kind: "content"; readonly content: string }
    | { readonly kind: "external" };
  readonly labels: StringMap;
  readonly extensions: Readonly<Record<string, unknown>>;
  readonly canonical: Readonly<Record<string, unknown>>;
}

export interface Model {
  readonly name?: string;
  readonly model: string;
  readonly canonical: Readonly<Record<string, unknown>>;
}
