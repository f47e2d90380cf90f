import { describe, expect, it } from "vitest";
import { findings, projectOf } from "./load-text.test-support.ts";

const DEFAULTS = { first_delay: 0, delay: 100, factor: 2, max_delay: 60_000, jitter: 0, reset_after: 10_000 };

async function restartOf(text: string) {
  const project = await projectOf({ "stack.yaml": `services: {web: {image: a, ${text}}}` });
  const { restart, restart_policy } = project.services["web"]!;
  return { restart, timing: restart_policy };
}

describe("restart and deploy.restart_policy", () => {
  it.each([
    ["restart: always", { policy: "always" }],
    ['restart: "no"', { policy: "no" }],
    ["restart: on-failure:3", { policy: "on-failure", max_attempts: 3 }],
    ["deploy: {restart_policy: {}}", { policy: "always" }],
    ["deploy: {restart_policy: {condition: none}}", { policy: "no" }],
    ["deploy: {restart_policy: {condition: any, max_attempts: 4}}", { policy: "always", max_attempts: 4 }],
    ["deploy: {restart_policy: {condition: on-failure}}", { policy: "on-failure", max_attempts: 0 }],
    // As the specification and Docker Compose have it.
    ["restart: always, deploy: {restart_policy: {condition: none}}", { policy: "no" }],
  ])("%s", async (text, expected) => {
    expect((await restartOf(text)).restart).toEqual(expected);
  });

  it("a delay is the same before every restart, and a window is the run that counts as success", async () => {
    expect((await restartOf("deploy: {restart_policy: {delay: 5s, window: 2m}}")).timing).toEqual({ ...DEFAULTS, first_delay: 5000, delay: 5000, factor: 1, max_delay: 5000, reset_after: 120_000 });
  });

  it("no delay is none before the first restart, and the back-off from then on", async () => {
    expect((await restartOf("deploy: {restart_policy: {delay: 0s}}")).timing).toEqual(DEFAULTS);
  });

  it("our own keys go before, one by one", async () => {
    expect((await restartOf("deploy: {restart_policy: {delay: 5s}}, restart_policy: {first_delay: 1s, jitter: 0.2}")).timing).toEqual({ ...DEFAULTS, first_delay: 1000, delay: 5000, factor: 1, max_delay: 5000, jitter: 0.2 });
  });

  it("a ceiling that nobody wrote does not cut a delay that somebody did", async () => {
    expect((await restartOf("restart_policy: {delay: 5m}")).timing.max_delay).toBe(300_000);
  });

  it("what cannot be is refused at its place", async () => {
    const refused = (text: string) => findings({ "stack.yaml": `services:\n  web:\n    image: a\n    ${text}\n` });
    expect(await refused("restart_policy: {delay: 10s, max_delay: 1s}")).toEqual(["stack.yaml:4:45 error invalid-value"]);
    expect(await refused("deploy: {restart_policy: {condition: sometimes}}")).toEqual(["stack.yaml:4:42 error invalid-value"]);
    expect(await refused("deploy: {restart_policy: {max_attempts: -1}}")).toEqual(["stack.yaml:4:45 error invalid-value"]);
    expect(await refused("restart: sometimes")).toEqual(["stack.yaml:4:14 error invalid-value"]);
  });
});
