import { describe, expect, it } from "vitest";
import type { HostPath } from "../core/index.ts";
import { host, id, image, input, refusal } from "./fixtures.ts";
import type { HostFacts, OciInput, ServiceInput } from "./input.ts";
import { containerHostname, ociWarnings, serializeOciConfig, toOciConfig } from "./oci-config.ts";

const config = (members: Partial<ServiceInput> = {}, rest: Partial<Omit<OciInput, "service">> = {}) => toOciConfig(input(members, rest));
const withHost = (facts: Partial<HostFacts>) => ({ host: { ...host, ...facts } });
const mountOn = (of: ReturnType<typeof config>, destination: string) => of.mounts.find((mount) => mount.destination === destination);

describe("a plain service gets Docker's defaults", () => {
  const plain = config();
  it("process", () => {
    expect(plain.process).toMatchObject({
      terminal: false,
      user: { uid: 0, gid: 0, umask: 0o22, additionalGids: [0] },
      args: ["/entry", "serve", "--all"],
      cwd: "/app",
      noNewPrivileges: false,
      rlimits: [],
    });
    expect(plain.process.env).toEqual(["PATH=/app/bin:/bin", "HOSTNAME=0123456789ab", "LANG=C"]);
    expect(plain.process.capabilities.bounding).toHaveLength(14);
    expect(plain.process.capabilities.inheritable).toEqual([]);
    expect(plain.process.capabilities.ambient).toEqual([]);
  });
  it("mounts", () => {
    expect(plain.mounts.map((mount) => `${mount.destination} ${mount.type} ${mount.options.join(",")}`)).toMatchInlineSnapshot(`
      [
        "/proc proc nosuid,noexec,nodev",
        "/dev tmpfs nosuid,strictatime,mode=755,size=65536k",
        "/dev/pts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
        "/sys sysfs nosuid,noexec,nodev,ro",
        "/sys/fs/cgroup cgroup nosuid,noexec,nodev,ro",
        "/dev/mqueue mqueue nosuid,noexec,nodev",
        "/dev/shm tmpfs nosuid,noexec,nodev,mode=1777,size=67108864",
      ]
    `);
  });
  it("namespaces, cgroup, masks", () => {
    expect(plain.linux.namespaces).toEqual(["mount", "network", "pid", "ipc", "uts", "cgroup"].map((type) => ({ type })));
    expect(plain.linux.cgroupsPath).toBe(`/stack/abc/${id}`);
    expect(plain.linux.readonlyPaths).toEqual(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]);
    expect(plain.linux.maskedPaths).toEqual(expect.arrayContaining(["/proc/kcore", "/proc/interrupts", "/sys/firmware", "/sys/devices/virtual/powercap", "/sys/devices/system/cpu/cpu1/thermal_throttle"]));
    expect(plain.linux.sysctl).toEqual({ "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" });
    expect(plain.linux.seccomp?.defaultAction).toBe("SCMP_ACT_ERRNO");
    expect(plain.hostname).toBe("0123456789ab");
  });
  it("devices: nothing but the harmless ones", () => {
    expect(plain.linux.resources).toMatchInlineSnapshot(`
      {
        "devices": [
          {
            "access": "rwm",
            "allow": false,
          },
          {
            "access": "m",
            "allow": true,
            "type": "c",
          },
          {
            "access": "m",
            "allow": true,
            "type": "b",
          },
          {
            "access": "rwm",
            "allow": true,
            "major": 1,
            "minor": 3,
            "type": "c",
          },
          {
            "access": "rwm",
            "allow": true,
            "major": 1,
            "minor": 5,
            "type": "c",
          },
          {
            "access": "rwm",
            "allow": true,
            "major": 1,
            "minor": 7,
            "type": "c",
          },
          {
            "access": "rwm",
            "allow": true,
            "major": 1,
            "minor": 8,
            "type": "c",
          },
          {
            "access": "rwm",
            "allow": true,
            "major": 1,
            "minor": 9,
            "type": "c",
          },
          {
            "access": "rwm",
            "allow": true,
            "major": 5,
            "minor": 0,
            "type": "c",
          },
          {
            "access": "rwm",
            "allow": true,
            "major": 5,
            "minor": 1,
            "type": "c",
          },
          {
            "access": "rwm",
            "allow": true,
            "major": 5,
            "minor": 2,
            "type": "c",
          },
          {
            "access": "rwm",
            "allow": true,
            "major": 136,
            "type": "c",
          },
          {
            "access": "rwm",
            "allow": true,
            "major": 10,
            "minor": 200,
            "type": "c",
          },
        ],
      }
    `);
    expect(plain.linux.devices).toEqual([]);
  });
});

describe("privileged", () => {
  const devices = { "/dev/sda": { type: "b" as const, major: 8, minor: 0, mode: 0o660, uid: 0, gid: 6 } };
  const privileged = config({ privileged: true, cap_drop: ["ALL"] }, withHost({ devices }));
  it("has everything", () => {
    expect(privileged.process.capabilities.effective).toEqual(host.capabilities);
    expect(privileged.linux.seccomp).toBeUndefined();
    expect(privileged.linux.maskedPaths).toEqual([]);
    expect(privileged.linux.readonlyPaths).toEqual([]);
    expect(privileged.linux.resources.devices).toEqual([{ allow: true, access: "rwm" }]);
    expect(privileged.linux.devices).toEqual([{ path: "/dev/sda", type: "b", major: 8, minor: 0, fileMode: 0o660, uid: 0, gid: 6 }]);
    expect(mountOn(privileged, "/sys")?.options).not.toContain("ro");
    expect(mountOn(privileged, "/sys/fs/cgroup")?.options).not.toContain("ro");
  });
  it("keeps a seccomp profile that was asked for by name", () => {
    const seccomp = { defaultAction: "SCMP_ACT_LOG", syscalls: [] };
    expect(config({ privileged: true, security_opt: ["seccomp=/p.json"] }, withHost({ seccomp })).linux.seccomp?.defaultAction).toBe("SCMP_ACT_LOG");
  });
});

describe("namespaces", () => {
  const types = (members: Partial<ServiceInput>, rest: Partial<Omit<OciInput, "service">> = {}) => config(members, rest).linux.namespaces.map((namespace) => namespace.type);
  it("of the host are left out", () => {
    expect(types({ pid: "host" })).not.toContain("pid");
    expect(types({ uts: "host" })).not.toContain("uts");
    expect(types({ cgroup: "host" })).not.toContain("cgroup");
    expect(types({}, { network: "host" })).not.toContain("network");
    expect(types({ ipc: "host" })).not.toContain("ipc");
  });
  it("decide over hostname and shared memory", () => {
    expect(config({ uts: "host", hostname: "x" }).hostname).toBeUndefined();
    expect(config({}, { network: "host" }).hostname).toBe("machine");
    expect(config({ hostname: "x", domainname: "y.z" })).toMatchObject({ hostname: "x", domainname: "y.z" });
    expect(mountOn(config({ ipc: "host" }), "/dev/shm")).toMatchObject({ type: "bind", source: "/dev/shm" });
    expect(mountOn(config({ ipc: "host" }, withHost({ shm: false })), "/dev/shm")).toMatchObject({ type: "tmpfs" });
    expect(mountOn(config({ ipc: "none" }), "/dev/shm")).toBeUndefined();
    expect(mountOn(config({ ipc: "shareable" }, { shm: "/r/shm" as HostPath }), "/dev/shm")).toMatchObject({ type: "bind", source: "/r/shm" });
    expect(mountOn(config({ shm_size: 1048576 }), "/dev/shm")?.options).toContain("size=1048576");
  });
  it("keep the host's sysctls out of reach", () => {
    expect(refusal(() => config({ sysctls: { "net.core.somaxconn": "1" } }, { network: "host" }))[0]).toBe("usage");
    expect(refusal(() => config({ sysctls: { "kernel.shmmax": "1" }, ipc: "host" }))[0]).toBe("usage");
    expect(config({ sysctls: { "net.core.somaxconn": "1" } }).linux.sysctl).toMatchObject({ "net.core.somaxconn": "1", "net.ipv4.ip_unprivileged_port_start": "0" });
    expect(config({}, { network: "join" }).linux.sysctl).toEqual({});
  });
  it("limit a hostname to what the kernel takes", () => {
    expect(refusal(() => containerHostname(input({ hostname: "x".repeat(65) })))[0]).toBe("usage");
  });
});

describe("security options", () => {
  it("are all understood or refused", () => {
    expect(config({ security_opt: ["no-new-privileges:true"] }).process.noNewPrivileges).toBe(true);
    expect(config({ security_opt: ["no-new-privileges"] }).process.noNewPrivileges).toBe(true);
    expect(config({ security_opt: ["no-new-privileges=false"] }).process.noNewPrivileges).toBe(false);
    expect(config({ security_opt: ["seccomp:unconfined"] }).linux.seccomp).toBeUndefined();
    expect(config({ security_opt: ["systempaths=unconfined"] }).linux.maskedPaths).toEqual([]);
    expect(config({ security_opt: ["label=disable", "label:type:svirt"] }).process.selinuxLabel).toBeUndefined();
    expect(refusal(() => config({ security_opt: ["label=type:x"] }, withHost({ selinux: true })))[0]).toBe("unsupported");
    expect(refusal(() => config({ security_opt: ["magic=1"] }))[0]).toBe("unsupported");
    expect(refusal(() => config({ security_opt: ["no-new-privileges=maybe"] }))[0]).toBe("unsupported");
  });
  it("name an AppArmor profile only where there is AppArmor", () => {
    expect(config({ security_opt: ["apparmor=mine"] }, withHost({ apparmor: true })).process.apparmorProfile).toBe("mine");
    expect(config({ security_opt: ["apparmor=unconfined"] }).process.apparmorProfile).toBeUndefined();
    expect(refusal(() => config({ security_opt: ["apparmor=mine"] }))[0]).toBe("kernel-feature-missing");
  });
});

describe("devices", () => {
  const node = (minor: number) => ({ type: "c" as const, major: 226, minor, mode: 0o666, uid: 0, gid: 44 });
  const facts = withHost({ devices: { "/dev/dri/card0": node(0), "/dev/dri/by-path/x": node(0), "/dev/kvm": node(9) } });
  it("are made and allowed, whole directories too", () => {
    const made = config({ devices: [{ source: "/dev/dri", target: "/dev/gpu", permissions: "rw" }, { source: "/dev/kvm", target: "/dev/kvm", permissions: "rwm" }] }, facts).linux;
    expect(made.devices.map((device) => device.path)).toEqual(["/dev/gpu/card0", "/dev/gpu/by-path/x", "/dev/kvm"]);
    expect(made.resources.devices).toContainEqual({ allow: true, type: "c", major: 226, minor: 0, access: "rw" });
  });
  it("that are none are refused by name", () => {
    expect(refusal(() => config({ devices: [{ source: "/dev/none", target: "/x", permissions: "r" }] }))).toEqual(["container-start-failed", 'Service "web": devices: /dev/none is not a device of this machine']);
    expect(refusal(() => config({ devices: [{ source: "nvidia.com/gpu=all", target: "nvidia.com/gpu=all", permissions: "" }] }))[0]).toBe("unsupported");
  });
  it("rules are parsed", () => {
    expect(config({ device_cgroup_rules: ["c 42:* rmw", "a *:* r"] }).linux.resources.devices.slice(-2)).toEqual([
      { allow: true, type: "c", major: 42, access: "rmw" },
      { allow: true, type: "a", access: "r" },
    ]);
    expect(refusal(() => config({ device_cgroup_rules: ["c 42"] }))[0]).toBe("usage");
  });
});

describe("limits", () => {
  const resources = (members: Partial<ServiceInput>, facts: Partial<HostFacts> = {}) => config(members, withHost(facts)).linux.resources;
  it("memory and swap: twice the memory unless said otherwise", () => {
    expect(resources({ limits: { mem_limit: 100 } }).memory).toEqual({ limit: 100, swap: 200 });
    expect(resources({ limits: { mem_limit: 100, memswap_limit: 100 } }).memory).toEqual({ limit: 100, swap: 100 });
    expect(resources({ limits: { mem_limit: 100, memswap_limit: -1, mem_reservation: 50, mem_swappiness: 0 } }).memory).toEqual({ limit: 100, swap: -1, reservation: 50, swappiness: 0 });
    expect(refusal(() => resources({ limits: { memswap_limit: 5 } }))[0]).toBe("usage");
    expect(refusal(() => resources({ limits: { mem_limit: 100, memswap_limit: 5 } }))[0]).toBe("usage");
    expect(refusal(() => resources({ limits: { mem_limit: 100, mem_reservation: 500 } }))[0]).toBe("usage");
  });
  it("processors", () => {
    expect(resources({ limits: { cpus: 1.5, cpu_shares: 512, cpuset: "0,1" } }).cpu).toEqual({ quota: 150000, period: 100000, shares: 512, cpus: "0,1" });
    // The specification's whole numbers are microseconds, as the kernel's.
    expect(resources({ limits: { cpu_rt_runtime: 950, cpu_rt_period: 1000 } }).cpu).toEqual({ realtimeRuntime: 950, realtimePeriod: 1000 });
    expect(resources({ limits: { cpu_quota: 5000, cpu_period: 10000 } }).cpu).toEqual({ quota: 5000, period: 10000 });
    expect(refusal(() => resources({ limits: { cpus: 1, cpu_quota: 5000 } }))[0]).toBe("usage");
  });
  it("processes, and none where none is meant", () => {
    expect(resources({ limits: { pids: 10 } }).pids).toEqual({ limit: 10 });
    expect(resources({ limits: { pids: -1 } }).pids).toBeUndefined();
    expect(Object.keys(resources({}))).toEqual(["devices"]);
  });
  it("block devices", () => {
    const none = { weight_device: [], device_read_bps: [], device_read_iops: [], device_write_bps: [], device_write_iops: [] };
    const devices = { "/dev/sda": { type: "b" as const, major: 8, minor: 0, mode: 0, uid: 0, gid: 0 } };
    const blkio_config = { ...none, weight: 300, device_read_bps: [{ path: "/dev/sda", rate: 1024 }] };
    expect(resources({ blkio_config }, { devices }).blockIO).toEqual({ weight: 300, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1024 }] });
    expect(refusal(() => resources({ blkio_config }))[0]).toBe("usage");
  });
  it("of resources per process", () => {
    expect(config({ ulimits: { nofile: { soft: 10, hard: 20 }, CORE: { soft: -1, hard: -1 } } }).process.rlimits).toEqual([
      { type: "RLIMIT_NOFILE", soft: 10, hard: 20 },
      { type: "RLIMIT_CORE", soft: -1, hard: -1 },
    ]);
    expect(refusal(() => config({ ulimits: { nofile: { soft: 30, hard: 20 } } }))[0]).toBe("usage");
    expect(refusal(() => config({ ulimits: { files: { soft: 1, hard: 1 } } }))[0]).toBe("usage");
  });
});

describe("what cannot be done is said", () => {
  it("as an error where the container would not be what was asked for", () => {
    expect(refusal(() => config({ gpus: "all" }))[0]).toBe("unsupported");
    expect(refusal(() => config({ deploy: { resources: { reservations: { devices: [{ capabilities: ["gpu"] }] } } } }))[0]).toBe("unsupported");
    expect(refusal(() => config({ isolation: "hyperv" }))[0]).toBe("unsupported");
    expect(refusal(() => config({ userns_mode: "keep-id" }))[0]).toBe("unsupported");
    expect(refusal(() => config({ storage_opt: { size: "1G" } }))[0]).toBe("unsupported");
    expect(config({ isolation: "default", userns_mode: "host" }).ociVersion).toBe("1.2.0");
  });
  it("as a warning where Docker ignores it", () => {
    expect(ociWarnings(input({ limits: { cpu_percent: 5, mem_swappiness: 5, cpus: 64 }, oom_kill_disable: true }).service, host)).toHaveLength(4);
    const labelled = input({ volumes: [{ type: "bind", source: "/a" as HostPath, target: "/b", read_only: false, create_host_path: true, selinux: "z" }] }).service;
    expect(ociWarnings(labelled, { ...host, selinux: true })).toHaveLength(1);
    expect(ociWarnings(labelled, host)).toEqual([]);
    expect(ociWarnings(input({ limits: { mem_swappiness: 5 } }).service, { ...host, cgroup2: false })).toEqual([]);
  });
});

describe("mounts of the user", () => {
  const bind = { type: "bind" as const, target: "/data", source: "/srv" as HostPath, readOnly: true };
  it("take the place of default ones", () => {
    const own = config({}, { mounts: [{ type: "tmpfs", target: "/dev", options: [] }] });
    expect(own.mounts.filter((mount) => mount.destination.startsWith("/dev"))).toEqual([{ destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["rprivate"] }]);
  });
  it("are read-only with everything below, where the kernel can", () => {
    expect(mountOn(config({}, { mounts: [bind] }), "/data")?.options).toEqual(["rbind", "rprivate", "ro", "rro"]);
    expect(mountOn(config({}, { mounts: [{ ...bind, recursive: "writable" }] }), "/data")?.options).toEqual(["rbind", "rprivate", "ro"]);
    expect(mountOn(config({}, { mounts: [{ ...bind, recursive: "disabled", propagation: "rslave" }] }), "/data")?.options).toEqual(["bind", "rslave", "ro"]);
    expect(mountOn(config({}, { mounts: [bind], ...withHost({ kernel: [5, 10] }) }), "/data")?.options).toEqual(["rbind", "rprivate", "ro"]);
    expect(refusal(() => config({}, { mounts: [{ ...bind, recursive: "readonly" }], ...withHost({ kernel: [5, 10] }) }))[0]).toBe("kernel-feature-missing");
  });
  it("that are a part of what containers write to say of what", () => {
    const part = { ...bind, source: "/v/part" as HostPath, within: "/v" as HostPath };
    expect(config({ annotations: { a: "b" } }, { mounts: [bind, { ...part, target: "/part" }] }).annotations).toMatchObject({ a: "b", "run.stack.within": '{"/part":"/v"}' });
    expect(config({}, { mounts: [bind] }).annotations).not.toHaveProperty(["run.stack.within"]);
  });
  it("that pass events on get a root that does so", () => {
    expect(config({}, { mounts: [{ ...bind, propagation: "rshared" }] }).linux.rootfsPropagation).toBe("shared");
    expect(config({}, { mounts: [bind] }).linux.rootfsPropagation).toBeUndefined();
  });
});

describe("config.json", () => {
  it("holds RLIM_INFINITY to the digit, and all else as it is", () => {
    const made = config({ ulimits: { core: { soft: 5, hard: -1 } }, environment: { A: '"},"rlimits":[' } });
    const text = serializeOciConfig(made);
    expect(text).toContain('"rlimits":[{"type":"RLIMIT_CORE","soft":5,"hard":18446744073709551615}]');
    const parsed = JSON.parse(text) as { process: { rlimits: unknown } };
    expect({ ...parsed, process: { ...parsed.process, rlimits: made.process.rlimits } }).toEqual(JSON.parse(JSON.stringify(made)));
  });
  it("lets nobody's annotation speak for our init", () => {
    expect(config({ annotations: { "run.stack.init": "true", a: "b" }, init: false }).annotations).toEqual({ a: "b", "run.stack.init": "false" });
  });
  it("of a rootfs service needs no image", () => {
    expect(config({ command: ["sh"] }, { image: null }).process).toMatchObject({ args: ["sh"], cwd: "/" });
    expect(image.cmd).not.toEqual([]);
  });
  it("puts the cgroup where cgroup_parent says", () => {
    expect(config({ cgroup_parent: "/mine/" }).linux.cgroupsPath).toBe(`/mine/${id}`);
  });
});
