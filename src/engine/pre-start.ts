import { randomBytes } from "node:crypto";
import { paths, StackError } from "../core/index.ts";
import type { ContainerId } from "../core/index.ts";
import type { Hook, Service } from "../model/index.ts";
import type { Operation } from "../reconcile/index.ts";
import { createContainer } from "./create.ts";
import type { OperationContext } from "./execute.ts";
import { removeContainer } from "./executors.ts";
import { ensureImage } from "./image.ts";
import { lastWords } from "./last-words.ts";
import type { Work } from "./work.ts";
import { startContainer } from "./start.ts";

type HookOperation = Extract<Operation, { kind: "run-hook" }>;

/**
 * A `pre_start` hook: a one-off container of the service (its networks and volumes, its image unless the hook names another),
 * which has to end with success before the service starts. It is removed in any case.
 */
export async function runPreStart(work: Work, service: Service, hook: Hook, operation: HookOperation, context: OperationContext): Promise<void> {
  const made = hookService(service, hook);
  if (hook.image !== undefined)
    await ensureImage(work, { ...operation, kind: "ensure-image", reference: hook.image, policy: "missing", ...(service.platform === undefined ? {} : { platform: service.platform }) }, context);
  const record = await createContainer(work, made, {
    name: `${operation.name}-pre-start-${operation.index + 1}-${randomBytes(4).toString("hex")}`,
    number: 0,
    oneoff: true,
    removeOnExit: false,
    aliases: false,
    note: (text) => context.note(text),
    signal: context.signal,
  });
  try {
    await work.hub.track(record, true);
    await startContainer(work, record, (text) => context.note(text));
    await untilSucceeded(work, record.id, `${operation.name}: pre_start hook \`${hook.command.join(" ")}\``, context.signal);
  } finally {
    await work.hub.monitor(record.id).stop({ graceMs: 0 });
    await removeContainer(work, record.id, true);
  }
}

async function untilSucceeded(work: Work, id: ContainerId, what: string, signal: AbortSignal): Promise<void> {
  const state = await work.hub.monitor(id).wait(signal).catch((error: unknown) => {
    if (signal.aborted) throw new StackError("cancelled", `Cancelled during ${what}`);
    throw error;
  });
  if (state?.exitCode === 0) return;
  const log = await lastWords(paths.container(work.root, id), state);
  throw new StackError("container-start-failed", `${what} exited with ${state?.exitCode ?? "unknown"}`, {
    hint: "The service does not start before it succeeds.",
    details: { log },
  });
}

/** The service as the hook runs it: without what belongs to its replicas alone. */
function hookService(service: Service, hook: Hook): Service {
  return {
    ...service,
    healthcheck: { disable: true },
    ...(hook.image === undefined ? {} : { image: hook.image }),
    entrypoint: [],
    command: hook.command,
    ...(hook.user === undefined ? {} : { user: hook.user }),
    ...(hook.working_dir === undefined ? {} : { working_dir: hook.working_dir }),
    environment: { ...service.environment, ...hook.environment },
    privileged: service.privileged || hook.privileged,
    restart: { policy: "no" },
    ready: [],
    processes: {},
    expect: [],
    ports: [],
    tty: false,
    stdin_open: false,
    // Static addresses belong to the replicas.
    networks: Object.fromEntries(
      Object.entries(service.networks).map(([key, { aliases, driver_opts, priority, gw_priority }]) => [key, { aliases, driver_opts, priority, gw_priority, link_local_ips: [] }]),
    ),
  };
}
