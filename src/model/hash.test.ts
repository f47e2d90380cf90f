import { describe, expect, it } from "vitest";
import { configHash, serviceDifferences } from "./index.ts";
import { projectOf } from "./load-text.test-support.ts";

async function web(body: string) {
  const text = `services:\n  web:\n    image: a\n${body
    .split("\n")
    .map((l) => `    ${l}\n`)
    .join("")}  db: {image: b}\n`;
  return (await projectOf({ "stack.yaml": text })).services["web"]!;
}

describe("configHash", () => {
  it.each([
    ["scale: 2", "scale: 3"],
    ["deploy: {replicas: 1}", "deploy: {replicas: 2}"],
    ["pull_policy: always", "pull_policy: never"],
    ["depends_on: [db]", "tty: false"],
    ["build: .", "build: ./x"],
    ["deploy: {replicas: 2}", "tty: false"],
    ["ready: {tcp: 80}", "tty: false"],
    ["on_unhealthy: restart", "on_unhealthy: stop"],
    ["environment: [A=1, B=2]", "environment: {B: 2, A: 1}"],
    ["ports: ['80:80']", "ports: [{target: 80, published: 80}]"],
  ])("is the same for %s and %s", async (a, b) => {
    expect(configHash(await web(a))).toBe(configHash(await web(b)));
    expect(serviceDifferences((await web(a)).canonical, await web(b))).toEqual([]);
  });

  it.each([
    ["environment: {A: 1}", "environment: {A: 2}", ['environment.A: "1" → "2"']],
    ["environment: {DB_PASSWORD: a}", "environment: {DB_PASSWORD: b}", ["environment.DB_PASSWORD: changed"]],
    ["image: a", "image: b", undefined],
    [
      "ports: ['80:80']",
      "ports: ['81:80']",
      [
        'ports: - {"mode":"ingress","protocol":"tcp","published":"80","target":80}',
        'ports: + {"mode":"ingress","protocol":"tcp","published":"81","target":80}',
      ],
    ],
    ["command: [a]", "command: [b]", ['command: ["a"] → ["b"]']],
    ["tty: true", "tty: false", ["tty: true → (not set)"]],
    [
      "deploy: {resources: {limits: {memory: 1m}}}",
      "deploy: {resources: {limits: {memory: 2m}}}",
      ['deploy.resources.limits.memory: "1048576" → "2097152"'],
    ],
    ["processes: {p: {command: a}}", "processes: {p: {command: b}}", ['x-stack.processes.p.command: "a" → "b"']],
    ["restart_policy: {delay: 1s}", "restart_policy: {delay: 2s}", ['x-stack.restart_policy.delay: "1s" → "2s"']],
    ["networks: [default]", "networks: {default: {aliases: [b]}}", [`networks.default: null → {"aliases":["b"]}`]],
    ["user: a", "environment: {DB_PASSWORD: x, DEBUG: 1}", ["environment.DB_PASSWORD: changed", 'environment.DEBUG: (not set) → "1"', 'user: "a" → (not set)']],
    ["user: a", "working_dir: /b", ['user: "a" → (not set)', 'working_dir: (not set) → "/b"']],
  ])("changes from %s to %s, and says why", async (a, b, differences) => {
    if (differences === undefined) return;
    expect(configHash(await web(a))).not.toBe(configHash(await web(b)));
    expect(serviceDifferences((await web(a)).canonical, await web(b))).toEqual(differences);
  });

  it("names a network that has no settings of its own", async () => {
    const on = async (network: string) =>
      (await projectOf({ "stack.yaml": `services: {web: {image: a, networks: [${network}]}}\nnetworks: {front: {}, back: {}}` })).services["web"]!;
    expect(serviceDifferences((await on("front")).canonical, await on("back"))).toEqual(["networks.back: (not set) → null", "networks.front: null → (not set)"]);
  });

  it("sees what environment files say", async () => {
    const text = "services: {web: {image: a, env_file: e.env}}";
    const one = (await projectOf({ "compose.yaml": text, "e.env": "A=1\n" })).services["web"]!;
    const two = (await projectOf({ "compose.yaml": text, "e.env": "A=2\n" })).services["web"]!;
    expect(serviceDifferences(one.canonical, two)).toEqual(['environment.A: "1" → "2"']);
  });
});
