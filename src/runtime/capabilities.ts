import { StackError } from "../core/index.ts";

/** capability(7), in the kernel's order (0 … 40). */
export const allCapabilities: readonly string[] = [
  "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
  "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
  "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
];

/** Docker's 14. */
export const defaultCapabilities: readonly string[] = [
  "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
  "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
];

/** `NET_ADMIN`, `cap_net_admin` → `CAP_NET_ADMIN`; `ALL` stays. */
function normalise(name: string, key: string, service: string): string {
  const upper = name.toUpperCase();
  if (upper === "ALL") return upper;
  const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (!allCapabilities.includes(full))
    throw new StackError("usage", `Service "${service}": ${key}: there is no capability "${name}"`, {
      hint: "See capabilities(7) for the names, for example NET_ADMIN.",
    });
  return full;
}

/**
 * The bounding set. Docker's rules: `privileged` gives all and ignores `cap_drop`; `cap_add: ALL` gives all but
 * those dropped by name; `cap_drop: ALL` leaves those added by name. In the kernel's order.
 * What this machine cannot give is left out of the defaults, and refused where it was asked for by name.
 */
export function capabilitySet(
  service: { readonly name: string; readonly privileged: boolean; readonly cap_add: readonly string[]; readonly cap_drop: readonly string[] },
  available: readonly string[],
): readonly string[] {
  const add = new Set(service.cap_add.map((name) => normalise(name, "cap_add", service.name)));
  const drop = new Set(service.cap_drop.map((name) => normalise(name, "cap_drop", service.name)));
  if (service.privileged) return allCapabilities.filter((cap) => available.includes(cap));
  for (const cap of add) {
    if (cap !== "ALL" && !available.includes(cap))
      throw new StackError("permission-denied", `Service "${service.name}": cap_add: ${cap} is not ours to give: this process does not have it`, {
        hint: "Run stack with that capability, or leave it out.",
      });
  }
  const base = add.has("ALL") ? allCapabilities : drop.has("ALL") ? [] : defaultCapabilities;
  const named = add.has("ALL") ? [] : [...add];
  const wanted = new Set([...base.filter((cap) => !drop.has(cap)), ...named]);
  return allCapabilities.filter((cap) => wanted.has(cap) && available.includes(cap));
}
