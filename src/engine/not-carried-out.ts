import type { Service } from "../model/index.ts";

/** Keys that a service has and that this version accepts without acting on them. */
export function notCarriedOut(service: Service): readonly string[] {
  const { deploy } = service;
  const table: readonly (readonly [key: string, given: boolean])[] = [
    ["ready", service.ready.length > 0],
    ["processes", Object.keys(service.processes).length > 0],
    ["expect", service.expect.length > 0],
    ["on_unhealthy", service.on_unhealthy !== undefined],
    ["on_orphan_exit", service.on_orphan_exit !== undefined],
    ["models", Object.keys(service.models).length > 0],
    ["credential_spec", service.credential_spec !== undefined],
    ["use_api_socket", service.use_api_socket],
    ["deploy.update_config", deploy?.update_config !== undefined],
    ["deploy.rollback_config", deploy?.rollback_config !== undefined],
    ["deploy.placement", deploy?.placement !== undefined],
    ["deploy.endpoint_mode", deploy?.endpoint_mode !== undefined],
    ["deploy.mode", deploy?.mode !== undefined && deploy.mode !== "replicated"],
    ["deploy.restart_policy.delay", deploy?.restart_policy?.delay !== undefined],
    ["deploy.restart_policy.window", deploy?.restart_policy?.window !== undefined],
  ];
  return table.flatMap(([key, given]) => (given ? [key] : []));
}
