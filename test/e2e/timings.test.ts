import { expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";

const used = useMachine({ images: true });

interface Analysis {
  readonly ok: boolean;
  readonly ended: number;
  readonly planned: number;
  readonly operations: readonly { readonly id: string; readonly status: string; readonly time?: { readonly start: number; readonly end: number }; readonly held?: { readonly container: string } }[];
  readonly criticalPath: readonly { readonly id: string; readonly took: number; readonly queued: number }[];
}

const analysis = async (): Promise<Analysis> => JSON.parse(await used.current.ok("analyze", "--format", "json")) as Analysis;

const slowDatabase = (command: string): string => `services:
  db:
    image: busybox:1
    command: [sh, -c, "${command}"]
    ready: {file: /ok}
  beside: {image: "busybox:1", command: [sleep, "1000"]}
  web:
    image: busybox:1
    command: [sleep, "1000"]
    depends_on: {db: {condition: service_healthy}, beside: {condition: service_started}}
`;

test("where the time of a start went is shown with it, and later, with nothing running any more", async () => {
  const machine = used.current;
  machine.write("stack.yaml", slowDatabase("sleep 1; touch /ok; exec sleep 1000"));
  const { code, output, stdout } = await machine.stack("up", "-d", "--timings");
  expect(code, output).toBe(0);
  expect(stdout).toBe("");
  expect(output).toMatch(/CRITICAL PATH +TOOK +SHARE/);
  expect(output).toMatch(/wait db service_healthy +1\.\d\d s +\d+ % +project-db-1: health: starting/);
  // What the web server did not wait for is a light bar, and not in the table.
  expect(output.match(/start-container project-beside-1/g)).toHaveLength(1);
  expect(output).toMatch(/start-container project-beside-1 +░+ /);

  const { criticalPath, operations, ended, planned, ok } = await analysis();
  expect(ok).toBe(true);
  expect(criticalPath.map(({ id }) => id)).toEqual(["create-network project_default", "create-container project-db-1", "start-container project-db-1", "wait db service_healthy", "start-container project-web-1"]);
  expect(criticalPath[3]?.took).toBeGreaterThanOrEqual(900);
  const whole = criticalPath.reduce((sum, { took, queued }) => sum + took + queued, planned);
  expect(Math.abs(ended - whole)).toBeLessThan(50);
  expect(operations.find(({ id }) => id === "wait db service_healthy")?.held?.container).toBe("project-db-1");

  // Nothing to do is no start: what is known stays.
  expect((await machine.stack("up", "-d", "--timings")).output).toContain("nothing was done, so that there are no timings");
  await machine.ok("down", "-t", "0");
  expect((await analysis()).criticalPath).toEqual(criticalPath);
  expect(await machine.ok("analyze", "--format", "dot")).toContain('digraph "project" {');
});

test("of a start that fails it is known where, and what was skipped because of it", async () => {
  const machine = used.current;
  machine.write("stack.yaml", slowDatabase("echo no disk; exit 3"));
  const { code, output } = await machine.stack("up", "-d", "--timings");
  expect(code, output).toBe(1);
  expect(output).toMatch(/wait db service_healthy .* failed: project-db-1 was expected to become healthy, but exited with 3/);
  expect(output).toContain("1 operation was skipped");
  const { ok, operations } = await analysis();
  expect(ok).toBe(false);
  expect(operations.find(({ id }) => id === "start-container project-web-1")).toMatchObject({ status: "skipped" });
  await machine.ok("down", "-t", "0");
});

test("a project that was never started has nothing to analyze", async () => {
  const { code, output } = await used.current.stack("-p", "never", "analyze");
  expect(code).not.toBe(0);
  expect(output).toContain('Nothing is known of a start of project "never"');
});
