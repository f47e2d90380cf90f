import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { expect } from "vitest";
import { service } from "./scene.ts";
import type { Scene } from "./scene.ts";

const SLEEP = "[sleep, '100000']";

/** What a process is given, and what it may do. */
export const process: Scene = {
  title: "process and rights",
  files: {
    "web.env": "FROM_FILE=file\nBOTH=file\n",
    "raw.env": "RAW='kept $X'\n",
    "some.labels": "from.file=yes\n",
    "only.json": JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }] }),
    "compose.yaml": `services:
  web:
    image: debian:bookworm-slim
    container_name: chosen
    entrypoint: [/bin/sh, -c, 'exec sleep "$$1"', called]
    command: ["4242"]
    working_dir: /var/made/here
    user: daemon:mail
    group_add: [audio, "4243"]
    hostname: alone
    domainname: example.test
    environment: {DIRECT: one, BOTH: direct}
    env_file:
      - web.env
      - {path: raw.env, format: raw}
      - {path: not-there.env, required: false}
    labels: {team: red}
    label_file: [some.labels]
    annotations: {org.example.note: kept}
    sysctls: {net.core.somaxconn: "333", kernel.msgmax: "9000"}
    cap_drop: [ALL]
    cap_add: [CHOWN, NET_BIND_SERVICE]
    read_only: true
    init: true
    tty: true
    stdin_open: true
    security_opt: ["no-new-privileges:true", "seccomp=./only.json"]
    oom_score_adj: 333
    ulimits: {nofile: {soft: 100, hard: 200}, nproc: 321}
    stop_signal: SIGUSR1
    stop_grace_period: 3s
  bare:
    image: debian:bookworm-slim
    init: false
    command: ${SLEEP}
    privileged: true
    cgroup: host
    cgroup_parent: attributes-test
    ipc: host
    pid: host
    uts: host
    userns_mode: host
  donor:
    image: debian:bookworm-slim
    command: ${SLEEP}
    ipc: shareable
    devices: ["/dev/fuse:/dev/other:r"]
    device_cgroup_rules: ["c 10:237 rw"]
  guest:
    image: debian:bookworm-slim
    command: ${SLEEP}
    ipc: service:donor
    pid: service:donor
  foreign:
    image: debian:bookworm-slim
    command: ${SLEEP}
    runtime: runc
`,
  },
  checks: [
    { of: service("container_name"), seen: "the container's name", look: (w) => expect(w.container("web").record.name).toBe("chosen") },
    {
      of: service("command", "entrypoint"),
      seen: "the arguments of the process",
      look: (w) => {
        expect(readFileSync(`/proc/${w.main("web")}/cmdline`, "utf8")).toBe("sleep\x004242\x00");
        expect(w.config("web").process.args).toEqual(["/bin/sh", "-c", 'exec sleep "$1"', "called", "4242"]);
      },
    },
    { of: service("image"), seen: "the image's files", look: (w) => expect(w.read("web", "/etc/debian_version")).toMatch(/^12/) },
    {
      of: service("working_dir"),
      seen: "the directory of the process, made where it is missing",
      look: (w) => expect(readlinkSync(`/proc/${w.main("web")}/cwd`)).toBe("/var/made/here"),
    },
    {
      of: service("user", "group_add"),
      seen: "ids of the process, resolved in the image",
      look: (w) => {
        expect(w.status("web", "Uid")).toBe("1 1 1 1");
        expect(w.status("web", "Gid")).toBe("8 8 8 8");
        expect(w.status("web", "Groups").split(" ")).toEqual(expect.arrayContaining(["29", "4243"]));
      },
    },
    {
      of: service("hostname", "domainname"),
      seen: "uname, /etc/hosts",
      look: async (w) => {
        expect(w.read("web", "/etc/hostname")).toBe("alone\n");
        expect(w.read("web", "/etc/hosts")).toMatch(/\talone\.example\.test alone$/m);
        expect(await w.run("web", "hostname; cat /proc/sys/kernel/domainname")).toBe("alone\nexample.test");
      },
    },
    {
      of: service("environment", "env_file", "env_file.[].path", "env_file.[].format", "env_file.[].required"),
      seen: "the environment of the process; `environment` wins over files, `raw` keeps quotes, a missing optional file is none",
      look: (w) => expect(w.environment("web")).toMatchObject({ DIRECT: "one", BOTH: "direct", FROM_FILE: "file", RAW: "'kept $X'" }),
    },
    {
      of: service("labels", "label_file"),
      seen: "labels that `ps` shows and filters by",
      look: async (w) => {
        const [row] = await w.machine.json<{ readonly Labels: string }>("ps", "web");
        expect(row?.Labels).toContain("team=red");
        expect(row?.Labels).toContain("from.file=yes");
      },
    },
    {
      of: service("annotations"),
      seen: "annotations of the OCI configuration that the runtime executes",
      look: (w) => expect(w.config("web").annotations).toMatchObject({ "org.example.note": "kept" }),
    },
    {
      of: service("sysctls"),
      seen: "/proc/sys of the container",
      look: async (w) => expect(await w.run("web", "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax")).toBe("333\n9000"),
    },
    {
      of: service("cap_add", "cap_drop"),
      seen: "the bounding set of the process",
      look: (w) => expect(w.status("web", "CapBnd")).toBe((0x401).toString(16).padStart(16, "0")),
    },
    {
      of: service("read_only"),
      seen: "options of the root mount",
      look: (w) => {
        expect(w.mount("web", "/").options).toContain("ro");
        expect(w.mount("bare", "/").options).toContain("rw");
      },
    },
    {
      of: service("init"),
      seen: "PID 1 is our init, or the process itself",
      look: (w) => {
        expect(w.main("web")).not.toBe(w.pid("web"));
        expect(w.main("bare")).toBe(w.pid("bare"));
        expect(readFileSync(`/proc/${w.pid("bare")}/comm`, "utf8")).toBe("sleep\n");
      },
    },
    {
      of: service("tty", "stdin_open"),
      seen: "standard input and output of the process",
      look: async (w) => {
        expect(readlinkSync(`/proc/${w.main("web")}/fd/0`)).toMatch(/^\/dev\/(pts\/\d+|console)$/);
        expect(readlinkSync(`/proc/${w.main("donor")}/fd/0`)).toBe("/dev/null");
        expect(w.container("web").record).toMatchObject({ tty: true, stdin: true });
        expect(w.container("donor").record).toMatchObject({ tty: false, stdin: false });
      },
    },
    {
      of: service("devices", "devices.[].source", "devices.[].target", "devices.[].permissions"),
      seen: "the device node under its new name; it opens for reading, and not for writing",
      look: async (w) => expect(await w.run("donor", "(: < /dev/other) && echo opened; (: > /dev/other) 2>/dev/null || echo refused")).toBe("opened\nrefused"),
    },
    {
      of: service("device_cgroup_rules"),
      seen: "the rule among those of the container's cgroup",
      look: (w) => {
        expect(w.config("donor").linux.resources.devices).toContainEqual({ allow: true, type: "c", major: 10, minor: 237, access: "rw" });
        if (existsSync("/sys/fs/cgroup/devices")) expect(w.cgroup("donor", "devices/devices.list", "")).toContain("c 10:237 rw");
      },
    },
    {
      of: service("security_opt"),
      seen: "no_new_privs and the seccomp profile of the process: the profile's call fails",
      look: async (w) => {
        expect(w.status("web", "NoNewPrivs")).toBe("1");
        expect(w.status("web", "Seccomp")).toBe("2");
        expect(await w.run("web", "mkdir /dev/shm/x 2>&1 | grep -o 'Operation not permitted'")).toBe("Operation not permitted");
      },
    },
    { of: service("oom_score_adj"), seen: "/proc/PID/oom_score_adj", look: (w) => expect(readFileSync(`/proc/${w.main("web")}/oom_score_adj`, "utf8").trim()).toBe("333") },
    {
      of: service("ulimits", "ulimits.*.soft", "ulimits.*.hard"),
      seen: "/proc/PID/limits, also with one number for both",
      look: (w) => {
        const limits = readFileSync(`/proc/${w.main("web")}/limits`, "utf8");
        expect(limits).toMatch(/^Max open files +100 +200 /m);
        expect(limits).toMatch(/^Max processes +321 +321 /m);
      },
    },
    {
      of: service("privileged"),
      seen: "no seccomp filter, the host's devices, a writable /sys",
      look: (w) => {
        expect(w.status("bare", "Seccomp")).toBe("0");
        expect(w.list("bare", "/dev")).toContain("loop-control");
        expect(w.mount("bare", "/sys").options).toContain("rw");
      },
    },
    {
      of: service("cgroup", "cgroup_parent"),
      seen: "the cgroup namespace and the place of the process",
      look: (w) => {
        const namespace = (pid: number | "self") => readlinkSync(`/proc/${pid}/ns/cgroup`);
        expect(namespace(w.main("bare"))).toBe(namespace("self"));
        expect(namespace(w.main("web"))).not.toBe(namespace("self"));
        expect(readFileSync(`/proc/${w.main("bare")}/cgroup`, "utf8")).toMatch(/:\/attributes-test\//);
      },
    },
    {
      of: service("ipc", "pid", "uts", "userns_mode"),
      seen: "the namespaces of the process: the host's, another service's, its own",
      look: (w) => {
        const namespace = (kind: string, pid: number | "self") => readlinkSync(`/proc/${pid}/ns/${kind}`);
        for (const kind of ["ipc", "pid", "uts", "user"]) expect(namespace(kind, w.main("bare")), kind).toBe(namespace(kind, "self"));
        for (const kind of ["ipc", "pid", "uts"]) expect(namespace(kind, w.main("web")), kind).not.toBe(namespace(kind, "self"));
        for (const kind of ["ipc", "pid"]) expect(namespace(kind, w.main("guest")), kind).toBe(namespace(kind, w.main("donor")));
      },
    },
    {
      of: service("runtime"),
      seen: "the container is known to runc, which is its runtime",
      look: (w) => expect(w.container("foreign").state?.status).toBe("running"),
    },
    {
      of: service("stop_signal", "stop_grace_period"),
      seen: "what `stop` sends and how long it waits",
      look: (w) => expect(w.container("web").record.stop).toEqual({ signal: 10, graceMs: 3000 }),
    },
  ],
};
