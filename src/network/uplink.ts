import { createHash } from "node:crypto";
import { StackError } from "../core/index.ts";
import { localPrefix6 } from "./allocate.ts";
import { formatIp, overlaps, parsePrefix } from "./ip.ts";
import type { Prefix } from "./ip.ts";

/**
 * `netns/router.json`: the one link between the host and the router of this data root, and what has to be put
 * back when it goes. Written before anything is made, removed after everything is gone.
 */
export interface Uplink {
  readonly version: 1;
  /** Of the boot that it was made in: after a restart of the machine nothing of it exists. */
  readonly bootId: string;
  /** The end on the host. */
  readonly link: string;
  /** nftables table (inet) on the host. */
  readonly table: string;
  readonly host4: string;
  readonly router4: string;
  readonly host6: string;
  readonly router6: string;
  readonly mtu: number;
  /** Sysctls that we changed on the host, with the value before: path below /proc/sys. */
  readonly changed: Readonly<Record<string, string>>;
  /** Links between which the host must not begin to forward because we switched forwarding on. */
  readonly guard: readonly string[];
}

/** Prefix lengths of the uplink's addresses. */
export const UPLINK_LENGTH = { 4: 30, 6: 64 } as const;

/** Link-local (RFC 3927): never routed, so never in the way of a pool; away from cloud metadata services (169.254.169.0/24 …). */
const FIRST = 0xa9fe4000n; // 169.254.64.0
const BLOCKS = 4096n; // of four addresses: up to 169.254.127.255

/** Names and addresses of the uplink of a data root: by its path, avoiding what the host has. */
export function uplinkFor(root: string, bootId: string, mtu: number, taken: readonly Prefix[]): Uplink {
  const hash = createHash("sha256").update(root).digest();
  const name = hash.toString("hex", 0, 5);
  const start = hash.readBigUInt64BE(8) % BLOCKS;
  const base6 = localPrefix6(root).value | (0xffffn << 64n);
  for (let step = 0n; step < BLOCKS; step += 1n) {
    const value = FIRST + ((start + step) % BLOCKS) * 4n;
    const block: Prefix = { family: 4, value, length: UPLINK_LENGTH[4] };
    // A route to all of 169.254.0.0/16 (zeroconf) is no obstacle: ours is longer.
    if (taken.some((other) => other.length > 16 && overlaps(block, other))) continue;
    return {
      version: 1,
      bootId,
      link: `stk${name}`,
      table: `stack-${name}`,
      host4: formatIp({ family: 4, value: value + 1n }),
      router4: formatIp({ family: 4, value: value + 2n }),
      host6: formatIp({ family: 6, value: base6 + 1n }),
      router6: formatIp({ family: 6, value: base6 + 2n }),
      mtu,
      changed: {},
      guard: [],
    };
  }
  throw new StackError("address-pool-exhausted", "No address is free for the link between the host and the containers' router in 169.254.64.0/18");
}

/** An uplink that is not in conflict with what the host has now. */
export function uplinkFitting(uplink: Uplink, taken: readonly Prefix[]): boolean {
  const block = parsePrefix(`${uplink.host4}/${UPLINK_LENGTH[4]}`);
  return block !== undefined && !taken.some((other) => other.length > 16 && overlaps(block, other));
}
