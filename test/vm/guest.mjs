// In the virtual machine: drives the real command, and writes one JSON line for each promise. Arguments: REPOSITORY LAYOUT RESULTS
import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, watch, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const [repository, layout, results] = process.argv.slice(2);
const root = "/mnt/root";
const project = "/mnt/project";
process.env.STACK_ROOT = root;
mkdirSync(root, { mode: 0o700 });
mkdirSync(project);
writeFileSync(
  join(project, "stack.yaml"),
  `services:
  web:
    image: "tools:1"
    command: [sh, -c, "touch /tmp/well; exec sleep 100000"]
    restart: always
    mem_limit: 64m
    cpus: 0.5
    pids_limit: 50
    healthcheck: {test: [CMD, test, -e, /tmp/well], interval: 1s, timeout: 20s, retries: 10}
  multi:
    image: "tools:1"
    processes:
      first: {command: [sleep, "100000"]}
      second: {command: [sleep, "100001"]}
  page:
    image: "many:1"
    command: [sh, -c, "mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www"]
    ports: ["127.0.0.1:8080:80"]
    ready: {tcp: 80}
  host:
    rootfs: /
    command: [sleep, "100000"]
  greedy:
    image: "tools:1"
    profiles: [greedy]
    mem_limit: 16m
    command: [sh, -c, "head -c 200m /dev/zero | tail -c 100m > /dev/null"]
`,
);

function stack(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(repository, "dist/stack.js"), ...args], { cwd: project, encoding: "utf8" });
  if (status !== 0) throw new Error(`stack ${args.join(" ")}: status ${status}\n${stdout}${stderr}`);
  return stdout;
}

const text = (path) => readFileSync(path, "utf8").trim();
function is(actual, expected, what) {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) throw new Error(`${what}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`);
}

function directoryOf(name) {
  const id = readdirSync(join(root, "containers")).find((one) => /^[0-9a-f]{64}$/.test(one) && JSON.parse(text(join(root, "containers", one, "container.json"))).name === name);
  if (id === undefined) throw new Error(`no container ${name}`);
  return join(root, "containers", id);
}
const stateOf = (name) => JSON.parse(text(join(directoryOf(name), "state.json")));
/** The container's own group, above its leaves. */
const groupOf = (name) => dirname(`/sys/fs/cgroup${text(`/proc/${stateOf(name).pid}/cgroup`).replace("0::", "")}`);

/** Until it holds, looked at whenever one of these files or directories changes. */
function until(what, paths, holds) {
  return new Promise((resolve, reject) => {
    const watchers = [];
    const end = (act) => {
      for (const watcher of watchers) watcher.close();
      clearTimeout(timer);
      act();
    };
    const look = () => {
      try {
        if (holds()) end(resolve);
      } catch {
        // half of it is there
      }
    };
    const timer = setTimeout(() => end(() => reject(new Error(`not within 60 s: ${what}`))), 60_000);
    for (const path of paths) watchers.push(watch(path, look));
    look();
  });
}

const promises = {
  "this machine has version 2 alone": () => {
    is(execFileSync("stat", ["-f", "-c", "%T", "/sys/fs/cgroup"], { encoding: "utf8" }).trim(), "cgroup2fs", "file system");
  },
  "up --wait waits for health": () => {
    stack("load", "-q", "-i", layout);
    stack("up", "-d", "--wait");
    is(stack("ps", "--format", "{{.Service}} {{.Health}}").trim().split("\n").sort(), ["host ", "multi ", "page healthy", "web healthy"], "ps");
  },
  "an image of a hundred layers runs, and its published port answers": async () => {
    is(await (await fetch("http://127.0.0.1:8080/")).text(), "hello\n", "page");
    is(stack("exec", "-T", "page", "cat", "/layers/1", "/layers/100").trim(), "1\n100", "layers");
  },
  "rootfs: / shows this machine's programs, and keeps what is written": () => {
    is(stack("exec", "-T", "host", "sh", "-c", "echo kept > /etc/written; cat /etc/written; test -x /usr/bin/env && echo there").trim(), "kept\nthere", "host");
    if (existsSync("/etc/written")) throw new Error("it was written on the machine");
  },
  "limits are in the container's group": () => {
    const group = groupOf("project-web-1");
    is(["memory.max", "cpu.max", "pids.max"].map((file) => text(join(group, file))), ["67108864", "50000 100000", "50"], "limits");
    // The container sees its leaf as the root: what programs read there is what holds.
    for (const file of ["memory.max", "memory.swap.max", "cpu.max", "pids.max"]) is(text(join(group, "init", file)), text(join(group, file)), `${file} of the leaf`);
  },
  "processes are in leaves, each supervised one in its own": () => {
    const group = groupOf("project-multi-1");
    is(text(join(group, "cgroup.procs")), "", "processes above the leaves");
    for (const name of ["first", "second"]) is(text(join(group, `p-${name}`, "cgroup.procs")).split("\n").length, 1, `p-${name}`);
    const usage = JSON.parse(stack("ps", "--processes", "--format", "json").trim().split("\n").find((line) => line.includes("first")));
    if (JSON.stringify(usage).includes('"second"')) throw new Error(JSON.stringify(usage));
  },
  "what exec runs is in a group of its own, within the limits": () => {
    const inside = stack("exec", "-T", "web", "cat", "/proc/self/cgroup").trim();
    if (!inside.endsWith("/exec")) throw new Error(inside);
  },
  "a limit that somebody has changed is set again": async () => {
    const file = join(groupOf("project-web-1"), "memory.max");
    writeFileSync(file, "33554432");
    await until("memory.max is as before", [file], () => text(file) === "67108864");
  },
  "a container that takes too much memory is killed, and recorded so": () => {
    const { status } = spawnSync(process.execPath, [join(repository, "dist/stack.js"), "up", "--exit-code-from", "greedy", "greedy"], { cwd: project, encoding: "utf8" });
    const { oomKilled } = stateOf("project-greedy-1");
    if (!oomKilled || status === 0) throw new Error(`status ${status}, oomKilled ${oomKilled}`);
  },
  "a main process that is killed is started again": async () => {
    const { pid } = stateOf("project-web-1");
    if (pid <= 0) throw new Error("it does not run");
    process.kill(pid, "SIGKILL");
    await until("another process runs", [directoryOf("project-web-1")], () => {
      const now = stateOf("project-web-1");
      return now.status === "running" && now.pid !== pid && now.restarts === 1;
    });
  },
  "restart -t 0 kills at once and starts anew": () => {
    const { pid } = stateOf("project-multi-1");
    stack("restart", "-t", "0", "multi");
    const now = stateOf("project-multi-1");
    if (now.status !== "running" || now.pid === pid || existsSync(`/proc/${pid}/cgroup`)) throw new Error(JSON.stringify(now));
  },
  "pause freezes, and unpause goes on": () => {
    const frozen = () => /^frozen (\d)$/m.exec(text(join(groupOf("project-web-1"), "cgroup.events")))?.[1];
    stack("pause", "web");
    is(frozen(), "1", "frozen");
    stack("unpause", "web");
    is(frozen(), "0", "frozen");
    is(stack("exec", "-T", "web", "echo", "alive").trim(), "alive", "exec");
  },
  "a stopped container takes and gives files": () => {
    stack("stop", "-t", "0", "page");
    writeFileSync(join(project, "file"), "copied");
    stack("cp", "file", "page:/layers/new");
    is(stack("cp", "page:/layers/new", "-").includes("copied"), true, "archive");
    stack("start", "page");
    is(stack("exec", "-T", "page", "cat", "/layers/new"), "copied", "file");
  },
  "down leaves no process, group, link or mount": async () => {
    stack("--profile", "*", "down", "-v", "-t", "0");
    const ours = () =>
      readdirSync("/proc").filter((pid) => {
        try {
          return /^\d+$/.test(pid) && Number(pid) !== process.pid && /stack-runtime|dist\/agent|bin\/.*agent/.test(text(`/proc/${pid}/cmdline`));
        } catch {
          return false;
        }
      });
    await until("the agent has gone", ["/mnt/root", ...(existsSync("/mnt/root/projects") ? ["/mnt/root/projects"] : [])], () => ours().length === 0);
    is(readdirSync("/sys/fs/cgroup").filter((name) => name.startsWith("stack")), [], "groups");
    is(readdirSync("/sys/class/net").filter((name) => name !== "lo"), [], "links");
    is(text("/proc/self/mountinfo").split("\n").filter((line) => line.includes(` ${root}/`)), [], "mounts");
  },
};

for (const [name, check] of Object.entries(promises)) {
  let error;
  try {
    await check();
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : String(thrown);
  }
  appendFileSync(results, `${JSON.stringify({ name, ...(error === undefined ? {} : { error }) })}\n`);
}
