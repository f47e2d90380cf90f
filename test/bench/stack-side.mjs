// stack in a network namespace of its own, with a data root of its own.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeProject } from "./measurements.mjs";
import { processes, pss, startRegistry, timed } from "./processes.mjs";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const program = join(repository, "dist/stack");

export async function stackSide(scratch) {
  const holder = spawn("unshare", ["--net", process.execPath, join(repository, "test/support/inside.mjs")], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  await new Promise((resolve, reject) => (holder.once("message", resolve), holder.once("exit", () => reject(new Error("no network namespace")))));
  const namespace = `/proc/${holder.pid}/ns/net`;
  const port = 5000;
  const registry = await startRegistry(namespace, join(scratch, "registry"), port);
  const inside = (argv, options) => timed(["nsenter", `--net=${namespace}`, "--", ...argv], options);

  const root = join(scratch, "stack", "root");
  const directory = join(scratch, "stack", "project");
  const env = { PATH: process.env.PATH, HOME: scratch, STACK_ROOT: root };
  mkdirSync(directory, { recursive: true });
  let name = "bench";
  const side = {
    name: "stack",
    directory,
    version: () => timed([program, "version"]).stdout.trim().split("\n")[0],
    image: (tag) => `127.0.0.1:${port}/${tag}`,
    use: (project) => (name = project),
    project(project, text) {
      name = project;
      writeProject(directory, text);
    },
    /** `compose ARGS…` for the current project. */
    compose: (...args) => inside([program, "-p", name, ...args], { cwd: directory, env }),
    forgetImages() {
      for (const part of ["blobs", "layers", "images"]) rmSync(join(root, part), { recursive: true, force: true });
    },
    mainPid(project, service) {
      for (const id of readdirSync(join(root, "containers")).filter((name) => /^[0-9a-f]+$/.test(name))) {
        const at = join(root, "containers", id);
        if (JSON.parse(readFileSync(join(at, "container.json"), "utf8")).name !== `${project}-${service}-1`) continue;
        const { pid } = JSON.parse(readFileSync(join(at, "state.json"), "utf8"));
        return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0] || pid);
      }
      throw new Error(`no container of ${service}`);
    },
    /** Process ids of agents, monitors and inits, by the files that they keep. */
    own(kinds) {
      const records = (name, file) => readdirSync(join(root, name)).flatMap((entry) => (existsSync(join(root, name, entry, file)) ? [JSON.parse(readFileSync(join(root, name, entry, file), "utf8"))] : []));
      return kinds.flatMap((kind) => (kind === "agent" ? records("projects", "agent.json") : records("containers", "state.json").map((state) => ({ pid: kind === "monitor" ? state.monitorPid : state.pid }))));
    },
    /** The agent, the monitors and our init in every container. */
    memory: () => pss(processes().filter((p) => p.command.includes(root) || p.environment.includes(`STACK_ROOT=${root}\0`)).map((p) => p.pid)),
    async close() {
      for (const p of processes()) if ((p.command.includes(root) || p.environment.includes(`STACK_ROOT=${root}\0`)) && p.pid !== process.pid) process.kill(p.pid, "SIGKILL");
      registry.removeAllListeners("exit");
      registry.kill();
      holder.disconnect();
      await new Promise((resolve) => holder.once("exit", resolve));
    },
  };
  return side;
}
