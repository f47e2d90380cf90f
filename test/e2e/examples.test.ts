import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";

describe("the quickstart", () => {
  const used = useMachine({ example: "quickstart" });

  test("comes up from the host's tools alone, and counts visits over a restart", async () => {
    const machine = used.current;
    const node = join(process.execPath, "..");
    machine.write(".env", node.startsWith("/usr/") ? "PORT=8099\n" : `PORT=8099\nNODE_DIR=${node}\n`);
    await machine.ok("up", "-d", "--wait");
    expect((await machine.network.http("http://127.0.0.1:8099/")).body).toMatch(/^Hello from .*\nContainer \S+, visit number 1\n$/);
    await machine.ok("restart", "counter");
    await machine.ok("up", "-d", "--wait");
    expect((await machine.network.http("http://127.0.0.1:8099/")).body).toContain("visit number 2");
  });

  test("shows an edited file at once, as its directory is mounted", async () => {
    const machine = used.current;
    machine.write("app/page.txt", "Changed.\n");
    expect((await machine.network.http("http://127.0.0.1:8099/")).body).toMatch(/^Changed\./);
  });

  test("hides the host's homes, state and credentials, and writes only to its own layer", async () => {
    const machine = used.current;
    const run = (script: string) => machine.ok("exec", "-T", "counter", "sh", "-c", script);
    expect(await run("ls /root /home /var/tmp /run 2>/dev/null | grep -v : | grep . || true")).not.toMatch(/stack-test|docker|user/);
    expect(await run("cat /etc/shadow 2>/dev/null || echo none")).toBe("none\n");
    expect(await run("ls /etc/ssh /etc/ssl/private 2>/dev/null || true")).toBe("");
    await run("touch /usr/local/written-by-stack-test /etc/written-by-stack-test && ls /usr/local/written-by-stack-test");
    expect(existsSync("/usr/local/written-by-stack-test")).toBe(false);
    expect(existsSync("/etc/written-by-stack-test")).toBe(false);
  });

  test("goes without a trace", async () => {
    await used.current.ok("down", "-v");
    expect(await used.current.remains()).toEqual([]);
  });
});

describe("the counter", () => {
  const used = useMachine({ images: true, example: "counter" });

  test("counts in Redis, found by its service name", async () => {
    const machine = used.current;
    await machine.ok("up", "-d");
    await machine.start(["logs", "-f", "web"]).until("Listening at");
    for (const n of [1, 2, 3]) expect((await machine.network.http("http://127.0.0.1:8000/")).body).toBe(`Hello World! I have been seen ${n} times.\n`);
    await machine.ok("down", "-v");
    expect(await machine.remains()).toEqual([]);
  });
});

describe("the jobs", () => {
  const used = useMachine({ images: true, example: "jobs" });
  const report = async () => (await used.current.ok("run", "--rm", "-T", "report")).trim();

  test("start after the migrations succeeded, which end for good", async () => {
    const machine = used.current;
    await machine.ok("up", "-d");
    const migrate = machine.container("jobs-migrate-1");
    expect(migrate.state).toMatchObject({ status: "exited", exitCode: 0 });
    expect(Date.parse(machine.container("jobs-worker-1").state?.startedAt ?? "")).toBeGreaterThanOrEqual(Date.parse(migrate.state?.finishedAt ?? ""));
    expect(machine.containers.map((c) => c.record.service)).not.toContain("report"); // its profile was not asked for
  });

  test("are done, and a worker that fails on one comes back", async () => {
    const machine = used.current;
    await machine.ok("exec", "-T", "queue", "redis-cli", "rpush", "numbers", "1", "2", "3", "poison", "4");
    await machine.until("a worker failed and was restarted", (all) => all.some((c) => c.record.service === "worker" && (c.state?.restarts ?? 0) > 0 && c.state?.status === "running"));
    const logs = machine.start(["logs", "-f", "--no-log-prefix", "worker"]);
    for (const line of ["1 -> 1", "2 -> 4", "3 -> 9", "4 -> 16", "cannot digest this"]) await logs.until(line);
    logs.signal("SIGINT");
    await logs.ended;
    expect(await report()).toBe("4|30");
    expect(machine.containers.filter((c) => c.record.oneoff)).toEqual([]); // --rm
  });

  test("survive a stop: what was done stays done", async () => {
    const machine = used.current;
    await machine.ok("stop");
    expect(machine.containers.filter((c) => c.state?.status === "running")).toEqual([]);
    await machine.ok("up", "-d");
    expect(await report()).toBe("4|30");
    await machine.ok("down", "-v");
    expect(await machine.remains()).toEqual([]);
  });
});

describe("the hardened application", () => {
  const used = useMachine({ images: true, example: "hardened" });

  test("has no more rights than its file gives it", async () => {
    const machine = used.current;
    await machine.ok("up", "-d", "--wait");
    expect(JSON.parse((await machine.network.http("http://127.0.0.1:8083/")).body)).toEqual({
      greeting: "good day",
      hostname: "hardened-app",
      uid: 1000,
      writesRoot: "EROFS",
      writesTmp: "yes",
      capabilities: "0000000000000000",
      noNewPrivileges: "1",
      openFiles: ["2048", "2048"], // Node raises the soft limit to the hard one
    });
    expect(await machine.ok("exec", "-T", "app", "cat", "/etc/motd")).toBe("Deployed as production.\n");
    expect(await machine.ok("exec", "-T", "app", "sh", "-c", "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max")).toBe("64\n");
  });

  test("is published on loopback alone", async () => {
    const machine = used.current;
    expect(await machine.ok("port", "app", "3000")).toBe("127.0.0.1:8083\n");
  });

  test("is reached by its alias and fixed address from the service of another profile", async () => {
    const machine = used.current;
    await machine.ok("--profile", "debug", "up", "-d");
    const logs = machine.start(["--profile", "debug", "logs", "-f", "probe"]);
    await logs.until('"hostname":"hardened-app"');
    logs.signal("SIGINT");
    await logs.ended;
    expect(await machine.ok("--profile", "debug", "exec", "-T", "probe", "nslookup", "www")).toContain("172.31.77.10");
    await machine.ok("--profile", "debug", "down", "-v");
    expect(await machine.remains()).toEqual([]);
  });
});

describe("the CI database", () => {
  const used = useMachine({ example: "ci-database" });

  test("ends with the status of the tests: 0", async () => {
    const result = await used.current.stack("up", "--exit-code-from", "tests");
    expect(result.output).toMatch(/ok {3}a thousand rows/);
    expect(result.code, result.output).toBe(0);
    await used.current.ok("down", "-v");
    expect(await used.current.remains()).toEqual([]);
  });

  test("ends with the status of the tests: not 0", async () => {
    const machine = used.current;
    machine.write("stack.yaml", machine.read("stack.yaml").replace("PGHOST: db", "PGHOST: db\n      EXPECTED_SUM: 7"));
    const result = await machine.stack("up", "--exit-code-from", "tests");
    expect(result.output).toContain("FAIL expected sum: expected 7, got 500500");
    expect(result.code).toBe(1);
    await machine.ok("down", "-v");
    expect(await machine.remains()).toEqual([]);
  });
});

describe("several processes", () => {
  const used = useMachine({ example: "processes" });

  test("the worker starts when the server answers, and one is restarted without the others", async () => {
    const machine = used.current;
    await machine.ok("up", "-d");
    await machine.until("the worker runs", (all) => all.find((c) => c.state?.supervision?.processes?.some((p) => p.name === "worker" && p.status === "running") === true));
    await machine.ok("restart", "web:http");
    const rows = await machine.json<{ Process: string; State: string; Restarts: string }>("ps", "--processes", "--format", "json");
    expect(rows.map((row) => [row.Process, row.Restarts])).toEqual([["prepare", "0"], ["http", "1"], ["worker", "0"]]);
    await machine.ok("down");
    expect(await machine.remains()).toEqual([]);
  });
});
