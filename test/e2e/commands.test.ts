import { afterEach, describe, expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";
import { onTerminal, plain } from "../support/terminal.ts";

const used = useMachine({ images: true });
const two = `services:
  web:
    image: busybox:1
    init: true
    command: [sh, -c, "echo web says hello; echo web complains >&2; sleep 100000"]
    ports: ["8090:80", "8091:81/udp"]
  job:
    image: busybox:1
    command: [sh, -c, "echo job works; exit 3"]
`;
const lines = (text: string) => text.trim().split("\n").filter((l) => l !== "");

afterEach(async () => {
  await used.current.ok("down", "-v", "-t", "1", "--remove-orphans");
  expect(await used.current.remains()).toEqual([]);
});

describe("up", () => {
  test("attached shows every service's output under its name, and ends with the last container", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two.replace("sleep 100000", "sleep 0.2"));
    const { code, stdout } = await machine.stack("up");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^web-1 +\| web says hello$/m);
    expect(stdout).toMatch(/^job-1 +\| job works$/m);
    expect(stdout).toMatch(/job-1.* exited with code 3/);
  });

  test("--abort-on-container-exit stops the others; --exit-code-from gives the status of one", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two);
    const aborted = await machine.stack("up", "--abort-on-container-exit", "-t", "1");
    expect(aborted.code, aborted.output).toBe(3);
    expect(machine.containers.filter((c) => c.state?.status === "running")).toEqual([]);
    expect((await machine.stack("up", "--exit-code-from", "job", "-t", "1")).code).toBe(3);
    expect((await machine.stack("up", "--abort-on-container-failure", "-t", "1")).code).toBe(3);
  });

  test("--wait fails when a service turns unhealthy, and shows what its probe said", async () => {
    const machine = used.current;
    machine.write("compose.yaml", `services:\n  web:\n    image: busybox:1\n    init: true\n    command: [sleep, "1000"]\n    healthcheck: {test: "echo the disk is on fire; exit 1", interval: 100ms, retries: 2}\n`);
    const { code, output } = await machine.stack("up", "-d", "--wait");
    expect(code).toBe(1);
    expect(output).toMatch(/unhealthy/);
    expect(output).toContain("the disk is on fire");
    expect(await machine.ok("ps")).toContain("(unhealthy)");
  });

  test("--wait-timeout ends the waiting", async () => {
    const machine = used.current;
    machine.write("compose.yaml", `services:\n  web:\n    image: busybox:1\n    init: true\n    command: [sleep, "1000"]\n    healthcheck: {test: "exit 1", interval: 10s, start_period: 100s}\n`);
    const { code, output, ms } = await machine.stack("up", "-d", "--wait", "--wait-timeout", "1");
    expect(code).not.toBe(0);
    expect(output).toMatch(/timeout|within 1/i);
    expect(ms).toBeLessThan(8000);
  });

  test("a dependency that fails keeps its dependents from starting, which is said", async () => {
    const machine = used.current;
    machine.write("compose.yaml", `services:\n  migrate: {image: "busybox:1", command: [sh, -c, "exit 4"]}\n  web: {image: "busybox:1", command: [sleep, "1000"], depends_on: {migrate: {condition: service_completed_successfully}}}\n`);
    const { code, output } = await machine.stack("up", "-d");
    expect(code).toBe(1);
    expect(output).toContain("migrate");
    expect(output).toMatch(/exit (status |code )?4|\(4\)|with 4/);
    expect(machine.containers.find((c) => c.record.service === "web")?.state).toBeUndefined();
  });

  test("warns of orphans, and removes them when told", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two);
    await machine.ok("up", "-d");
    machine.write("compose.yaml", two.replace(/ {2}job:[^]*/, ""));
    const { output } = await machine.stack("up", "-d");
    expect(output).toMatch(/orphan/i);
    expect(output).toContain("project-job-1");
    await machine.ok("up", "-d", "--remove-orphans");
    expect(machine.containers.map((c) => c.record.name)).toEqual(["project-web-1"]);
  });

  test("on a terminal draws progress, and detaches with d", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two);
    const up = onTerminal(machine, ["up"]);
    await up.until("web says hello");
    up.write("d");
    const { output } = await up.ended;
    expect(plain(output)).toMatch(/project-web-1/);
    expect(machine.container("project-web-1").state?.status).toBe("running");
  });

  test("colours on a terminal, and not with NO_COLOR", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two.replace("sleep 100000", "true"));
    const colour = /\x1b\[(3[0-9]|9[0-7]|38;)[0-9;]*m/;
    expect((await onTerminal(machine, ["up"]).ended).output).toMatch(colour);
    expect((await onTerminal(machine, ["up"], { env: { NO_COLOR: "1" } }).ended).output).not.toMatch(colour);
    expect((await machine.stack("up")).output).not.toMatch(colour);
  });
});

describe("lists", () => {
  test("ps, ls, images, volumes, port and their JSON", async () => {
    const machine = used.current;
    machine.write("compose.yaml", `${two}    volumes: ["data:/data"]\nvolumes: {data: {}}\n`);
    await machine.ok("up", "-d");
    await machine.until("the job ended", (all) => all.some((c) => c.record.service === "job" && c.state?.status === "exited"));
    const table = await machine.ok("ps");
    expect(table).toMatch(/^NAME +IMAGE +COMMAND +SERVICE +CREATED +STATUS +PORTS$/m);
    expect(table).toContain("0.0.0.0:8090->80/tcp");
    expect(table).not.toContain("job-1");
    expect(await machine.ok("ps", "-a")).toMatch(/job-1.*Exited \(3\)/);
    expect(lines(await machine.ok("ps", "-q"))).toHaveLength(1);
    const [listed] = await machine.json<Record<string, unknown>>("ps");
    expect(listed).toMatchObject({ Name: "project-web-1", Service: "web", Project: "project", State: "running", ExitCode: 0, Health: "" });
    expect(await machine.ok("port", "web", "80")).toBe("0.0.0.0:8090\n");
    expect(await machine.ok("port", "--protocol", "udp", "web", "81")).toBe("0.0.0.0:8091\n");
    expect((await machine.stack("port", "web", "99")).code).not.toBe(0);
    expect(await machine.json<{ Name: string; Status: string }>("ls")).toMatchObject([{ Name: "project", Status: expect.stringMatching(/running\(1\)/) }]);
    expect((await machine.json<{ Repository: string }>("images")).map((i) => i.Repository)).toContain("busybox");
    expect((await machine.json<{ Name: string }>("volumes")).map((v) => v.Name)).toEqual(["project_data"]);
  });

  test("work without the file, by the project's name", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two);
    await machine.ok("-p", "named", "up", "-d", "web");
    const elsewhere = { cwd: "/" };
    expect((await machine.start(["-p", "named", "ps", "-q"], elsewhere).ended).stdout.trim()).toMatch(/^[0-9a-f]{12,64}$/);
    expect((await machine.start(["-p", "named", "logs"], elsewhere).ended).stdout).toContain("web says hello");
    expect((await machine.start(["-p", "named", "down", "-t", "1"], elsewhere).ended).code).toBe(0);
  });
});

describe("logs", () => {
  test("are kept, tailed, dated, by service, both streams", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two);
    await machine.ok("up", "-d");
    await machine.until("the job ended", (all) => all.some((c) => c.record.service === "job" && c.state?.status === "exited"));
    const follow = machine.start(["logs", "-f"]);
    await follow.until("web complains");
    follow.signal("SIGINT");
    await follow.ended;
    expect(lines(await machine.ok("logs", "--no-log-prefix", "job"))).toEqual(["job works"]);
    const last = await machine.stack("logs", "--no-log-prefix", "--tail", "1", "web");
    expect(lines(last.output)).toHaveLength(1);
    const both = await machine.stack("logs", "--no-log-prefix", "web");
    expect([[...lines(both.stdout)].sort(), both.stderr]).toEqual([["web complains", "web says hello"], ""]); // one stream, as Docker Compose has it: people pipe it
    expect(await machine.ok("logs", "-t", "job")).toMatch(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z job works/);
    await machine.ok("restart", "web", "-t", "1");
    expect(lines(await machine.ok("logs", "--no-log-prefix", "web")).filter((l) => l === "web says hello").length).toBeGreaterThanOrEqual(1);
  });
});

describe("single services", () => {
  test("start, stop, restart, kill, pause, rm", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two.replace(/ {2}job:[^]*/, ""));
    const status = () => machine.container("project-web-1").state?.status;
    await machine.ok("create");
    expect(machine.container("project-web-1").state).toBeUndefined();
    await machine.ok("start");
    const first = machine.pid("project-web-1");
    await machine.ok("restart", "-t", "1");
    expect(machine.pid("project-web-1")).not.toBe(first);
    await machine.ok("pause");
    expect(status()).toBe("paused");
    expect(await machine.ok("ps")).toContain("(Paused)");
    await machine.ok("unpause");
    await machine.ok("stop", "-t", "1");
    expect(status()).toBe("exited");
    await machine.ok("start");
    await machine.ok("kill", "-s", "KILL");
    await machine.until("it was killed", (all) => all.some((c) => c.state?.status === "exited"));
    await machine.ok("rm", "-f");
    expect(machine.containers).toEqual([]);
  });

  test("rm leaves the containers of services that the file no longer has", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two);
    await machine.ok("create");
    machine.write("compose.yaml", two.slice(0, two.indexOf("  job:")));
    await machine.ok("rm", "-fs");
    expect(machine.containers.map((c) => c.record.service)).toEqual(["job"]);
  });

  test("wait gives the exit status", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two.replace("exit 3", "sleep 2; exit 3"));
    await machine.ok("up", "-d");
    const { code, stdout } = await machine.stack("wait", "job");
    expect(code).toBe(3);
    expect(stdout).toBe('container "project-job-1" exited with status code 3\n');
    machine.write("compose.yaml", `${two.replace("exit 3", "exit 0")}  other: {image: "busybox:1", command: [sh, -c, "sleep 1; exit 4"]}\n`);
    await machine.ok("up", "-d", "job", "other");
    const both = await machine.stack("wait", "job", "other");
    expect(both.code, "of those that failed").toBe(4);
    expect(both.stdout.trim().split("\n").sort()).toEqual(['container "project-job-1" exited with status code 0', 'container "project-other-1" exited with status code 4']);
    await machine.ok("stop", "-t", "0");
    expect((await machine.stack("kill")).code, "nothing to kill is no failure").toBe(0);
  });

  test("run makes a one-off container beside the service, with the dependencies, a terminal where there is one", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two.replace("ports:", "environment: {A: from-file}\n    ports:"));
    expect(await machine.ok("run", "--rm", "-T", "-e", "B=given", "web", "sh", "-c", "echo $A $B")).toBe("from-file given\n");
    expect((await onTerminal(machine, ["run", "--rm", "web", "sh", "-c", "test -t 0 && stty size"]).ended).output).toContain("40 120");
    expect(machine.containers).toEqual([]);
    await machine.ok("run", "-d", "--name", "kept", "web", "sleep", "1000");
    expect(machine.container("kept").record).toMatchObject({ oneoff: true, service: "web" });
  });

  test("exec gives a terminal of the right size, which follows the window", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two.replace(/ {2}job:[^]*/, ""));
    await machine.ok("up", "-d");
    const shell = onTerminal(machine, ["exec", "web", "sh"], { rows: 33, columns: 99 });
    await shell.until(/[#$] /);
    shell.write("stty size\r");
    await shell.until("33 99");
    shell.write("exit 6\r");
    expect((await shell.ended).code).toBe(6);
  });
});

describe("plan", () => {
  test("says what up would do and why, does nothing, and ends with 2 if there is something to do", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two.replace("ports:", 'environment: {DEBUG: "0"}\n    ports:').replace(/ {2}job:[^]*/, ""));
    const fresh = await machine.stack("plan", "--exit-code");
    expect(fresh.code, fresh.output).toBe(2);
    expect(fresh.stdout).toContain("project-web-1");
    expect(machine.containers).toEqual([]);
    await machine.ok("up", "-d");
    expect((await machine.stack("plan", "--exit-code")).code).toBe(0);
    machine.write("compose.yaml", machine.read("compose.yaml").replace('DEBUG: "0"', 'DEBUG: "1"'));
    expect((await machine.stack("plan")).stdout).toContain('environment.DEBUG: "0" → "1"');
    const [changed] = machine.containers;
    await machine.ok("up", "-d");
    expect(machine.containers[0]?.id).not.toBe(changed?.id);
  });
});

describe("config and version", () => {
  test("config prints the file as it is understood, which loads to the same", async () => {
    const machine = used.current;
    machine.write("compose.yaml", two);
    const once = await machine.ok("config");
    machine.write("again/compose.yaml", once);
    expect(await machine.ok("-f", "again/compose.yaml", "--project-directory", ".", "config")).toBe(once);
    expect(lines(await machine.ok("config", "--services")).sort()).toEqual(["job", "web"]);
    expect(lines(await machine.ok("config", "--images"))).toContain("busybox:1");
  });

  test("version names program and version", async () => {
    expect(await used.current.ok("version")).toMatch(/stack.*\d+\.\d+\.\d+/i);
    expect(await used.current.ok("version", "--short")).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
