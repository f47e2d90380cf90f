import { expect, it } from "vitest";
import { fakeContext } from "./fake-context.ts";
import { loadProject } from "./project.ts";
import { unheededVariables } from "./unheeded.ts";

it.each([
  [{ DOCKER_HOST: "ssh://me@far" }, ["DOCKER_HOST"]],
  [{ DOCKER_HOST: "tcp://10.0.0.1:2376", DOCKER_CONTEXT: "far" }, ["DOCKER_HOST", "DOCKER_CONTEXT"]],
  // Nothing is elsewhere.
  [{ DOCKER_HOST: "unix:///run/user/1000/podman.sock", DOCKER_CONTEXT: "default" }, []],
  [{}, []],
])("of %j is said that %j has no effect", (env, names) => {
  expect(unheededVariables(env)).toEqual(names.map((name) => `${name} has no effect: containers run on this machine`));
});

it("is said where a project is to run, and not with --progress quiet", async () => {
  const env = { DOCKER_HOST: "ssh://far" };
  const said = fakeContext({ env });
  await loadProject(said);
  expect(said.err.text).toBe("warning: DOCKER_HOST has no effect: containers run on this machine\n");
  const quiet = fakeContext({ env, globals: { progress: "quiet" } });
  await loadProject(quiet);
  expect(quiet.err.text).toBe("");
});
