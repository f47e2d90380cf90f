/**
 * runtime: one container. From a service to an OCI configuration and a monitor's task (pure), and the
 * client of the monitor: create, start, stop, kill, exec, attach, wait, state.
 * Never does: know other containers, networks or images.
 */
export * from "./formats.ts";
export type * from "./input.ts";
export type * from "./oci.ts";
export { containerHostname, ociWarnings, serializeOciConfig, toOciConfig } from "./oci-config.ts";
export { logWarnings, toHealthSpec, toMonitorSpec } from "./monitor-spec.ts";
export { toStop } from "./restart-spec.ts";
export { containerArgs, MAIN, processReadiness } from "./supervision.ts";
export type { MonitorInput } from "./monitor-spec.ts";
export { planMounts } from "./mounts.ts";
export type { PlannedMount } from "./mounts.ts";
export { checkService } from "./check.ts";
export { processArgs } from "./command.ts";
export { parseSecurityOptions } from "./security.ts";
export { parseSignal, signalName } from "./signals.ts";
export { resolveUser } from "./user.ts";
export { bringsOwnInit, isForeignRuntime, usesInit } from "./init.ts";
export { openContainers } from "./containers.ts";
export type { ContainerFiles, ContainerStore, Creation, StoredContainer, Survey } from "./containers.ts";
export { endStrangers, killRemains } from "./cgroup-leftovers.ts";
export { ForkServer } from "./fork-server.ts";
export { FileAccess } from "./container-files.ts";
export type { FileOwner, FileStat, PackRequest, UnpackRequest } from "./container-files.ts";
export { MonitorClient } from "./monitor-client.ts";
export type { AlteredLimit, CaptureResult, ExecRequest, ProbeRequest, ProbeResult, StopOptions, StopResult, Subscription } from "./monitor-client.ts";
export type { Started } from "./monitor-start.ts";
export type { AttachSession, ExecSession, ExitStatus } from "./stream-session.ts";
export { StreamSession } from "./stream-session.ts";
export { RuntimeFailure } from "./failure.ts";
export {currentBootId, processLives, readCrash, readRecord, readState, statusOf} from './state.ts';
export { inspectHost } from "./host.ts";
export { planRootfs } from "./rootfs.ts";
export type { RootfsPlan, RootfsRequest } from "./rootfs.ts";
