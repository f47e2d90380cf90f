// What is measured. A side is one of the two contestants; see stack-side.mjs for its shape.
import { mkdirSync, rmSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";

const row = (name, unit = "ms") => ({ name, unit, values: {} });
const add = (r, side, value) => (r.values[side.name] ??= []).push(value);

/** N services that end at once when asked to, on one network. */
function services(count, image) {
  const lines = ["services:"];
  for (let n = 1; n <= count; n += 1) lines.push(`  s${n}:`, `    image: ${image}`, `    command: ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"]`);
  return `${lines.join("\n")}\n`;
}

export async function upDown(sides, plan) {
  const rows = [];
  for (const [count, rounds] of plan) {
    const up = row(`\`up -d\`, ${count} service${count === 1 ? "" : "s"}`);
    const down = row(`\`down\`, ${count} service${count === 1 ? "" : "s"}`);
    rows.push(up, down);
    for (const side of sides) {
      side.project(`bench${count}`, services(count, side.image("busybox:1")));
      side.compose("up", "-d"); // the first time also creates what later ones find in caches
      side.compose("down");
    }
    for (let round = 0; round < rounds; round += 1) {
      for (const side of sides) {
        side.project(`bench${count}`, services(count, side.image("busybox:1")));
        add(up, side, side.compose("up", "-d").ms);
        add(down, side, side.compose("down").ms);
      }
    }
  }
  return rows;
}

export async function readCommands(sides, rounds) {
  const rows = { nothing: row("`up -d` with nothing to do, 10 services"), ps: row("`ps`, 10 services"), exec: row("`exec -T s1 true`") };
  for (const side of sides) {
    side.project("reading", services(10, side.image("busybox:1")));
    side.compose("up", "-d");
  }
  try {
    for (let round = 0; round < rounds; round += 1) {
      for (const side of sides) {
        add(rows.nothing, side, side.compose("up", "-d").ms);
        add(rows.ps, side, side.compose("ps").ms);
        add(rows.exec, side, side.compose("exec", "-T", "s1", "true").ms);
      }
    }
  } finally {
    for (const side of sides) side.compose("down");
  }
  return Object.values(rows);
}

export async function pull(sides, rounds) {
  const result = row("pull and unpack PostgreSQL from a registry on loopback");
  for (let round = 0; round < rounds; round += 1) {
    for (const side of sides) {
      side.project("pulling", `services:\n  db:\n    image: ${side.image("postgres:15")}\n`);
      side.forgetImages();
      add(result, side, side.compose("pull", "-q").ms);
    }
  }
  return [result];
}

/** From `kill -9` of the main process until the next run of it has said so through a bind mount. */
export async function restartAfterKill(sides, rounds) {
  const result = row("`kill -9` of the main process until it runs again");
  for (const side of sides) {
    const out = join(side.directory, "out");
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out);
    side.project("restarting", `services:\n  s1:\n    image: ${side.image("busybox:1")}\n    restart: always\n    command: ["sh", "-c", "trap 'exit 0' TERM; : > /out/started; sleep 100000 & wait"]\n    volumes: ["./out:/out"]\n`);
    const started = next(out);
    side.compose("up", "-d");
    await started.event;
  }
  try {
    for (let round = 0; round < rounds; round += 1) {
      for (const side of sides) {
        // Docker's delay doubles from 100 ms for a run shorter than 10 s, and so does ours: each waits that long.
        await new Promise((resolve) => setTimeout(resolve, 10_500 / sides.length));
        const started = next(join(side.directory, "out"));
        const pid = side.mainPid("restarting", "s1");
        const at = performance.now();
        process.kill(pid, "SIGKILL");
        add(result, side, (await started.event) - at);
      }
    }
  } finally {
    for (const side of sides) {
      side.use("restarting");
      side.compose("down");
    }
  }
  return [result];
}

/** The next write to a file in a directory, with its time. */
function next(directory) {
  let watcher;
  const event = new Promise((resolve, reject) => {
    const timer = setTimeout(() => (watcher.close(), reject(new Error(`${directory}: nothing was started within a minute`))), 60_000);
    watcher = watch(directory, () => {
      const at = performance.now();
      clearTimeout(timer);
      watcher.close();
      resolve(at);
    });
  });
  return { event };
}

export async function residentMemory(sides) {
  const base = row("memory of our own processes, 1 container (PSS)", "MB");
  const ten = row("memory of our own processes, 10 containers (PSS)", "MB");
  for (const [count, r] of [[1, base], [10, ten]]) {
    for (const side of sides) {
      side.project(`memory${count}`, services(count, side.image("busybox:1")));
      side.compose("up", "-d");
      await new Promise((resolve) => setTimeout(resolve, 3000)); // both let go of what starting needed
      add(r, side, side.memory());
      side.compose("down");
    }
  }
  base.name = "memory of the tool's own processes, 1 container (PSS)";
  ten.name = "memory of the tool's own processes, 10 containers (PSS)";
  return [base, ten];
}

export function writeProject(directory, text) {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "compose.yaml"), text);
}
