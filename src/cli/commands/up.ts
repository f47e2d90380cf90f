import { StackError } from "../../core/index.ts";
import type { Project } from "../../model/index.ts";
import type { ReconcileOptions } from "../../reconcile/index.ts";
import { graceMs, pullOf, scaleOf, waitTimeoutMs } from "../amounts.ts";
import { applyAndDraw, bindAgent, showPlan } from "../apply.ts";
import { say } from "../direct.ts";
import { defineCommand, refuse } from "../command.ts";
import type { Context } from "../context.ts";
import { boolean, integer, list, text } from "../flags.ts";
import type { FlagValues } from "../flags.ts";
import { orphanOptions } from "../orphans.ts";
import { checkService, loadProject } from "../project.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

const flags = {
  abortOnContainerExit: boolean("Stops all containers if any container was stopped. Incompatible with -d"),
  abortOnContainerFailure: boolean("Stops all containers if any container exited with failure. Incompatible with -d"),
  alwaysRecreateDeps: boolean("Recreate dependent containers. Incompatible with --no-recreate."),
  attach: list("Restrict attaching to the specified services. Incompatible with --attach-dependencies."),
  attachDependencies: boolean("Automatically attach to log output of dependent services"),
  build: boolean("Build images before starting containers"),
  detach: boolean("Detached mode: Run containers in the background", { short: "d" }),
  exitCodeFrom: text("Return the exit code of the selected service container. Implies --abort-on-container-exit"),
  follow: boolean("Watch the stack's own files, and apply each change of them; with -d in the background, until `stop` or `down`"),
  forceRecreate: boolean("Recreate containers even if their configuration and image haven't changed"),
  menu: boolean("Enable interactive shortcuts when running attached. Incompatible with --detach. Can also be enabled or disabled by setting COMPOSE_MENU.", { initial: true }),
  noAttach: list("Do not attach (stream logs) to the specified services"),
  noBuild: boolean("Don't build an image, even if it's policy"),
  noColor: boolean("Produce monochrome output"),
  noDeps: boolean("Don't start linked services"),
  noLogPrefix: boolean("Don't print prefix in logs"),
  noRecreate: boolean("If containers already exist, don't recreate them. Incompatible with --force-recreate."),
  noStart: boolean("Don't start the services after creating them"),
  pull: text("Pull image before running (\"always\"|\"missing\"|\"never\") (default \"policy\")"),
  quietBuild: boolean("Suppress the build output"),
  quietPull: boolean("Pull without printing progress information"),
  removeOrphans: boolean("Remove containers for services not defined in the stack file"),
  renewAnonVolumes: boolean("Recreate anonymous volumes instead of retrieving data from the previous containers", { short: "V" }),
  scale: list("Scale SERVICE to NUM instances. Overrides the scale setting in the stack file if present.", { value: "scale" }),
  timeout: integer("Use this timeout in seconds for container shutdown when attached or when containers are already running", { short: "t" }),
  timestamps: boolean("Show timestamps"),
  timings: boolean("Show what the start waited for, and how long, as `stack analyze` does"),
  wait: boolean("Wait for services to be running|healthy. Implies detached mode."),
  waitTimeout: integer("Maximum duration in seconds to wait for the project to be running|healthy"),
  watch: boolean("Watch source code and rebuild/refresh containers when files are updated.", { short: "w" }),
  yes: boolean('Assume "yes" as answer to all prompts and run non-interactively', { short: "y" }),
};

export type UpFlags = FlagValues<typeof flags>;

export const command = defineCommand({
  name: "up",
  summary: "Create and start containers",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags,
  async run(context, given, services, explicit) {
    const flags = checkFlags(given);
    const options = upOptions(context, flags, services);
    const loadedAt = context.clock.now();
    const load = async (): Promise<Project> => {
      const project = await loadProject(context, services);
      for (const service of [...Object.keys(options.scale), ...flags.attach, ...flags.noAttach]) checkService(project, service);
      if (flags.exitCodeFrom !== undefined) checkService(project, flags.exitCodeFrom);
      return project;
    };
    if (context.globals.dryRun) return showPlan(context, await load(), options);
    await using agent = await bindAgent(context, load);
    const follow = async (): Promise<void> => {
      if (!flags.follow) return;
      const { followRequest } = await import("../follow.ts");
      await agent.client.follow(followRequest(context, agent.project, flags, services, loadedAt));
    };
    const timings = timingsOnce(context, agent.project, flags.timings);
    if (flags.detach || flags.wait || flags.noStart) {
      const { done } = await applyAndDraw(context, agent.client, agent.project, options, { quietImages: flags.quietPull, yes: flags.yes }).finally(timings);
      if (done === 0) await say(context, `Project ${agent.project.name}`, "Up to date");
      await follow();
      return 0;
    }
    const { runAttached } = await import("../attached.ts");
    const menu = explicit.has("menu") ? flags.menu : !["0", "f", "false", "False", "FALSE", "F"].includes(context.env["COMPOSE_MENU"] ?? "");
    const started = async (): Promise<void> => {
      await timings();
      await follow();
    };
    // A start that fails has timings, too.
    return await runAttached(context, agent, options, { ...flags, menu }, started).finally(timings);
  },
});

/** `--timings`: when the start is over, however it ended; the first call shows them. */
function timingsOnce(context: Context, project: Project, wanted: boolean): () => Promise<void> {
  let due = wanted;
  return async () => {
    if (!due) return;
    due = false;
    const { showTimings } = await import("./analyze.ts");
    await showTimings(context, project.name, performance.timeOrigin);
  };
}

/** The combinations that Docker Compose refuses, in its words. */
function checkFlags(flags: UpFlags): UpFlags {
  const exits = flags.abortOnContainerExit || (flags.exitCodeFrom !== undefined && !flags.abortOnContainerFailure);
  const attaches = flags.attach.length > 0 || flags.attachDependencies;
  refuse(
    flags.detach && (exits || flags.abortOnContainerFailure || attaches || flags.watch),
    "--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, --attach-dependencies or --watch",
  );
  refuse(flags.wait && (exits || flags.abortOnContainerFailure || attaches), "--wait cannot be combined with --abort-on-container-exit, --attach or --attach-dependencies");
  refuse(flags.abortOnContainerExit && flags.abortOnContainerFailure, "--abort-on-container-exit and --abort-on-container-failure are incompatible");
  refuse(flags.forceRecreate && flags.noRecreate, "--force-recreate and --no-recreate are incompatible");
  refuse(flags.renewAnonVolumes && flags.noRecreate, "--no-recreate and --renew-anon-volumes are incompatible");
  refuse(flags.alwaysRecreateDeps && flags.noRecreate, "--always-recreate-deps and --no-recreate are incompatible");
  refuse(flags.build && flags.noBuild, "--build and --no-build are incompatible");
  refuse(flags.attach.length > 0 && flags.attachDependencies, "--attach and --attach-dependencies are incompatible");
  refuse(flags.follow && (exits || flags.abortOnContainerFailure || flags.noStart), "--follow cannot be combined with --no-start, --abort-on-container-exit or --abort-on-container-failure");
  refuse(flags.waitTimeout !== undefined && !flags.wait, "--wait-timeout needs --wait");
  if (flags.build) throw new StackError("unsupported", "up --build: building images is not there yet", { hint: "Give the service an `image:` that can be pulled or was loaded with `stack load`." });
  if (flags.watch) throw new StackError("unsupported", "up --watch: watch mode is not there yet", { hint: "Run `stack up` again after a change; it recreates exactly what changed." });
  return { ...flags, abortOnContainerExit: exits };
}

function upOptions(context: Context, flags: UpFlags, services: readonly string[]): ReconcileOptions {
  return reconcileOptions(flags.noStart ? "create" : "up", {
    services,
    noDeps: flags.noDeps,
    recreate: flags.forceRecreate ? "force" : flags.noRecreate ? "never" : "diverged",
    recreateDependencies: flags.alwaysRecreateDeps,
    renewAnonymousVolumes: flags.renewAnonVolumes,
    ...orphanOptions(context.env, flags.removeOrphans),
    scale: scaleOf(flags.scale),
    wait: flags.wait,
    ...pullOf(flags.pull),
    ...graceMs(flags.timeout),
    ...waitTimeoutMs(flags.waitTimeout),
  });
}
