import { existsSync, readFileSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });
const service = (body: string, more = "") => `services:\n  web:\n    image: debian:bookworm-slim\n    init: true\n    command: [sleep, "100000"]\n${body.replace(/^/gm, "    ")}\n${more}`;
const inside = async (script: string) => (await used.current.ok("exec", "-T", "web", "sh", "-c", script)).trim();

async function up(file: string) {
  used.current.write("compose.yaml", file);
  await used.current.ok("up", "-d");
}

afterEach(async () => {
  await used.current.ok("down", "-v", "-t", "1");
  expect(await used.current.remains()).toEqual([]);
});

describe("a container", () => {
  test("has namespaces of its own, and is PID 1's world", async () => {
    await up(service("hostname: alone\ndomainname: example.test"));
    expect(await inside("hostname; ls /proc | grep -c '^[0-9]'")).toMatch(/^alone\n[3-6]$/);
    expect(await inside("cat /proc/1/comm")).not.toBe("systemd");
    for (const kind of ["pid", "mnt", "uts", "ipc", "net", "cgroup"]) expect(await inside(`readlink /proc/self/ns/${kind}`)).not.toBe(readlinkSync(`/proc/self/ns/${kind}`));
    expect(await inside("hostname -f || true")).toMatch(/^alone/);
  });

  test("shows the kernel's files without those that Docker masks, and cannot change them", async () => {
    await up(service(""));
    expect(await inside("cat /proc/keys /proc/timer_list /proc/kcore 2>/dev/null | wc -c")).toBe("0");
    expect(await inside("ls /proc/acpi /sys/firmware 2>/dev/null | grep -v : | grep -c . || true")).toBe("0");
    expect(await inside("echo 1 > /proc/sys/kernel/panic 2>/dev/null && echo written || echo refused")).toBe("refused");
    expect(await inside("echo b > /proc/sysrq-trigger 2>/dev/null && echo written || echo refused")).toBe("refused");
    expect(await inside("mount -t tmpfs none /mnt 2>/dev/null && echo mounted || echo refused")).toBe("refused");
    expect(await inside("mknod /tmp/disk b 254 0 2>/dev/null && cat /tmp/disk >/dev/null 2>&1 && echo read || echo refused")).toBe("refused");
    expect(await inside("ls /dev | grep -v core | sort | tr '\\n' ' '")).toBe("fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero");
  });

  test("has Docker's fourteen capabilities, its seccomp filter, and what the file adds and drops", async () => {
    await up(service(""));
    expect(await inside("grep -E '^(CapEff|CapBnd|Seccomp):' /proc/self/status | tr '\\n\\t' '  '")).toBe("CapEff: 00000000a80425fb CapBnd: 00000000a80425fb Seccomp: 2");
    await up(service("cap_drop: [ALL]\ncap_add: [NET_BIND_SERVICE, CHOWN]"));
    expect(await inside("grep CapEff /proc/self/status")).toMatch(/0000000000000401$/);
    await up(service("privileged: true"));
    expect(await inside("grep Seccomp: /proc/self/status")).toMatch(/0$/);
  });

  test("is limited in memory, processes, CPU and files", async () => {
    await up(service("mem_limit: 64m\npids_limit: 20\ncpus: 0.5\ncpuset: '0'\nulimits: {nofile: {soft: 100, hard: 200}, core: 0}"));
    const read = (v1: string, v2: string) => inside(`cat /sys/fs/cgroup/${v1} 2>/dev/null || cat /sys/fs/cgroup/${v2}`);
    expect(await read("memory/memory.limit_in_bytes", "memory.max")).toBe(String(64 << 20));
    expect(await read("pids/pids.max", "pids.max")).toBe("20");
    expect(await inside("cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max")).toBe("50000");
    expect(await inside("grep Cpus_allowed_list /proc/self/status")).toMatch(/\t0$/);
    expect(await inside("ulimit -Sn; ulimit -Hn; ulimit -c")).toBe("100\n200\n0");
    const bomb = await used.current.stack("exec", "-T", "web", "sh", "-c", "for i in $(seq 40); do sleep 5 & done");
    expect(bomb.output).toMatch(/fork/);
  });

  test("that takes more memory than it may is killed, recorded as out of memory, and shown so", async () => {
    await up(service("mem_limit: 32m\ncommand: [sh, -c, \"x=$$(head -c 200m /dev/zero | tr '\\\\0' x); echo survived\"]").replace('    command: [sleep, "100000"]\n', ""));
    const ended = await used.current.until("it ended", (all) => all.find((c) => c.state?.status === "exited"));
    expect(ended.state).toMatchObject({ oomKilled: true });
    expect(await used.current.ok("ps", "-a")).toMatch(/out of memory/i);
  });

  test("has HOME from the image's passwd, of its own user and of whom exec names, unless somebody says otherwise", async () => {
    const main = async () => readFileSync(`/proc/${used.current.pid("project-web-1")}/environ`, "utf8").split("\0").filter((line) => line.startsWith("HOME="));
    await up(service("").replace("init: true", "init: false"));
    expect(await main()).toEqual(["HOME=/root"]);
    expect(await inside("echo $HOME")).toBe("/root");
    expect(await used.current.ok("exec", "-T", "-u", "www-data", "web", "printenv", "HOME")).toBe("/var/www\n");
    await up(service("user: www-data").replace("init: true", "init: false"));
    expect(await main()).toEqual(["HOME=/var/www"]);
    await up(service("user: '54321'").replace("init: true", "init: false"));
    expect(await main(), "nobody knows this user").toEqual(["HOME=/"]);
    await up(service("environment: {HOME: /elsewhere}"));
    expect(await used.current.ok("exec", "-T", "-u", "www-data", "web", "printenv", "HOME")).toBe("/elsewhere\n");
    expect(await used.current.ok("run", "--rm", "-T", "-e", "HOME=", "web", "printenv", "HOME"), "empty is not said").toBe("/root\n");
  });

  test("runs as the user, in the groups and the directory that the file says, resolved in the image", async () => {
    await up(service("user: daemon:mail\ngroup_add: [audio, '4242']\nworking_dir: /var/lib/made/for/it\nenvironment: {A: one, HOME: /elsewhere}"));
    expect(await inside("id -un; id -gn; id -G; pwd; echo $A $HOME")).toBe("daemon\nmail\n8 29 4242\n/var/lib/made/for/it\none /elsewhere");
  });

  test("has a read-only root where told, with tmpfs and /dev/shm of the size that is written", async () => {
    await up(service("read_only: true\nshm_size: 8m\ntmpfs: ['/scratch:size=4m,mode=0700']"));
    expect(await inside("touch /x 2>&1 | grep -o 'Read-only file system'")).toBe("Read-only file system");
    expect(await inside("df -m /dev/shm /scratch | awk 'NR>1{print $2}' | tr '\\n' ' '")).toBe("8 4");
    expect(await inside("stat -c %a /scratch")).toBe("700");
  });

  test("has sysctls, extra hosts, DNS options and labels", async () => {
    await up(service('sysctls: {net.core.somaxconn: "333"}\nextra_hosts: ["other:192.0.2.9"]\ndns_search: [example.test]\nlabels: {team: red}'));
    expect(await inside("cat /proc/sys/net/core/somaxconn")).toBe("333");
    expect(await inside("getent hosts other")).toMatch(/^192\.0\.2\.9\s+other/);
    expect(await inside("grep search /etc/resolv.conf")).toBe("search example.test");
    const [container] = used.current.containers;
    expect(container?.record.labels).toMatchObject({ team: "red", "com.docker.compose.project": "project", "com.docker.compose.service": "web" });
  });
});

describe("stopping", () => {
  const stopped = async (body: string) => {
    await up(`services:\n  web:\n    image: debian:bookworm-slim\n${body.replace(/^/gm, "    ")}\n`);
    const result = await used.current.stack("stop");
    return { ms: result.ms, output: result.output, state: used.current.container("project-web-1").state };
  };

  test("a process that handles the signal ends by itself", async () => {
    const { state, ms } = await stopped("command: [sh, -c, \"trap 'exit 5' TERM; while :; do sleep 0.05; done\"]");
    expect(state).toMatchObject({ status: "exited", exitCode: 5, stopRequested: true });
    expect(ms).toBeLessThan(5000);
  });

  test("one that as PID 1 cannot see the signal is killed at once, and that is said", async () => {
    const { state, ms, output } = await stopped("init: false\ncommand: [sleep, '100000']");
    expect(state?.exitCode).toBe(137);
    expect(ms).toBeLessThan(5000);
    expect(output).toMatch(/ignores the stop signal|SIGTERM/);
  });

  test("one that ignores the signal is killed after its grace period, not before", async () => {
    const { state, ms } = await stopped("stop_grace_period: 1s\ncommand: [sh, -c, \"trap '' TERM; while :; do sleep 0.05; done\"]");
    expect(state?.exitCode).toBe(137);
    expect(ms).toBeGreaterThan(1000);
    expect(ms).toBeLessThan(6000);
  });

  test("a stop signal of its own is used", async () => {
    const { state } = await stopped("stop_signal: SIGUSR1\ncommand: [sh, -c, \"trap 'exit 9' USR1; while :; do sleep 0.05; done\"]");
    expect(state?.exitCode).toBe(9);
  });
});

describe("restarting", () => {
  test("on-failure:N gives up after N restarts", async () => {
    await up(service("restart: on-failure:3\ncommand: [sh, -c, 'echo run; exit 7']").replace('    command: [sleep, "100000"]\n', ""));
    const ended = await used.current.until("it gave up", (all) => all.find((c) => c.state?.status === "exited"));
    expect(ended.state).toMatchObject({ exitCode: 7, restarts: 3 });
    expect((await used.current.ok("logs", "--no-log-prefix")).split("\n").filter((l) => l === "run")).toHaveLength(4);
  });

  test("the first restart comes at once, the next later and later", async () => {
    await up(service("restart: always\ncommand: [sh, -c, 'exit 1']").replace('    command: [sleep, "100000"]\n', ""));
    // A restart is counted before its start is noted: with the fifth counted, four are noted.
    await used.current.until("five restarts", (all) => all.some((c) => (c.state?.restarts ?? 0) >= 5));
    const [container] = used.current.containers;
    const starts = readFileSync(join(container!.directory, "events.log"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { t: string; type: string })
      .filter((e) => e.type === "start")
      .map((e) => Date.parse(e.t));
    const gaps = starts.slice(1).map((t, n) => t - starts[n]!);
    expect(gaps[0]).toBeLessThan(80);
    expect(gaps[2]).toBeGreaterThan(gaps[1]!);
    expect(gaps[3]).toBeGreaterThan(gaps[2]!);
  });

  test("keeps the container's address and what it wrote", async () => {
    await up(service("restart: always"));
    await inside("echo kept > /written");
    const address = await inside("hostname -I");
    await used.current.ok("restart");
    expect(await inside("cat /written; hostname -I")).toBe(`kept\n${address}`);
  });
});

describe("volumes", () => {
  test("a new named volume gets the image's content, with owner and mode; a second container sees the same", async () => {
    await up(
      `services:\n  web: {image: "debian:bookworm-slim", init: true, command: [sleep, "1000"], volumes: ["copy:/etc/pam.d", "plain:/nothing/here"]}\n  other: {image: "debian:bookworm-slim", init: true, command: [sleep, "1000"], volumes: ["copy:/seen:ro"]}\nvolumes: {copy: {}, plain: {}}\n`,
    );
    expect(Number(await inside("ls /etc/pam.d | wc -l"))).toBeGreaterThan(2);
    await inside("echo x > /etc/pam.d/added");
    expect(await used.current.ok("exec", "-T", "other", "cat", "/seen/added")).toBe("x\n");
    expect((await used.current.stack("exec", "-T", "other", "touch", "/seen/no")).code).not.toBe(0);
  });

  test("bind mounts are files and directories of the host, relative to the file; a missing one is made where Compose does", async () => {
    used.current.write("conf/a.txt", "a\n");
    await up(service("volumes: ['./conf:/conf:ro', './conf/a.txt:/b.txt', './made:/made']"));
    expect(await inside("cat /conf/a.txt /b.txt; touch /conf/x 2>/dev/null || echo read-only")).toBe("a\na\nread-only");
    expect(existsSync(join(used.current.directory, "made"))).toBe(true);
  });

  test("a long-syntax bind whose source is missing is refused, and named", async () => {
    used.current.write("compose.yaml", service("volumes: [{type: bind, source: ./missing, target: /x}]"));
    const { code, stderr } = await used.current.stack("up", "-d");
    expect(code).not.toBe(0);
    expect(stderr).toContain(join(used.current.directory, "missing"));
  });

  test("anonymous volumes live over a recreation and go with the container", async () => {
    const file = service("volumes: [/anonymous]\nlabels: {n: '1'}");
    await up(file);
    await inside("echo kept > /anonymous/x");
    await up(file.replace("n: '1'", "n: '2'"));
    expect(await inside("cat /anonymous/x")).toBe("kept");
    expect(readdirSync(join(used.current.root, "volumes")).length).toBe(1);
  });
});

describe("configs and secrets", () => {
  test("come from files, the environment and the text itself, with owner and mode, also below a read-only root", async () => {
    const machine = used.current;
    machine.write("from-file", "file\n");
    machine.write(
      "compose.yaml",
      service(
        "read_only: true\nuser: '1234'\nconfigs: [inline, {source: named, target: /etc/deep/er/named, uid: '1234', gid: '55', mode: 0440}]\nsecrets: [filed, {source: env, target: renamed, mode: 0400, uid: '1234'}]",
        "configs: {inline: {content: 'text of $$HOME and ${WHO}'}, named: {content: x}}\nsecrets: {filed: {file: ./from-file}, env: {environment: TOKEN}}\n",
      ),
    );
    const result = await machine.start(["up", "-d"], { env: { TOKEN: "s3cr3t", WHO: "me" } }).ended;
    expect(result.code, result.output).toBe(0);
    expect(await inside("cat /inline; echo; cat /run/secrets/filed; cat /run/secrets/renamed; echo; stat -c '%u:%g %a' /etc/deep/er/named /run/secrets/renamed")).toBe("text of $HOME and me\nfile\ns3cr3t\n1234:55 440\n1234:0 400");
    const [container] = machine.containers;
    expect(readFileSync(join(container!.directory, "config.json"), "utf8")).not.toContain("s3cr3t");
    expect(statSync(container!.directory).mode & 0o077).toBe(0);
  });
});
