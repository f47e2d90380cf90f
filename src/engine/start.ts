import { StackError } from "../core/index.ts";
import { RuntimeFailure } from "../runtime/index.ts";
import type { ContainerRecord } from "../runtime/index.ts";
import { portOwner } from "./port-owner.ts";
import type { Work } from "./work.ts";

/** Starts a container's monitor, and with it the container; what goes wrong is told in the user's words. */
export async function startContainer(work: Work, record: ContainerRecord, note: (text: string) => void): Promise<void> {
  const { hub } = work;
  const container = hub.get(record.id);
  if (container?.status === "paused") {
    await hub.monitor(record.id).unpause();
    return;
  }
  if (container?.status === "running" || container?.status === "restarting") return;
  await hub.farewell(record.id);
  for (const volume of record.volumes) {
    const found = await work.rooms.volumes.find(volume.name);
    // What is mounted for it went with the last boot.
    if (found !== undefined && Object.keys(found.driverOptions).length > 0) await work.rooms.volumes.path(found);
  }
  try {
    const started = await hub.monitor(record.id).start({});
    for (const warning of started.warnings) note(warning);
  } catch (error) {
    await hub.track(record);
    throw await explainStart(work, record, error);
  }
  await hub.track(record);
}

async function explainStart(work: Work, record: ContainerRecord, error: unknown): Promise<unknown> {
  if (!(error instanceof RuntimeFailure)) return error;
  const { failure } = error;
  const what = `Cannot start ${record.name}`;
  if (failure.stage === "bind port" && failure.call === "bind" && failure.errno === 98) {
    const owner = await ownerOf(work, failure.path);
    const replica = owner?.holder?.project === record.project && owner.holder.service === record.service;
    return new StackError("port-taken", `${what}: port ${failure.path} is already taken${owner === undefined ? "" : ` by ${owner.what}`}`, {
      hint: replica
        ? "Only one replica can have a port of the host: publish a range (\"8000-8010:80\"), or no port of the host (\"80\")."
        : "Publish another port, or stop what holds this one.",
      details: { port: failure.path },
    });
  }
  if (failure.stage === "exec") {
    const command = failure.path === "" ? (record.command[0] ?? "") : failure.path;
    if (failure.errno === 2)
      return new StackError("command-not-found", `${what}: ${failure.message === "" ? `"${command}": executable file not found in $PATH` : failure.message}`, {
        hint: `Is it in the image? See \`stack config ${record.service}\` for command and entrypoint.`,
      });
    if (failure.errno === 13 || failure.errno === 21 || failure.errno === 8)
      return new StackError("command-not-executable", `${what}: "${command}": ${failure.errno === 8 ? "exec format error" : "permission denied"}`, {
        hint: failure.errno === 8 ? "Is it built for this platform, and does a script begin with #!?" : "Is it a file with execute permission?",
      });
  }
  const sysctl = /^sysctl (\S+)$/.exec(failure.stage)?.[1];
  return new StackError(failure.errno === 28 ? "no-space" : "container-start-failed", `${what}: ${failure.stage}: ${failure.message}`, {
    ...(sysctl !== undefined && failure.message.includes("belongs to the whole machine") ? { hint: `Set it on the host (\`sysctl -w ${sysctl}=…\`), and take it out of the service's \`sysctls\`.` } : {}),
    details: { stage: failure.stage, call: failure.call, errno: failure.errno, path: failure.path },
  });
}

interface Owner {
  /** `container shop-db-1 of project "shop"`, or `process nginx (pid 123)`. */
  readonly what: string;
  readonly holder?: ContainerRecord;
}

async function ownerOf(work: Work, address: string): Promise<Owner | undefined> {
  const match = /:(\d+)(?:\/(tcp|udp))?$/.exec(address);
  const port = Number(match?.[1]);
  const protocol = match?.[2] === "udp" ? "udp" : "tcp";
  const all = await work.rooms.containers.list();
  const named = (holder: ContainerRecord): Owner => ({
    what: `container ${holder.name}${holder.project === work.project.name ? "" : ` of project "${holder.project}"`}`,
    holder,
  });
  for (const { record, state, status } of all) {
    if (status !== "running" && status !== "restarting" && status !== "paused") continue;
    if (state?.ports.some((bound) => bound.hostPort === port && bound.protocol === protocol) === true) return named(record);
  }
  const process = await portOwner(port, protocol);
  if (process === undefined) return undefined;
  // A container that is still starting holds its ports before its state says so.
  const starting = all.find(({ record }) => process.commandLine.includes(record.id));
  return starting === undefined ? { what: `process ${process.name} (pid ${process.pid})` } : named(starting.record);
}
