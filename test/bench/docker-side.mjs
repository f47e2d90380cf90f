// A Docker Engine with Docker Compose, wherever STACK_BENCH_DOCKER says it is.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeProject } from "./measurements.mjs";
import { networkNamespaceOf, processes, pss, startRegistry, timed } from "./processes.mjs";

export async function dockerSide(scratch) {
  const prefix = (process.env.STACK_BENCH_DOCKER ?? "").split(" ").filter((w) => w !== "");
  const [outer, inner] = (process.env.STACK_BENCH_DOCKER_DIR ?? `${scratch}:${scratch}`).split(":");
  const shared = mkdtempSync(join(outer, "stack-bench-"));
  const directory = join(shared, "project");
  mkdirSync(directory);
  const seen = directory.replace(outer, inner);
  const port = 5000;
  const registry = await startRegistry(networkNamespaceOf(prefix), join(scratch, "registry"), port);
  const docker = (...args) => timed([...prefix, "docker", ...args]);
  let name = "bench";
  return {
    name: "docker",
    directory,
    version: () => `Docker Engine ${docker("version", "--format", "{{.Server.Version}}").stdout.trim()}, Compose ${docker("compose", "version", "--short").stdout.trim()}`,
    image: (tag) => `127.0.0.1:${port}/${tag}`,
    use: (project) => (name = project),
    project(project, text) {
      name = project;
      writeProject(directory, text);
    },
    compose: (...args) => docker("compose", "-f", `${seen}/compose.yaml`, "-p", name, ...args),
    forgetImages() {
      const ids = docker("images", "-q", `127.0.0.1:${port}/postgres`).stdout.trim();
      if (ids !== "") docker("rmi", "-f", ids);
    },
    mainPid: (project, service) => Number(docker("inspect", "-f", "{{.State.Pid}}", `${project}-${service}-1`).stdout),
    /** The engine, containerd, and a shim for each container. */
    memory: () => pss(processes().filter((p) => /^(dockerd|containerd|containerd-shim.*|docker-proxy)$/.test(p.comm)).map((p) => p.pid)),
    async close() {
      registry.removeAllListeners("exit");
      registry.kill();
      rmSync(shared, { recursive: true, force: true });
    },
  };
}
