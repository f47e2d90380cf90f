import { expect, it } from "vitest";
import { orphanOptions } from "./orphans.ts";

it.each([
  [{}, false, { removeOrphans: false, ignoreOrphans: false }],
  [{}, true, { removeOrphans: true, ignoreOrphans: false }],
  [{ COMPOSE_REMOVE_ORPHANS: "1" }, false, { removeOrphans: true, ignoreOrphans: false }],
  [{ COMPOSE_REMOVE_ORPHANS: "no" }, false, { removeOrphans: false, ignoreOrphans: false }],
  [{ COMPOSE_REMOVE_ORPHANS: " TRUE " }, false, { removeOrphans: true, ignoreOrphans: false }],
  [{ COMPOSE_IGNORE_ORPHANS: "y" }, false, { removeOrphans: false, ignoreOrphans: true }],
  [{ COMPOSE_IGNORE_ORPHANS: "true" }, false, { removeOrphans: false, ignoreOrphans: true }],
])("what %j and --remove-orphans=%j say of orphans", (env, asked, expected) => {
  expect(orphanOptions(env, asked)).toEqual(expected);
});

it.each([
  [{ COMPOSE_IGNORE_ORPHANS: "1" }, true],
  [{ COMPOSE_IGNORE_ORPHANS: "1", COMPOSE_REMOVE_ORPHANS: "1" }, false],
])("%j and --remove-orphans=%j contradict each other", (env, asked) => {
  expect(() => orphanOptions(env, asked)).toThrow("cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans");
});
