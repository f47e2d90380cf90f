import { copyFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { repository, useMachine } from "../support/machine.ts";

const used = useMachine();

test("stack.yaml.example starts as it is, without any image, and does what it shows", async () => {
  const machine = used.current;
  copyFileSync(join(repository, "stack.yaml.example"), join(machine.directory, "stack.yaml"));
  machine.write(".env", `DB_PASSWORD=secret\nPORT=8099\nNODE_DIR=${dirname(process.execPath)}\n`);
  await machine.ok("up", "-d");
  const of = (service: string) => machine.containers.filter((c) => c.record.service === service);
  for (const [service, count] of [["web", 1], ["app", 2], ["db", 1], ["legacy", 1]] as const)
    expect(of(service).map((c) => c.state?.status), service).toEqual(Array.from({ length: count }, () => "running"));
  expect(of("migrate")[0]?.state).toMatchObject({ status: "exited", exitCode: 0 });
  expect(of("tools")).toEqual([]);
  expect(await machine.ok("exec", "-T", "app", "cat", "/run/secrets/db_password")).toBe("secret");
  expect(await machine.ok("exec", "-T", "web", "cat", "/etc/motd")).toBe("Welcome to shop.\n");
  await machine.ok("up", "-d", "--wait", "web");
  const ask = `fetch("http://127.0.0.1:8099/").then(async (r) => console.log(r.status, await r.text()))`;
  expect((await machine.command([process.execPath, "-e", ask]).ended).stdout).toBe("200 ok\n");
  await machine.ok("--profile", "debug", "up", "-d", "tools");
  expect(of("tools").map((c) => c.state?.status)).toEqual(["running"]);
  await machine.ok("--profile", "debug", "down", "-v", "-t", "1");
});
