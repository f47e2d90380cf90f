import { existsSync, lstatSync, statSync } from "node:fs";
import { expect } from "vitest";
import { service } from "./scene.ts";
import type { Scene } from "./scene.ts";

/** A block device of the machine; limits for one do no harm to it. */
const DISK = ["/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/loop0"].find((path) => existsSync(path) && lstatSync(path).isBlockDevice());
const SLEEP = "[sleep, '100000']";
const NUMBER = DISK === undefined ? "" : `${statSync(DISK).rdev >> 8}:${statSync(DISK).rdev & 0xff}`;

/** Limits, as the kernel has them. */
export const limits: Scene = {
  title: "limits",
  files: {
    "compose.yaml": `services:
  web:
    image: debian:bookworm-slim
    command: ${SLEEP}
    cpus: 0.5
    cpuset: "0"
    cpu_shares: 256
    mem_limit: 64m
    mem_reservation: 32m
    memswap_limit: 96m
    mem_swappiness: 7
    oom_kill_disable: true
    pids_limit: 20
    shm_size: 8m
    blkio_config:
      device_read_bps: [{path: ${DISK ?? "/dev/sda"}, rate: 1mb}]
      device_write_bps: [{path: ${DISK ?? "/dev/sda"}, rate: 2mb}]
      device_read_iops: [{path: ${DISK ?? "/dev/sda"}, rate: 100}]
      device_write_iops: [{path: ${DISK ?? "/dev/sda"}, rate: 200}]
  quota:
    image: debian:bookworm-slim
    command: ${SLEEP}
    cpu_quota: 20000
    cpu_period: 50000
  deployed:
    image: debian:bookworm-slim
    command: ${SLEEP}
    deploy:
      mode: global
      endpoint_mode: dnsrr
      resources:
        limits: {cpus: "0.25", memory: 48M, pids: 30}
        reservations: {memory: 16M}
  many:
    image: debian:bookworm-slim
    command: ${SLEEP}
    deploy: {replicas: 2}
  scaled:
    image: debian:bookworm-slim
    command: ${SLEEP}
    scale: 2
`,
  },
  checks: [
    { of: service("cpus"), seen: "the CPU quota of the cgroup", look: (w) => expect(w.cgroup("web", "cpu/cpu.cfs_quota_us", "cpu.max")).toMatch(/^50000( 100000)?$/) },
    { of: service("cpuset"), seen: "the CPUs of the process", look: (w) => expect(w.status("web", "Cpus_allowed_list")).toBe("0") },
    { of: service("cpu_shares"), seen: "the CPU weight of the cgroup", look: (w) => expect(["256", "10", "35"]).toContain(w.cgroup("web", "cpu/cpu.shares", "cpu.weight")) },
    {
      of: service("cpu_quota", "cpu_period"),
      seen: "quota and period of the cgroup",
      look: (w) => {
        expect(w.cgroup("quota", "cpu/cpu.cfs_quota_us", "cpu.max")).toMatch(/^20000( 50000)?$/);
        expect(w.cgroup("quota", "cpu/cpu.cfs_period_us", "cpu.max")).toMatch(/50000$/);
      },
    },
    { of: service("mem_limit"), seen: "the memory limit of the cgroup", look: (w) => expect(w.cgroup("web", "memory/memory.limit_in_bytes", "memory.max")).toBe(String(64 << 20)) },
    { of: service("mem_reservation"), seen: "the soft limit of the cgroup", look: (w) => expect(w.cgroup("web", "memory/memory.soft_limit_in_bytes", "memory.low")).toBe(String(32 << 20)) },
    {
      of: service("memswap_limit"),
      seen: "memory and swap of the cgroup",
      look: (w) => expect([String(96 << 20), String(32 << 20)]).toContain(w.cgroup("web", "memory/memory.memsw.limit_in_bytes", "memory.swap.max")),
    },
    {
      of: service("mem_swappiness", "oom_kill_disable"),
      seen: "the files of the cgroup, where there are such files",
      look: (w) => {
        if (!existsSync("/sys/fs/cgroup/memory")) return;
        expect(w.cgroup("web", "memory/memory.swappiness", "")).toBe("7");
        expect(w.cgroup("web", "memory/memory.oom_control", "")).toMatch(/^oom_kill_disable 1$/m);
      },
    },
    { of: service("pids_limit"), seen: "the count of processes of the cgroup", look: (w) => expect(w.cgroup("web", "pids/pids.max", "pids.max")).toBe("20") },
    { of: service("shm_size"), seen: "the size of /dev/shm", look: (w) => expect(w.mount("web", "/dev/shm").options).toContain("size=8192k") },
    {
      of: service(
        "blkio_config",
        ...["device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"].flatMap((name) => [
          `blkio_config.${name}`,
          `blkio_config.${name}.[].path`,
          `blkio_config.${name}.[].rate`,
        ]),
      ),
      seen: "rates for the device in the cgroup",
      look: (w) => {
        const rate = (name: string): string => w.cgroup("web", `blkio/blkio.throttle.${name}_device`, "io.max");
        if (existsSync("/sys/fs/cgroup/blkio")) {
          expect(rate("read_bps")).toBe(`${NUMBER} ${1 << 20}`);
          expect(rate("write_bps")).toBe(`${NUMBER} ${2 << 20}`);
          expect(rate("read_iops")).toBe(`${NUMBER} 100`);
          expect(rate("write_iops")).toBe(`${NUMBER} 200`);
        } else expect(rate("")).toBe(`${NUMBER} rbps=${1 << 20} wbps=${2 << 20} riops=100 wiops=200`);
      },
    },
    {
      of: service("deploy", "deploy.resources", "deploy.resources.limits", "deploy.resources.limits.cpus", "deploy.resources.limits.memory", "deploy.resources.limits.pids"),
      seen: "limits of the cgroup",
      look: (w) => {
        expect(w.cgroup("deployed", "cpu/cpu.cfs_quota_us", "cpu.max")).toMatch(/^25000/);
        expect(w.cgroup("deployed", "memory/memory.limit_in_bytes", "memory.max")).toBe(String(48 << 20));
        expect(w.cgroup("deployed", "pids/pids.max", "pids.max")).toBe("30");
      },
    },
    {
      of: service("deploy.resources.reservations", "deploy.resources.reservations.memory"),
      seen: "the soft limit of the cgroup",
      look: (w) => expect(w.cgroup("deployed", "memory/memory.soft_limit_in_bytes", "memory.low")).toBe(String(16 << 20)),
    },
    { of: service("deploy.mode"), seen: "one container for `global`", look: (w) => expect(w.machine.containers.filter((c) => c.record.service === "deployed")).toHaveLength(1) },
    {
      of: service("deploy.endpoint_mode"),
      seen: "the addresses of all replicas for a service's name",
      look: async (w) => {
        const addresses = [1, 2].map((n) => w.container("many", n).record.networks[0]?.ipv4);
        expect((await w.run("web", "getent ahostsv4 many | awk '{print $1}' | sort -u")).split("\n")).toEqual(addresses.sort());
      },
    },
    {
      of: service("deploy.replicas", "scale"),
      seen: "as many containers",
      look: (w) => {
        for (const name of ["many", "scaled"]) expect(w.machine.containers.filter((c) => c.record.service === name).map((c) => c.state?.status)).toEqual(["running", "running"]);
      },
    },
  ],
};
