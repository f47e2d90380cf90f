import { StackError, toStackError, serializeError } from "../../core/index.ts";
import type { EngineEvent } from "../../engine/index.ts";
import type { Project, Service } from "../../model/index.ts";
import type { Operation } from "../../reconcile/index.ts";
import { interrupted } from "../apply.ts";
import { defineCommand } from "../command.ts";
import { Failures } from "../errors.ts";
import { boolean, text } from "../flags.ts";
import { createProgress } from "../progress/renderer.ts";
import { checkService, loadModel } from "../project.ts";

/** How many images at once, where `--parallel` says nothing; their layers come in parallel as well. */
const imagesAtOnce = 4;

export const command = defineCommand({
  name: "pull",
  summary: "Pull service images",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags: {
    ignoreBuildable: boolean("Ignore images that can be built"),
    ignorePullFailures: boolean("Pull what it can and ignores images with pull failures"),
    includeDeps: boolean("Also pull services declared as dependencies"),
    policy: text("Apply pull policy", { choices: ["missing", "always"] }),
    quiet: boolean("Pull without printing progress information", { short: "q" }),
  },
  async run(context, flags, services) {
    const { project } = await loadModel(context, services, { tolerant: true });
    for (const service of services) checkService(project, service);
    const wanted = pulls(project, services, flags.includeDeps, flags.ignoreBuildable, flags.policy === "missing" ? "missing" : flags.policy === "always" ? "always" : undefined);
    const operations: Operation[] = wanted.map((p) => ({ id: `ensure-image ${p.reference}`, cause: "pull", after: [], kind: "ensure-image", ...p }));
    if (context.globals.dryRun) {
      await context.stdout.write(operations.map((o) => `${o.id}\n`).join(""));
      return 0;
    }
    const engine = await context.doors.engine();
    const progress = await createProgress(context, { quietImages: flags.quiet });
    progress.event({ type: "plan", plan: { version: 1, operations, warnings: [], questions: [] } });
    const failures: StackError[] = [];
    const { graceful } = context.interrupts;
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let index = next++; index < wanted.length && !graceful.aborted; index = next++) {
        const pull = wanted[index];
        if (pull === undefined) return;
        const say = (event: Pick<Extract<EngineEvent, { type: "operation" }>, "status" | "error" | "took">): void => progress.event({ type: "operation", index, ...event });
        const begun = context.clock.now();
        try {
          if (pull.policy === "missing" && (await engine.images.find(pull.reference)) !== undefined) {
            say({ status: "done" });
            continue;
          }
          progress.event({ type: "image", index, progress: { kind: "resolving", reference: pull.reference } });
          await engine.images.pull(pull.reference, {
            signal: graceful,
            onProgress: (p) => progress.event({ type: "image", index, progress: p }),
            ...(pull.platform === undefined ? {} : { platform: pull.platform }),
          });
          say({ status: "done", took: context.clock.now() - begun });
        } catch (error) {
          const failure = toStackError(error);
          failures.push(failure);
          say({ status: "failed", error: serializeError(failure) });
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(context.globals.parallel ?? imagesAtOnce, wanted.length) }, worker));
    await progress.end();
    if (graceful.aborted) throw interrupted(context);
    if (failures.length > 0 && !flags.ignorePullFailures) throw new Failures(failures.map(serializeError));
    return 0;
  },
});

interface Pull {
  readonly service: string;
  readonly reference: string;
  readonly policy: "always" | "missing";
  readonly platform?: string;
}

/** Each image once. `pull` fetches again what is here, unless the service or `--policy` says otherwise. */
function pulls(project: Project, services: readonly string[], dependencies: boolean, ignoreBuildable: boolean, policy: Pull["policy"] | undefined): readonly Pull[] {
  const names = new Set(services.length === 0 ? Object.keys(project.services) : services);
  if (dependencies) for (const name of names) for (const dependency of Object.keys(project.services[name]?.depends_on ?? {})) names.add(dependency);
  const found = new Map<string, Pull>();
  for (const name of names) {
    const service = project.services[name];
    if (service?.image === undefined || skipped(service, ignoreBuildable)) continue;
    const chosen = policy ?? (service.pull_policy?.kind === "missing" ? "missing" : "always");
    const key = `${service.image} ${service.platform ?? ""}`;
    if (found.has(key)) continue;
    found.set(key, { service: name, reference: service.image, policy: chosen, ...(service.platform === undefined ? {} : { platform: service.platform }) });
  }
  return [...found.values()];
}

function skipped(service: Service, ignoreBuildable: boolean): boolean {
  if (service.pull_policy?.kind === "never" || service.pull_policy?.kind === "build") return true;
  return service.build !== undefined && ignoreBuildable;
}
