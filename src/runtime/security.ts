import { StackError } from "../core/index.ts";
import type { ServiceInput } from "./input.ts";

/** `security_opt`, taken apart. */
export interface SecurityOptions {
  readonly noNewPrivileges: boolean;
  readonly seccomp: { readonly kind: "default" } | { readonly kind: "unconfined" } | { readonly kind: "file"; readonly path: string };
  /** Absent: the machine's default profile, if it has one. */
  readonly apparmor?: string;
  /** SELinux: user, role, type, level; `disable`. */
  readonly label: readonly string[];
  /** `systempaths=unconfined`: nothing masked or read-only. */
  readonly systemPathsUnconfined: boolean;
}

/** Both `key:value` (old) and `key=value`. */
export function parseSecurityOptions(service: Pick<ServiceInput, "name" | "security_opt" | "privileged">): SecurityOptions {
  let noNewPrivileges = false;
  let seccomp: SecurityOptions["seccomp"] = service.privileged ? { kind: "unconfined" } : { kind: "default" };
  let apparmor: string | undefined;
  let systemPathsUnconfined = service.privileged;
  const label: string[] = [];
  for (const option of service.security_opt) {
    const match = /^([a-z-]+)(?:[:=](.*))?$/s.exec(option);
    const key = match?.[1] ?? "";
    const value = match?.[2];
    if (key === "no-new-privileges" && (value === undefined || value === "true" || value === "false")) noNewPrivileges = value !== "false";
    else if (key === "seccomp" && value !== undefined && value !== "")
      seccomp = value === "unconfined" ? { kind: "unconfined" } : value === "builtin" ? { kind: "default" } : { kind: "file", path: value };
    else if (key === "apparmor" && value !== undefined && value !== "") apparmor = value;
    else if (key === "label" && value !== undefined) label.push(value);
    else if (key === "systempaths" && value === "unconfined") systemPathsUnconfined = true;
    else if (key === "writable-cgroups") refuse(service.name, option, "is not supported: the container's cgroups are read-only");
    else refuse(service.name, option, "is not known");
  }
  return { noNewPrivileges, seccomp, label, systemPathsUnconfined, ...(apparmor === undefined ? {} : { apparmor }) };
}

function refuse(service: string, option: string, why: string): never {
  throw new StackError("unsupported", `Service "${service}": security_opt: "${option}" ${why}`, {
    hint: "Known are no-new-privileges, seccomp=unconfined|FILE, apparmor=PROFILE, label=… and systempaths=unconfined.",
  });
}
