import { describe, expect, it } from "vitest";
import { container, context, defaults, empty, project, service } from "./fixtures.ts";
import { reconcile } from "./reconcile.ts";
import { renderPlan } from "./render.ts";

const db = service("db", { healthcheck: { disable: false, test: { kind: "shell", command: "true" } } });
const web = service("web", { scale: 2, depends_on: { db: { condition: "service_healthy" } } });

describe("up from nothing", () => {
  it("x", () => {
    console.log(renderPlan(reconcile(project([db, web]), empty, defaults, context)));
    expect(container(db).name).toBe("shop-db-1");
  });
});
