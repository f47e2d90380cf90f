import type { Diagnostic } from "./diagnostics.ts";
import type { Project } from "./project.ts";
import type { FileReader } from "./reader.ts";

/** What to load, as the command line has it. */
export interface LoadRequest {
  /** `-f`, in order; `-` is standard input. Empty or absent: COMPOSE_FILE, else searched from `cwd` upwards. */
  readonly files?: readonly string[];
  /** `--project-directory`. */
  readonly projectDirectory?: string;
  /** `-p`. */
  readonly projectName?: string;
  /** `--env-file`, in order; they replace `.env`. */
  readonly envFiles?: readonly string[];
  /** `--profile`; absent or empty: COMPOSE_PROFILES. */
  readonly profiles?: readonly string[];
  /** Services that the user named: their profiles become active. */
  readonly services?: readonly string[];
  /** The process environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute. */
  readonly cwd: string;
  /** Reads standard input; asked at most once, and only where `-` is among the files. */
  readonly stdin?: () => Promise<string>;
  /** Absent: this machine's files. */
  readonly reader?: FileReader;
  /** Warn of attributes that will not be carried out as written: for commands that carry out, and those that judge. */
  readonly support?: boolean;
  /**
   * For commands that make no container: what only the making of one would fail at (`start-rules.ts`) is a warning, as
   * Docker Compose says nothing of it either.
   */
  readonly tolerant?: boolean;
  /** False: the project is not frozen, which takes as long as to make it. */
  readonly frozen?: boolean;
  /** `stack config --no-…`: phases to leave out. */
  readonly skip?: {
    readonly interpolation?: boolean;
    readonly normalization?: boolean;
    readonly pathResolution?: boolean;
    readonly consistency?: boolean;
    /** Leaves `env_file` unread and variables without value unresolved. */
    readonly envResolution?: boolean;
  };
}

export type LoadResult =
  | {
      readonly ok: true;
      readonly project: Project;
      /** Warnings. */
      readonly diagnostics: readonly Diagnostic[];
      /** Every variable that interpolation could use: process environment and environment files. */
      readonly environment: ReadonlyMap<string, string>;
      readonly variables: readonly Variable[];
    }
  /** Sorted by place; at least one error. `files`: what was read. */
  | { readonly ok: false; readonly diagnostics: readonly Diagnostic[]; readonly files: readonly string[] };

export type ModelResult =
  | { readonly ok: true; readonly model: Readonly<Record<string, unknown>>; readonly diagnostics: readonly Diagnostic[] }
  | Extract<LoadResult, { readonly ok: false }>;

/** A variable that the stack files name (`stack config --variables`). */
export interface Variable {
  readonly name: string;
  readonly required: boolean;
  readonly defaultValue: string;
  /** The word after `+`. */
  readonly alternateValue: string;
}
