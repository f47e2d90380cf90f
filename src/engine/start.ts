import { StackError } from "../core/index.ts";
import { RuntimeFailure } from "../runtime/index.ts";
import type { ContainerRecord } from "../runtime/index.ts";
import { portOwner } from "./port-owner.ts";
import type { Work } from "./session.ts";

/** Starts a container's monitor, and with it the container; what goes wrong is told in the user's words. */
export async function startContainer(work: Work, record: ContainerRecord, note: (text: string) => void): Promise<void> {
  const { hub } = work;
  const container = hub.get(record.id);
  if (container?.status === "paused") {
    await hub.monitor(record.id).unpause();
    return;
  }
  if (container?.status === "running" || container?.status === "restarting") return;
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
    return new StackError("port-taken", `${what}: port ${failure.path} is already taken${owner === undefined ? "" : ` by ${owner}`}`, {
      hint: "Publish another port, or stop what holds this one.",
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
  return new StackError(failure.errno === 28 ? "no-space" : "container-start-failed", `${what}: ${failure.stage}: ${failure.message}`, {
    details: { stage: failure.stage, call: failure.call, errno: failure.errno, path: failure.path },
  });
}

/** `container shop-db-1 (project "shop")`, or `process nginx (pid 123)`. */
async function ownerOf(work: Work, address: string): Promise<string | undefined> {
  const match = /:(\d+)(?:\/(tcp|udp))?$/.exec(address);
  const port = Number(match?.[1]);
  const protocol = match?.[2] === "udp" ? "udp" : "tcp";
  for (const { record, state, status } of await work.rooms.containers.list()) {
    if (status !== "running" && status !== "restarting" && status !== "paused") continue;
    if (state?.ports.some((bound) => bound.hostPort === port && bound.protocol === protocol) === true)
      return `container ${record.name}${record.project === work.project.name ? "" : ` of project "${record.project}"`}`;
  }
  const process = await portOwner(port, protocol);
  return process === undefined ? undefined : `process ${process.name} (pid ${process.pid})`;
}
