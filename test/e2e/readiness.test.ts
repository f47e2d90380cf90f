import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";
import type { Recorded } from "../support/records.ts";

const used = useMachine({ images: true });

afterEach(async () => {
  await used.current.ok("down", "-v", "-t", "0");
});

const services = (text: string): void => void used.current.write("stack.yaml", `services:\n${text}`);

interface Kept {
  readonly status: string;
  readonly probes: readonly { readonly exitCode: number; readonly output: string; readonly timedOut: boolean }[];
  readonly remedy?: { readonly count: number; readonly gaveUp: boolean };
}

function file(container: Recorded, name: string): Kept {
  return JSON.parse(readFileSync(join(used.current.root, "containers", container.record.id, name), "utf8")) as Kept;
}

const startedAt = (name: string): number => Date.parse(used.current.container(name).state?.startedAt ?? "");

describe("ready", () => {
  test("every kind of probe has to hold before dependents start, and `up --wait` returns when the last one does", async () => {
    const machine = used.current;
    services(`
  web:
    image: busybox:1
    command:
      - sh
      - -c
      - |
        mkdir /www; echo '{"state": "well"}' > /www/health
        sleep 0.3; httpd -p 80 -h /www
        printf 'listen'; sleep 0.1; echo 'ing on port 80'
        sleep 0.2; touch /run-here
        exec sleep 1000
    ready:
      - tcp: 80
      - http: {port: 80, path: /health, status: 200-299, body: '"state": *"w'}
      - log: ^listening on port \\d+$
      - exec: [test, -e, /run-here]
      - file: /run-here
        interval: 20ms
  after:
    image: busybox:1
    command: [sleep, "1000"]
    depends_on: {web: {condition: service_healthy}}
  job:
    image: busybox:1
    command: [sh, -c, "sleep 0.2; exit 3"]
    ready: {exit: 3}
`);
    await machine.ok("up", "-d", "--wait");
    expect(startedAt("project-after-1") - startedAt("project-web-1")).toBeGreaterThanOrEqual(550);
    expect(machine.container("project-job-1").state).toMatchObject({ status: "exited", exitCode: 3 });
    const [web] = await machine.json<{ Health: string; Status: string }>("ps", "web");
    expect(web).toMatchObject({ Health: "healthy", Status: expect.stringContaining("(healthy)") });
    // Nothing changed, nothing is done, and what was ready is not asked again.
    expect(await machine.ok("plan", "web", "after")).toContain("nothing to do");
  });

  test("declared processes can wait for a line of their own log and for what an answer says, at each start", async () => {
    const machine = used.current;
    services(`
  web:
    image: busybox:1
    processes:
      http: {command: [sh, -c, "mkdir -p /www; echo no > /www/state; exec httpd -f -p 80 -h /www"], ready: {http: {port: 80, path: /state, body: ^yes}}}
      queue: {command: [sh, -c, "echo other said up; sleep 0.2; echo queue is up; exec sleep 1000"], ready: {log: ^queue is up$}}
      noise: {command: [sh, -c, "echo queue is up; exec sleep 1000"]}
      behind: {command: [sleep, "1000"], depends_on: {http: ready, queue: ready}}
`);
    await machine.ok("up", "-d");
    const processes = (): readonly { readonly name: string; readonly status: string; readonly restarts: number }[] => machine.container("project-web-1").state?.supervision?.processes ?? [];
    const untilIs = (name: string, status: string, restarts = 0): Promise<unknown> => machine.until(`${name} is ${status}`, () => processes().some((p) => p.name === name && p.status === status && p.restarts === restarts));
    await untilIs("queue", "running");
    expect(processes().find(({ name }) => name === "http")?.status).toBe("starting");
    expect(processes().find(({ name }) => name === "behind")?.status).toBe("waiting");
    await machine.ok("exec", "-T", "web", "sh", "-c", "echo yes > /www/state");
    await untilIs("behind", "running");
    // The lines of the run before do not count for the next one: it is ready when it says so again.
    await machine.ok("restart", "web:queue");
    const started = machine.container("project-web-1").state?.supervision?.processes?.find(({ name }) => name === "queue");
    await untilIs("queue", "running", 1);
    expect(Date.parse(started?.startedAt ?? "") + 190).toBeLessThan(Date.now());
  });

  test("one that is too late says which, and why, with the last lines of the log", async () => {
    const machine = used.current;
    services(`
  slow:
    image: busybox:1
    command: [sh, -c, "echo warming up; echo still waiting for nobody; exec sleep 1000"]
    ready: [{tcp: 81, timeout: 400ms}, {file: /etc/passwd-of-nobody}]
`);
    const { code, output } = await machine.stack("up", "-d", "--wait");
    expect(code, output).toBe(1);
    expect(output).toContain("project-slow-1 was expected to be running or healthy, but is unhealthy: not ready within 0.4 s: tcp 81: connection refused");
    expect(output).toContain("| still waiting for nobody");
    expect(await machine.ok("ps")).toContain("(unhealthy): not ready within 0.4 s: tcp 81");
  });

  test("a service that ends instead says how, with its last lines", async () => {
    const machine = used.current;
    services(`
  broken:
    image: busybox:1
    command: [sh, -c, "echo loading; echo 'cannot read /etc/shop.conf' >&2; exit 4"]
    logging: {driver: none}
    ready: {tcp: 80}
`);
    const { code, output } = await machine.stack("up", "-d", "--wait");
    expect(code, output).toBe(1);
    expect(output).toContain("project-broken-1 was expected to be running or healthy, but exited with 4");
    expect(output).toContain("| cannot read /etc/shop.conf");
  });

  test("a crash loop ends the wait, with how it crashes and its last lines; so does a policy that gives up", async () => {
    const machine = used.current;
    const crashing = (restart: string): string => `
  loop:
    image: busybox:1
    command: [sh, -c, "echo no database; exit 7"]
    restart: ${restart}
    ready: {tcp: 80}
  after: {image: "busybox:1", command: [sleep, "1000"], depends_on: {loop: {condition: service_healthy}}}
`;
    services(crashing("always"));
    const looped = await machine.stack("up", "-d");
    expect(looped.code, looped.output).toBe(1);
    expect(looped.output).toContain("is restarting, after 2 failures in a row: it exited with 7");
    expect(looped.output).toMatch(/project-loop-1 was expected to become healthy, but is in a crash loop: it failed [5-9] times in a row, and last exited with 7/);
    expect(looped.output).toContain("| no database");
    services(crashing("on-failure:2"));
    const gaveUp = await machine.stack("up", "-d", "--wait", "--wait-timeout", "60");
    expect(gaveUp.code, gaveUp.output).toBe(1);
    expect(gaveUp.output).toContain("but exited with 7, 3 times in a row: its restart policy gave up");
    expect(gaveUp.output).toContain("| no database");
  });

  test("without a probe too: one that crashes at once, or while the others were waited for", async () => {
    const machine = used.current;
    services(`
  loop:
    image: busybox:1
    command: [sh, -c, "echo no database; exit 7"]
    restart: always
`);
    const atOnce = await machine.stack("up", "-d", "--wait");
    expect(atOnce.code, atOnce.output).toBe(1);
    expect(atOnce.output).toMatch(/project-loop-1 was expected to be running or healthy, but is in a crash loop: it failed [5-9] times in a row, and last exited with 7/);
    expect(atOnce.output).toContain("| no database");
    services(`
  early:
    image: busybox:1
    command: [sh, -c, "echo lost the database; sleep 0.5; exit 7"]
    restart: "on-failure:1"
  job: {image: "busybox:1", command: ["true"]}
  late:
    image: busybox:1
    command: [sh, -c, "sleep 2; touch /ready; exec sleep 1000"]
    ready: {file: /ready}
`);
    const meanwhile = await machine.stack("up", "-d", "--wait", "--remove-orphans");
    expect(meanwhile.code, meanwhile.output).toBe(1);
    expect(meanwhile.output).toContain("project-early-1 was expected to be running or healthy, but exited with 7");
    expect(meanwhile.output).toContain("| lost the database");
    expect(meanwhile.output).not.toContain("project-job-1 was expected");
    services(`
  once:
    image: busybox:1
    command: [sh, -c, "[ -e /again ] || { touch /again; exit 7; }; exec sleep 1000"]
    restart: always
  job: {image: "busybox:1", command: ["true"]}
`);
    await machine.ok("up", "-d", "--wait", "--remove-orphans");
  });

  test("--wait-timeout ends what waits between services too, with what is missing", async () => {
    const machine = used.current;
    services(`
  never:
    image: busybox:1
    command: [sleep, "1000"]
    ready: {tcp: 80}
  after: {image: "busybox:1", command: [sleep, "1000"], depends_on: {never: {condition: service_healthy}}}
`);
    const began = Date.now();
    const { code, output } = await machine.stack("up", "-d", "--wait", "--wait-timeout", "1");
    expect(code, output).toBe(1);
    expect(Date.now() - began).toBeLessThan(6000);
    expect(output).toContain("Timed out after 1 s waiting for project-never-1 (health: starting: tcp 80: connection refused)");
  });

  test("an agent that takes over knows what was ready", async () => {
    const machine = used.current;
    services(`
  web:
    image: busybox:1
    command: [sh, -c, "touch /once; exec sleep 1000"]
    ready: {file: /once}
`);
    await machine.ok("up", "-d", "--wait");
    await machine.ok("exec", "web", "rm", "/once");
    for (const { pid, what } of machine.sweep.processes()) if (what.includes("stack-agent")) process.kill(pid, "SIGKILL");
    await machine.ok("up", "-d", "--wait", "--wait-timeout", "5");
    expect(await machine.ok("ps")).toContain("(healthy)");
  });
});

describe("health", () => {
  test("`unhealthy` comes with its reason: in `ps`, in the record, and in the error of who waited", async () => {
    const machine = used.current;
    services(`
  db:
    image: busybox:1
    command: [sleep, "1000"]
    healthcheck: {test: "seq 1 3000; echo disk is full; exit 3", interval: 50ms, retries: 2}
  web: {image: "busybox:1", command: [sleep, "1000"], depends_on: {db: {condition: service_healthy}}}
`);
    const { code, output } = await machine.stack("up", "-d");
    expect(code).toBe(1);
    expect(output).toMatch(/project-db-1 was expected to become healthy, but is unhealthy: .*disk is full/);
    expect(await machine.ok("ps")).toContain("(unhealthy): disk is full");
    const kept = await machine.until("five probes", () => {
      const { probes } = file(machine.container("project-db-1"), "health.json");
      return probes.length === 5 && probes;
    });
    for (const probe of kept) {
      expect(probe.exitCode).toBe(3);
      expect(Buffer.byteLength(probe.output)).toBeLessThanOrEqual(4096);
      expect(probe.output).toMatch(/3000\ndisk is full\n$/);
    }
  });

  test("on_unhealthy: restart, with its own limit, and the cause in the record", async () => {
    const machine = used.current;
    services(`
  web:
    image: busybox:1
    command: [sh, -c, "echo run; touch /fine; trap 'exit 0' TERM; sleep 0.2; rm /fine; while :; do sleep 0.05; done"]
    healthcheck: {test: "test -e /fine || { echo queue is stuck; exit 1; }", interval: 50ms, retries: 1}
    restart_policy: {first_delay: 0s, delay: 50ms, factor: 1}
    on_unhealthy: {action: restart, max: 2}
`);
    await machine.ok("up", "-d", "--wait");
    const ended = await machine.until("it was given up", () => {
      const health = file(machine.container("project-web-1"), "health.json");
      return health.remedy?.gaveUp === true && health;
    });
    expect(ended).toMatchObject({ status: "unhealthy", remedy: { count: 2, gaveUp: true } });
    const container = machine.container("project-web-1");
    expect(container.state).toMatchObject({ status: "running", restarts: 2 });
    expect(file(container, "crash.json")).toMatchObject({ endedBy: "health", reason: "unhealthy: queue is stuck", run: 1 });
    expect((await machine.ok("logs", "--no-log-prefix", "web")).match(/^run$/gm)).toHaveLength(3);
  });

  test("on_unhealthy acts on a daemon that has gone, too, once and for all verdicts", async () => {
    const machine = used.current;
    services(`
  legacy:
    image: busybox:1
    command: [sh, -c, "(setsid tail -f /dev/null &); trap 'exit 0' TERM; while :; do sleep 0.05; done"]
    expect: [tail]
    on_unhealthy: {action: restart, after: 3, max: 2}
`);
    await machine.ok("up", "-d", "--wait");
    await machine.ok("exec", "-T", "legacy", "killall", "tail");
    await machine.until("it runs again", (all) => all.find((c) => c.state?.restarts === 1 && c.state.status === "running" && c.state.supervision?.expected === true));
    const container = machine.container("project-legacy-1");
    expect(file(container, "crash.json")).toMatchObject({ endedBy: "health", reason: "unhealthy: tail, which is expected, has ended" });
    expect(file(container, "health.json").remedy).toEqual({ count: 1, gaveUp: false });
    expect(await machine.ok("ps", "legacy")).toContain("(healthy)");
  });

  test("a command that brings the daemon back ends it; one that does not is tried again, and given up", async () => {
    const machine = used.current;
    services(`
  mended:
    image: busybox:1
    command: [sh, -c, "(setsid tail -f /dev/null &); exec sleep 1000"]
    expect: [tail]
    on_unhealthy: {run: [sh, -c, "setsid tail -f /dev/null &"]}
  beyond:
    image: busybox:1
    command: [sh, -c, "(setsid tail -f /dev/null &); exec sleep 1000"]
    expect: [tail]
    on_unhealthy: {run: [sh, -c, "echo x >> /tried"], max: 2}
`);
    await machine.ok("up", "-d", "--wait");
    for (const service of ["mended", "beyond"]) await machine.ok("exec", "-T", service, "killall", "tail");
    await machine.until("it was given up", () => file(machine.container("project-beyond-1"), "health.json").remedy?.gaveUp === true);
    expect(await machine.ok("exec", "-T", "beyond", "cat", "/tried")).toBe("x\nx\n");
    expect(file(machine.container("project-mended-1"), "health.json").remedy).toEqual({ count: 1, gaveUp: false });
    expect(await machine.ok("ps", "mended")).toContain("(healthy)");
    expect(await machine.ok("ps", "beyond")).toContain("(unhealthy): tail, which is expected, has ended");
  });

  test("who depends on it with `restart`, or shares its namespaces, is restarted with it, when it is well again", async () => {
    const machine = used.current;
    services(`
  db:
    image: busybox:1
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.05; done"]
    healthcheck: {test: "test ! -e /ill || { rm /ill; exit 1; }", interval: 50ms, retries: 1}
    on_unhealthy: restart
  web:
    image: busybox:1
    command: [sleep, "1000"]
    depends_on: {db: {condition: service_healthy, restart: true}}
  inside: {image: "busybox:1", command: [sleep, "1000"], ipc: "service:db"}
  other: {image: "busybox:1", command: [sleep, "1000"], depends_on: {db: {condition: service_healthy}}}
`);
    await machine.ok("up", "-d", "--wait");
    await machine.ok("exec", "-T", "db", "touch", "/ill");
    const again = (name: string): Promise<unknown> => machine.until(`${name} runs again`, (all) => all.find((c) => c.record.service === name && c.state?.restarts === 1 && c.state.status === "running"));
    for (const name of ["db", "web", "inside"]) await again(name);
    expect(startedAt("project-web-1")).toBeGreaterThan(startedAt("project-db-1"));
    expect(machine.container("project-other-1").state?.restarts).toBe(0);
    expect(file(machine.container("project-db-1"), "crash.json")).toMatchObject({ endedBy: "health" });
  });

  test("on_unhealthy: stop, and the restart policy leaves it so", async () => {
    const machine = used.current;
    services(`
  web:
    image: busybox:1
    command: [sleep, "1000"]
    restart: always
    healthcheck: {test: "echo no answer; exit 1", interval: 30ms, retries: 2}
    on_unhealthy: stop
`);
    await machine.ok("up", "-d");
    const web = await machine.until("it is stopped", (all) => all.find((c) => c.state?.status === "exited"));
    expect(web.state).toMatchObject({ endedBy: "health", reason: "unhealthy: no answer", restarts: 0 });
    expect(await machine.ok("ps", "-a")).toContain("(unhealthy: no answer)");
  });

  test("on_unhealthy: run executes in the container, knows why, and a container that is well again is left alone", async () => {
    const machine = used.current;
    services(`
  web:
    image: busybox:1
    command: [sleep, "1000"]
    healthcheck: {test: "test -e /mended || { echo broken; exit 1; }", interval: 30ms, retries: 1}
    on_unhealthy: {run: [sh, -c, 'echo "$$STACK_UNHEALTHY" > /mended'], after: 2}
`);
    await machine.ok("up", "-d", "--wait");
    expect(await machine.ok("exec", "web", "cat", "/mended")).toBe("unhealthy: broken\n");
    expect(machine.container("project-web-1").state).toMatchObject({ restarts: 0, status: "running" });
  });

  test("a probe that hangs, writes without end or forks for ever harms nothing but its own verdict", async () => {
    const machine = used.current;
    services(`
  hangs: &bad
    image: busybox:1
    command: [sleep, "1000"]
    healthcheck: {test: "sleep 4441 & sleep 4442", interval: 50ms, timeout: 200ms, retries: 2}
  floods:
    <<: *bad
    healthcheck: {test: "yes spam", interval: 50ms, timeout: 300ms, retries: 1}
  forks:
    <<: *bad
    healthcheck: {test: "f() { f | f & }; f; sleep 4443", interval: 50ms, timeout: 300ms, retries: 1}
  fine:
    <<: *bad
    healthcheck: {test: "true", interval: 50ms, retries: 1}
`);
    await machine.ok("up", "-d");
    const health = (name: string) => file(machine.container(`project-${name}-1`), "health.json");
    await machine.until("all three are found unhealthy", () => ["hangs", "floods", "forks"].every((name) => health(name).status === "unhealthy"));
    expect(health("fine").status).toBe("healthy");
    for (const name of ["hangs", "floods", "forks"]) {
      expect(health(name).probes.at(-1)?.timedOut, name).toBe(true);
      expect((await machine.ok("exec", name, "echo", "alive")).trim()).toBe("alive");
    }
  });
});

describe("what cannot be is refused when the file is loaded, at its place", () => {
  test.each([
    ["network_mode: none\n    ready: {tcp: 80}", "stack.yaml:5:", "no network"],
    ["logging: {driver: none}\n    ready: {log: up}", "stack.yaml:5:", "logging"],
    ["restart: always\n    ready: {exit: 0}", "stack.yaml:5:", "restart"],
    ["healthcheck: {disable: true}\n    on_unhealthy: restart", "stack.yaml:5:", "health"],
    ["ready: {tcp: 70000}", "stack.yaml:4:", "65535"],
  ])("%s", async (text, place, word) => {
    used.current.write("stack.yaml", `services:\n  web:\n    image: busybox:1\n    ${text}\n`);
    const { code, output } = await used.current.stack("up", "-d");
    expect(code).not.toBe(0);
    expect(output).toContain(place);
    expect(output).toContain(word);
    used.current.write("stack.yaml", "services: {web: {image: 'busybox:1'}}\n");
  });
});
