import type { NativeBinding } from "../../native/index.ts";
import type { Dns } from "../types.ts";
export function openDns(_options: { readonly native: NativeBinding; readonly signal: AbortSignal }): Dns {
  throw new Error("not yet");
}
