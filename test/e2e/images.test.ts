import { existsSync, statSync } from "node:fs";
import { expect, test } from "vitest";
import { imageLayout } from "../support/images/index.ts";

test("the images of the examples are made on this machine, once", async () => {
  const layout = await imageLayout();
  expect(existsSync(`${layout}/index.json`)).toBe(true);
  const { birthtimeMs } = statSync(layout);
  expect(await imageLayout()).toBe(layout);
  expect(statSync(layout).birthtimeMs).toBe(birthtimeMs);
}, 300_000);
