import { child, childItems, childString, stringOf } from "../tree.ts";
import type { LintRule } from "./rule.ts";

/** What takes the walls of the container away. */
export const isolationRules: readonly LintRule[] = [
  {
    id: "privileged",
    level: "warning",
    summary: "privileged: true",
    why: "Whoever takes over the process has the machine: all devices, all capabilities, no filter.",
    bad: "services:\n  app:\n    image: ghcr.io/example/app:1\n    privileged: true\n",
    good: "services:\n  app:\n    image: ghcr.io/example/app:1\n    cap_add: [NET_ADMIN]\n",
    check: (input, tell) => {
      for (const { name, node } of input.services) {
        const flag = node.entries.get("privileged");
        if (flag?.kind === "scalar" && flag.value === true)
          tell(flag, { message: `Service "${name}" is root on the machine itself`, hint: "Name what it needs: `cap_add`, `devices`, `sysctls`." });
      }
    },
  },
  {
    id: "dangerous-capability",
    level: "warning",
    summary: "cap_add of ALL, SYS_ADMIN, SYS_MODULE, SYS_PTRACE with the host's processes, or a switched-off filter",
    why: "These are ways out of the container, each on its own.",
    bad: "services:\n  app:\n    image: ghcr.io/example/app:1\n    cap_add: [SYS_ADMIN]\n",
    good: "services:\n  app:\n    image: ghcr.io/example/app:1\n    cap_add: [NET_BIND_SERVICE]\n",
    check: (input, tell) => {
      for (const { name, node } of input.services) {
        for (const item of childItems(node, "cap_add")) {
          const capability = (stringOf(item) ?? "").toUpperCase().replace(/^CAP_/, "");
          const ptrace = capability === "SYS_PTRACE" && childString(node, "pid") === "host";
          if (["ALL", "SYS_ADMIN", "SYS_MODULE"].includes(capability) || ptrace)
            tell(item, { message: `Service "${name}": the capability ${capability} leads out of the container`, hint: "Find the narrower one that the program needs." });
        }
        for (const item of childItems(node, "security_opt"))
          if (/^(?:seccomp|apparmor)[:=]unconfined$/.test(stringOf(item) ?? ""))
            tell(item, { message: `Service "${name}" runs without the filter that ${stringOf(item) ?? ""} switches off`, hint: "Give it a profile that allows what it needs." });
      }
    },
  },
  {
    id: "docker-socket",
    level: "warning",
    summary: "the socket of a container engine mounted into a container",
    why: "Whoever can write to it can start a privileged container, and so is root on the machine; a read-only mount changes nothing about that.",
    bad: "services:\n  proxy:\n    image: traefik:3.2\n    volumes:\n      - /var/run/docker.sock:/var/run/docker.sock:ro\n",
    good: "services:\n  proxy:\n    image: traefik:3.2\n    volumes:\n      - ./dynamic:/etc/traefik/dynamic:ro\n",
    check: (input, tell) => {
      for (const { name, node } of input.services)
        for (const mount of childItems(node, "volumes"))
          if (/(?:^|\/)(?:docker|podman|containerd|crio)\.sock$/.test(childString(mount, "source") ?? ""))
            tell(mount, { message: `Service "${name}" can do with the machine what it likes through ${childString(mount, "source") ?? ""}`, hint: "Put a proxy with a list of allowed calls in between, or do without." });
    },
  },
  {
    id: "host-namespace",
    level: "warning",
    summary: "network_mode, pid, ipc or userns_mode of the host",
    why: "The container sees the machine's own network, processes or memory, and nothing keeps it from them.",
    bad: "services:\n  agent:\n    image: ghcr.io/example/agent:1\n    pid: host\n",
    good: "services:\n  agent:\n    image: ghcr.io/example/agent:1\n",
    check: (input, tell) => {
      for (const { name, node } of input.services)
        for (const [key, what] of [
          ["network_mode", "network: every port that it opens is open on the machine, and services do not find it by name"],
          ["pid", "processes, and may see their environment"],
          ["ipc", "shared memory"],
          ["userns_mode", "user ids"],
        ] as const) {
          const at = node.entries.get(key);
          if (at !== undefined && stringOf(at) === "host") tell(at, { message: `Service "${name}" shares the machine's ${what}`, hint: `Remove \`${key}\` unless the program is about exactly that.` });
        }
    },
  },
  {
    id: "system-mount",
    level: "warning",
    summary: "a directory of the system mounted for writing",
    why: "A write to /, /etc, /usr, /proc, /sys, /dev or /boot from a container changes the machine.",
    bad: "services:\n  backup:\n    image: ghcr.io/example/backup:1\n    volumes: [/etc:/host/etc]\n",
    good: "services:\n  backup:\n    image: ghcr.io/example/backup:1\n    volumes: [/etc:/host/etc:ro]\n",
    check: (input, tell) => {
      for (const { name, node } of input.services)
        for (const mount of childItems(node, "volumes")) {
          const source = childString(mount, "source") ?? "";
          const readOnly = child(mount, "read_only");
          if (childString(mount, "type") !== "bind" || !SYSTEM.has(source.length > 1 ? source.replace(/\/+$/, "") : source)) continue;
          if (readOnly?.kind === "scalar" && readOnly.value === true) continue;
          tell(mount, { message: `Service "${name}" can change ${source} of the machine`, hint: "Add :ro, or mount the one directory that it needs." });
        }
    },
  },
];

const SYSTEM = new Set(["/", "/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/sbin", "/sys", "/usr", "/var/lib/docker"]);
