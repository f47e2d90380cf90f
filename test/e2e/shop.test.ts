import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";

interface Listed {
  readonly Name: string;
  readonly Service: string;
  readonly State: string;
  readonly Health: string;
  readonly ID: string;
}

const used = useMachine({ images: true, example: "shop" });
const url = "http://127.0.0.1:8081";
const ids = () => Object.fromEntries(used.current.containers.map((c) => [c.record.name, c.id]));
const mainProcess = (name: string) => {
  // The child of our init is the user's main process.
  const pid = used.current.pid(name);
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter((p) => p !== "");
  return Number(children[0] ?? pid);
};

describe("the shop", () => {
  test("comes up healthy, every service behind its gate", async () => {
    const machine = used.current;
    await machine.ok("up", "-d", "--wait");
    const listed = await machine.json<Listed>("ps");
    expect(listed.map((c) => `${c.Name} ${c.State} ${c.Health}`).sort()).toEqual([
      "shop-cache-1 running healthy",
      "shop-db-1 running healthy",
      "shop-proxy-1 running healthy",
      "shop-web-1 running healthy",
      "shop-web-2 running healthy",
    ]);
    const started = (name: string) => Date.parse(machine.container(name).state?.startedAt ?? "");
    expect(started("shop-web-1")).toBeGreaterThan(started("shop-db-1"));
    expect(started("shop-proxy-1")).toBeGreaterThan(started("shop-web-2"));
  });

  test("answers over HTTP through nginx, both replicas in turn", async () => {
    const hosts = new Set<string>();
    for (let n = 1; n <= 12; n += 1) {
      const { status, body } = await used.current.network.http(`${url}/`);
      expect(status).toBe(200);
      const [, host, visit] = /^shop (\S+) visit (\d+)$/m.exec(body) ?? [];
      expect(Number(visit)).toBe(n);
      hosts.add(host ?? "");
    }
    expect(hosts.size).toBe(2);
  });

  test("keeps what is posted in PostgreSQL, which can be asked in SQL", async () => {
    const { network } = used.current;
    const added = await network.http({ url: `${url}/products`, method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ name: "maté", price: 3.25 }) });
    expect(added.status).toBe(201);
    expect(JSON.parse((await network.http(`${url}/products`)).body)).toContainEqual({ name: "maté", price: 3.25 });
    const rows = await used.current.ok("exec", "-T", "db", "psql", "-U", "shop", "-At", "-c", "SELECT name, price FROM product ORDER BY id DESC LIMIT 1");
    expect(rows).toBe("maté|3.25\n");
  });

  test("does nothing when there is nothing to do", async () => {
    const before = ids();
    await used.current.ok("up", "-d", "--wait");
    expect(ids()).toEqual(before);
  });

  test("brings a killed database back by its policy, with its data and its name", async () => {
    const machine = used.current;
    const { restarts = 0 } = machine.container("shop-db-1").state ?? {};
    process.kill(mainProcess("shop-db-1"), "SIGKILL");
    await machine.until("the database was restarted", (all) => all.find((c) => c.record.name === "shop-db-1" && c.state?.status === "running" && c.state.restarts > restarts));
    await machine.ok("up", "-d", "--wait");
    expect(JSON.parse((await machine.network.http(`${url}/products`)).body)).toContainEqual({ name: "maté", price: 3.25 });
  });

  test("recreates exactly what a change of the file touches", async () => {
    const machine = used.current;
    const before = ids();
    machine.write("compose.yaml", machine.read("compose.yaml").replace("REDIS_HOST: cache", "REDIS_HOST: cache\n      SEASON: winter"));
    await machine.ok("up", "-d", "--wait");
    const after = ids();
    const changed = Object.keys(before).filter((name) => before[name] !== after[name]);
    expect(changed.sort()).toEqual(["shop-web-1", "shop-web-2"]);
    expect(await machine.ok("exec", "-T", "web", "printenv", "SEASON")).toBe("winter\n");
  });

  test("scales up and down, highest numbers first to go, nobody else touched", async () => {
    const machine = used.current;
    const before = ids();
    await machine.ok("up", "-d", "--wait", "--scale", "web=3");
    expect(ids()).toMatchObject(before);
    expect(Object.keys(ids())).toContain("shop-web-3");
    await machine.ok("up", "-d", "--wait", "--scale", "web=1");
    expect(Object.keys(ids()).filter((n) => n.startsWith("shop-web"))).toEqual(["shop-web-1"]);
    expect(ids()["shop-web-1"]).toBe(before["shop-web-1"]);
    expect((await machine.network.http(`${url}/`)).status).toBe(200);
  });

  test("keeps the database out of the front network, and the secret out of the environment", async () => {
    const machine = used.current;
    const lookup = await machine.stack("exec", "-T", "proxy", "getent", "hosts", "db");
    expect(lookup.code).toBe(2);
    expect(lookup.ms, "a name that nobody has is refused, not waited for").toBeLessThan(5000);
    expect(await machine.ok("exec", "-T", "db", "cat", "/run/secrets/db_password")).toBe("correct-horse-battery\n");
    const environment = readFileSync(`/proc/${mainProcess("shop-db-1")}/environ`, "utf8");
    expect(environment).not.toContain("correct-horse");
  });

  test("keeps volumes over `down`, and gives them up with `down -v`, leaving nothing", async () => {
    const machine = used.current;
    await machine.ok("down");
    expect(await machine.remains({ volumes: true })).toEqual([]);
    await machine.ok("up", "-d", "--wait");
    expect(JSON.parse((await machine.network.http(`${url}/products`)).body)).toHaveLength(4);
    await machine.ok("down", "-v");
    expect(await machine.remains()).toEqual([]);
    expect(execFileSync("ls", [`${machine.root}/volumes`], { encoding: "utf8" })).toBe("");
  });
});
