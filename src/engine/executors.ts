import { constants } from "node:os";
import { StackError, systemClock } from "../core/index.ts";
import type { ContainerId } from "../core/index.ts";
import type { Service } from "../model/index.ts";
import type { ContainerRecord } from "../runtime/index.ts";
import { createContainer } from "./create.ts";
import type { Executors, OperationContext } from "./execute.ts";
import { passGate } from "./gates.ts";
import { ensureImage } from "./image.ts";
import { runHook } from "./hooks.ts";
import { applyRemedy } from "./remedy.ts";
import { networkRequest, volumeRequest } from "./resources.ts";
import type { Work } from "./work.ts";
import { startContainer } from "./start.ts";

/** How each operation is done. Nothing here looks at what is wanted: the plan has decided. */
export function executorsFor(work: Work): Executors {
  const { rooms, hub, project } = work;
  return {
    "ensure-image": (operation, context) => ensureImage(work, operation, context),
    "create-network": async (operation, context) => {
      const network = project.networks[operation.key];
      if (network === undefined) throw missing("network", operation.key);
      await rooms.networks.create(networkRequest(project, operation.key, network), context.signal);
    },
    "remove-network": async (operation) => {
      await rooms.networks.remove(operation.network);
    },
    "create-volume": async (operation) => {
      const volume = project.volumes[operation.key];
      if (volume === undefined) throw missing("volume", operation.key);
      await rooms.volumes.create(volumeRequest(project, operation.key, volume));
    },
    "remove-volume": async (operation) => {
      await rooms.volumes.remove(operation.name);
    },
    "create-container": async (operation, context) => {
      const note = (text: string): void => {
        context.note(text);
      };
      const service = serviceOf(work, operation.service);
      const record = await createContainer(work, service, {
        name: operation.name,
        number: operation.number,
        oneoff: false,
        ...(operation.replaces === undefined || operation.renewAnonymousVolumes ? {} : { replaces: operation.replaces }),
        removeOnExit: false,
        note,
        signal: context.signal,
      });
      work.created.set(operation.name, record);
      await hub.track(record, true);
    },
    "start-container": async (operation, context) => {
      const record = recordOf(work, operation.name, operation.container);
      await startContainer(work, record, (text) => {
        context.note(text);
      });
    },
    "stop-container": async (operation, context) => stopContainer(work, operation.container, operation.graceMs, context),
    "remove-container": async (operation) => removeContainer(work, operation.container, operation.removeAnonymousVolumes),
    wait: async (operation, context) => {
      const now = systemClock.now();
      work.waitingSince.first ??= now;
      const patience = operation.timeoutMs === undefined ? undefined : work.waitingSince.first + operation.timeoutMs - now;
      const held = await passGate(operation, hub, context.signal, patience, (text) => {
        context.note(text);
      });
      if (held !== undefined) context.held(held);
      if (operation.condition !== "running_or_healthy") return;
      // The last of these gates opens only if the others are still open: what ran then may crash by now.
      work.waitingSince.passed.push(operation);
      for (const other of work.waitingSince.passed)
        if (other !== operation) await passGate(other, hub, context.signal, operation.timeoutMs === undefined ? undefined : work.waitingSince.first + operation.timeoutMs - systemClock.now());
    },
    "restore-limits": async (operation) => {
      await hub.monitor(operation.container).limits(true);
      work.limitsSettled(operation.container);
    },
    "treat-container": (operation) => applyRemedy(hub.monitor(operation.container), operation),
    "run-hook": (operation, context) => runHook(work, operation, context),
    "remove-image": async (operation) => {
      await rooms.images.remove(operation.reference);
      const inUse = rooms.containers.survey().records.flatMap(({ image, mountedImages }) => [...(image === undefined ? [] : [image.id]), ...(mountedImages ?? [])]);
      await rooms.images.collect(inUse);
    },
  };
}

export function serviceOf(work: Work, name: string): Service {
  const service = work.project.services[name] ?? work.project.disabled_services[name];
  if (service === undefined) throw missing("service", name);
  return service;
}

function missing(kind: string, name: string): StackError {
  return new StackError("internal", `the plan names ${kind} "${name}", which the project does not have`);
}

export function recordOf(work: Work, name: string, id: ContainerId | undefined): ContainerRecord {
  const record = id === undefined ? work.created.get(name) : work.hub.get(id)?.record;
  if (record === undefined) throw new StackError("no-such-container", `Container ${name} does not exist any more`);
  return record;
}

async function stopContainer(work: Work, id: ContainerId, graceMs: number | undefined, context: OperationContext): Promise<void> {
  const container = work.hub.get(id);
  if (container === undefined || container.status === "created" || container.status === "exited" || container.status === "dead") return;
  const patience = graceMs ?? container.record.stop.graceMs;
  const began = performance.now();
  const stopping = work.hub.monitor(id).stop(graceMs === undefined ? {} : { graceMs });
  const result = await orCancelled(stopping, context.signal, `Cancelled while ${container.name} was stopping`);
  if (result === undefined) return; // its monitor had ended by itself
  if (result.ignored) context.note("PID 1 ignores the stop signal: killed at once");
  // Who asked for the kill (`-t 0`, `stop_signal: SIGKILL`) need not be told of it.
  else if (result.killed && patience !== 0 && container.record.stop.signal !== constants.signals.SIGKILL)
    context.note(patience < 0 || performance.now() - began < patience ? "killed by another command before its grace was over" : `did not stop within ${patience / 1000} s: killed`);
}

/** Leaves when the command is cancelled; what was begun goes on, and whoever comes next finds it so. */
async function orCancelled<T>(work: Promise<T>, signal: AbortSignal, message: string): Promise<T> {
  let cancel: (() => void) | undefined;
  const cancelled = new Promise<never>((_, reject) => {
    cancel = (): void => {
      reject(new StackError("cancelled", message));
    };
    if (signal.aborted) cancel();
    signal.addEventListener("abort", cancel, { once: true });
  });
  work.catch(() => undefined);
  try {
    return await Promise.race([work, cancelled]);
  } finally {
    if (cancel !== undefined) signal.removeEventListener("abort", cancel);
  }
}

/** How long a monitor whose container was stopped may take to end, milliseconds. */
const monitorEndMs = 30_000;

async function monitorEnded(monitor: ReturnType<Work["hub"]["monitor"]>, name: string): Promise<void> {
  const patience = AbortSignal.timeout(monitorEndMs);
  try {
    await monitor.ended(patience);
  } catch (error) {
    if (!patience.aborted) throw error;
    throw new StackError("timeout", `Container ${name} still runs: it could not be stopped`, { hint: "Try `stack kill`, then again.", cause: error });
  }
}

export async function removeContainer(work: Pick<Work, "rooms" | "hub"> & Partial<Pick<Work, "deleting">>, id: ContainerId, anonymousVolumes: boolean): Promise<void> {
  const { rooms, hub } = work;
  const record = hub.get(id)?.record ?? (await rooms.containers.find(id))?.record;
  if (record === undefined) return;
  await monitorEnded(hub.monitor(id), record.name);
  // A monitor that ends as it should has recorded that it leads none any more.
  const led = hub.get(id)?.state?.ports ?? [];
  const { deleted } = await rooms.containers.discard(id);
  if (led.length > 0) {
    const others = hub.all.filter((other) => other.id !== id).flatMap(({ state }) => state?.ports ?? []);
    await rooms.networks.withdraw(led.filter((port) => !others.some((other) => other.hostPort === port.hostPort && other.protocol === port.protocol)));
  }
  // After its record: whoever dies between the two leaves an address that is swept, not a container whose address another may get.
  await rooms.networks.disconnect(id);
  if (work.deleting === undefined) await deleted;
  else work.deleting.push(deleted);
  hub.untrack(id);
  if (anonymousVolumes) for (const volume of record.volumes) if (volume.anonymous) await rooms.volumes.remove(volume.name);
}
