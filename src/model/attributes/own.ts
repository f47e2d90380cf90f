import { below, each, honoured } from "./support.ts";
import type { Rows, Support } from "./support.ts";

const TIMING = ["first_delay", "delay", "factor", "max_delay", "jitter", "reset_after"];
const PROBE = ["tcp", "http", "http.port", "http.path", "http.status", "http.body", "log", "exec", "file", "exit", "timeout", "interval"];

function ready(above: string, support: Support): Rows {
  return { [above]: support, ...each(above, PROBE, support) };
}

/** Stack's own keys, which in Compose files stand under `x-stack`. A list of probes has the rows of one. */
export const OWN: Rows = {
  "services.*.x-stack": honoured,
  "services.*.rootfs": honoured,
  "services.*.restart_policy": honoured,
  ...each("services.*.restart_policy", TIMING, honoured),
  "services.*.on_unhealthy": honoured,
  ...each("services.*.on_unhealthy", ["action", "run", "after", "max"], honoured),
  ...ready("services.*.ready", honoured),
  "services.*.processes": honoured,
  ...below("services.*.processes.*", {
    ...each("restart_policy", TIMING, honoured),
    ...ready("ready", honoured),
    ...Object.fromEntries(
      ["command", "user", "environment", "working_dir", "restart", "restart_policy", "essential", "oneshot", "stop_signal", "stop_grace_period", "depends_on"].map(
        (name) => [name, honoured],
      ),
    ),
  }),
  "services.*.expect": honoured,
  "services.*.on_orphan_exit": honoured,
};
