import { StackError } from "../../core/index.ts";
import type { RunRequest } from "../../engine/index.ts";
import type { Mount, Project } from "../../model/index.ts";
import { pullOf } from "../amounts.ts";
import { applyAndDraw, bindAgent, showPlan } from "../apply.ts";
import { defineCommand } from "../command.ts";
import type { Context } from "../context.ts";
import { boolean, list, text } from "../flags.ts";
import type { FlagValues } from "../flags.ts";
import { runOneOff } from "../one-off.ts";
import { createProgress } from "../progress/renderer.ts";
import { loadProject } from "../project.ts";
import { environmentOf, labelsOf, mountsOf, portsOf, wordsOf } from "../run-overrides.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

const flags = {
  build: boolean("Build image before starting container"),
  capAdd: list("Add Linux capabilities", { value: "list" }),
  capDrop: list("Drop Linux capabilities", { value: "list" }),
  detach: boolean("Run container in background and print container ID", { short: "d" }),
  entrypoint: text("Override the entrypoint of the image"),
  env: list("Set environment variables", { short: "e" }),
  envFromFile: list("Set environment variables from file"),
  interactive: boolean("Keep STDIN open even if not attached", { short: "i", initial: true }),
  label: list("Add or override a label", { short: "l" }),
  name: text("Assign a name to the container"),
  noTty: boolean("Disable pseudo-TTY allocation (default: auto-detected)", { short: "T", long: "no-TTY", aliases: ["no-tty"] }),
  noDeps: boolean("Don't start linked services"),
  publish: list("Publish a container's port(s) to the host", { short: "p" }),
  pull: text("Pull image before running (\"always\"|\"missing\"|\"never\") (default \"policy\")"),
  quiet: boolean("Don't print anything to STDOUT", { short: "q" }),
  quietBuild: boolean("Suppress progress output from the build process"),
  quietPull: boolean("Pull without printing progress information"),
  removeOrphans: boolean("Remove containers for services not defined in the stack file"),
  rm: boolean("Automatically remove the container when it exits"),
  servicePorts: boolean("Run command with all service's ports enabled and mapped to the host", { short: "P" }),
  tty: boolean("Allocate a pseudo-TTY", { short: "t", hidden: true }),
  useAliases: boolean("Use the service's network useAliases in the network(s) the container connects to"),
  user: text("Run as specified username or uid", { short: "u" }),
  volume: list("Bind mount a volume", { short: "v" }),
  workdir: text("Working directory inside the container", { short: "w" }),
};

type RunFlags = FlagValues<typeof flags>;

export const command = defineCommand({
  name: "run",
  summary: "Run a one-off command on a service",
  positionals: ["<service>", "[command]", "[args...]"],
  usage: "[OPTIONS] SERVICE [COMMAND] [ARGS...]",
  interspersed: false,
  flags,
  async run(context, flags, [service = "", ...words]) {
    if (flags.build) throw new StackError("unsupported", "run --build: building images is not there yet", { hint: "Give the service an `image:` that can be pulled or was loaded with `stack load`." });
    if (flags.servicePorts && flags.publish.length > 0) throw new StackError("usage", "--service-ports and --publish are incompatible");
    const load = (): ReturnType<typeof loadProject> => loadProject(context, [service]);
    if (context.globals.dryRun) return showPlan(context, await load(), reconcileOptions("up", { services: [service], noDeps: flags.noDeps }));
    await using agent = await bindAgent(context, load);
    const { project, client } = agent;
    if (flags.removeOrphans) {
      const engine = await context.doors.engine();
      const known = { ...project.services, ...project.disabled_services };
      const orphans = (await engine.containers({ project: project.name })).filter((c) => !c.oneoff && known[c.service] === undefined).map((c) => c.service);
      if (orphans.length > 0) await applyAndDraw(context, client, project, reconcileOptions("remove", { services: orphans, removeStopFirst: true }));
    }
    const tty = !flags.noTty && !flags.detach && context.stdin.isTTY && context.stdout.isTTY;
    const overrides = await overridesOf(context, flags, words, tty);
    const request: RunRequest = {
      project: withVolumes(project, overrides.volumes),
      service,
      overrides,
      remove: flags.rm,
      noDeps: flags.noDeps,
      start: true,
      attach: !flags.detach,
      ...pullOf(flags.pull),
    };
    const progress = await createProgress(flags.quiet ? { ...context, globals: { ...context.globals, progress: "quiet" } } : context, { quietImages: flags.quietPull });
    const created = await client.run(request, context.interrupts.graceful, (event) => progress.event(event)).finally(() => progress.end());
    if (flags.detach) {
      await context.stdout.write(`${created.id}\n`);
      return 0;
    }
    const code = await runOneOff(context, created, { tty, stdin: flags.interactive });
    if (flags.rm) await client.release(created.id);
    return code;
  },
});

async function overridesOf(context: Context, flags: RunFlags, words: readonly string[], tty: boolean): Promise<RunRequest["overrides"]> {
  return {
    ...(words.length === 0 ? {} : { command: words }),
    ...(flags.entrypoint === undefined ? {} : { entrypoint: flags.entrypoint === "" ? [] : wordsOf(flags.entrypoint) }),
    environment: await environmentOf(context, flags.env, flags.envFromFile),
    ...(flags.user === undefined ? {} : { user: flags.user }),
    ...(flags.workdir === undefined ? {} : { working_dir: flags.workdir }),
    ...(flags.name === undefined ? {} : { name: flags.name }),
    labels: labelsOf(flags.label),
    tty,
    stdin: flags.interactive && !flags.detach,
    capAdd: flags.capAdd,
    capDrop: flags.capDrop,
    servicePorts: flags.servicePorts,
    publish: portsOf(flags.publish),
    volumes: mountsOf(context, flags.volume),
    useAliases: flags.useAliases,
  };
}

/** `-v NAME:/path` of a volume that the file has not: one of that very name, as Docker makes it. `down -v` does not know it. */
function withVolumes(project: Project, mounts: readonly Mount[]): Project {
  const names = mounts.flatMap((mount) => (mount.type === "volume" && mount.source !== undefined && project.volumes[mount.source] === undefined ? [mount.source] : []));
  if (names.length === 0) return project;
  const made = names.map((name) => [name, { name, external: false, driver_opts: {}, labels: {}, extensions: {}, canonical: {} }] as const);
  return { ...project, volumes: { ...project.volumes, ...Object.fromEntries(made) } };
}
