import { below, each, honoured, information, isNoneOf, isOneOf, notCarriedOut, partly, refused } from "./support.ts";
import type { Rows } from "./support.ts";

/** Limits of processor, memory and devices. */
export const LIMITS: Rows = {
  ...each("services.*", ["cpu_count", "cpu_percent"], notCarriedOut("it exists on Windows alone", "Use `cpus`.")),
  ...each("services.*", ["cpu_period", "cpu_quota", "cpu_shares", "cpus", "cpuset"], honoured),
  ...each("services.*", ["cpu_rt_period", "cpu_rt_runtime"], partly("it needs a kernel with real-time group scheduling and cgroup version 1", "at-start")),
  ...each("services.*", ["mem_limit", "mem_reservation", "memswap_limit"], honoured),
  "services.*.mem_swappiness": partly("cgroup version 2 has no such thing", "at-start"),
  "services.*.oom_kill_disable": partly("cgroup version 2 has no such thing", "at-start"),
  "services.*.oom_score_adj": honoured,
  "services.*.pids_limit": honoured,
  ...each("services.*", ["ulimits", "ulimits.*.soft", "ulimits.*.hard"], honoured),
  "services.*.blkio_config": honoured,
  ...each(
    "services.*.blkio_config",
    ["device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"].flatMap((name) => [name, `${name}.[].path`, `${name}.[].rate`]),
    honoured,
  ),
  ...each(
    "services.*.blkio_config",
    ["weight", "weight_device", "weight_device.[].path", "weight_device.[].weight"],
    partly("it needs a kernel with the BFQ scheduler", "at-start"),
  ),
};

export const LOGGING: Rows = {
  "services.*.logging": honoured,
  "services.*.logging.driver": partly(
    "logs are kept in files, whatever the driver, or not at all with `none`",
    isNoneOf("json-file", "local", "none", ""),
    "Read them with `stack logs`.",
  ),
  "services.*.logging.options": partly("known are max-size, max-file, mode, max-buffer-size, labels and env", "at-start"),
};

const NOT_BUILT = refused(
  "images cannot be built yet; one that is here already is used",
  "Build it with another tool and bring it in with `stack load`, or give the service an `image`.",
  "at-start",
);

export const BUILD: Rows = {
  "services.*.build": NOT_BUILT,
  ...each(
    "services.*.build",
    [
      "context",
      "dockerfile",
      "dockerfile_inline",
      "entitlements",
      "args",
      "ssh",
      "labels",
      "cache_from",
      "cache_to",
      "no_cache",
      "no_cache_filter",
      "additional_contexts",
      "network",
      "provenance",
      "sbom",
      "pull",
      "target",
      "shm_size",
      "extra_hosts",
      "isolation",
      "privileged",
      "secrets",
      "secrets.[].source",
      "secrets.[].target",
      "secrets.[].uid",
      "secrets.[].gid",
      "secrets.[].mode",
      "tags",
      "ulimits",
      "ulimits.*.soft",
      "ulimits.*.hard",
      "platforms",
    ],
    NOT_BUILT,
  ),
};

const UPDATES = ["parallelism", "delay", "failure_action", "monitor", "max_failure_ratio", "order"];

export const DEPLOY: Rows = {
  "services.*.deploy": honoured,
  ...below("services.*.deploy", {
    mode: partly("jobs are not known; `global` is one container, because there is one machine", isOneOf("replicated-job", "global-job"), 'Use `restart: "no"`, and `depends_on` with `service_completed_successfully`.'),
    endpoint_mode: partly("a service's name is answered with the addresses of its containers, as `dnsrr` has it; there are no virtual addresses", isOneOf("vip"), "Leave it out."),
    replicas: honoured,
    labels: notCarriedOut("there are no Swarm services that could carry them; containers do not get them", "Write `labels` at the service itself."),
    rollback_config: notCarriedOut("updates do not roll back"),
    ...each("rollback_config", UPDATES, notCarriedOut("updates do not roll back")),
    update_config: notCarriedOut("an update recreates the containers in turn, in no other way"),
    ...each("update_config", UPDATES, notCarriedOut("an update recreates the containers in turn, in no other way")),
    resources: honoured,
    "resources.limits": honoured,
    ...each("resources.limits", ["cpus", "memory", "pids"], honoured),
    "resources.reservations": honoured,
    "resources.reservations.cpus": notCarriedOut("nothing is scheduled to machines, so nothing can be reserved", "Use `cpu_shares` for a share when there are too few."),
    "resources.reservations.memory": honoured,
    ...each(
      "resources.reservations",
      [
        "generic_resources",
        "generic_resources.[].discrete_resource_spec",
        "generic_resources.[].discrete_resource_spec.kind",
        "generic_resources.[].discrete_resource_spec.value",
      ],
      notCarriedOut("nothing is scheduled to machines, so nothing can be reserved"),
    ),
    ...each(
      "resources.reservations",
      ["devices", "devices.[].capabilities", "devices.[].count", "devices.[].device_ids", "devices.[].driver", "devices.[].options"],
      refused("there is no driver that hands GPUs out", "Pass the device nodes by hand under `devices`, for example /dev/dri or /dev/nvidia0."),
    ),
    restart_policy: honoured,
    ...each("restart_policy", ["condition", "max_attempts"], honoured),
    ...each("restart_policy", ["delay", "window"], notCarriedOut("times between restarts have keys of their own", "Use `restart_policy` of the service (under `x-stack` in a Compose file).")),
    placement: notCarriedOut("all containers run on this machine"),
    ...each("placement", ["constraints", "preferences", "preferences.[].spread", "max_replicas_per_node"], notCarriedOut("all containers run on this machine")),
  }),
};

const NO_WATCH = notCarriedOut("files are not watched yet; `up --watch` says so", undefined, "at-start");

export const DEVELOP: Rows = {
  "services.*.develop": NO_WATCH,
  ...below("services.*.develop", {
    watch: NO_WATCH,
    ...each("watch.[]", ["path", "action", "target", "ignore", "include", "initial_sync", "exec"], NO_WATCH),
    ...each("watch.[].exec", ["command", "user", "privileged", "working_dir", "environment"], NO_WATCH),
  }),
};

const HOOK = ["command", "user", "privileged", "working_dir", "environment"];
const NO_PROVIDER = refused("services of other providers than this engine cannot be made yet");
const NO_MODELS = refused("nothing here runs models", "Run a model server as a service, and give its address in `environment`.");

export const REST: Rows = {
  ...each("services.*", ["post_start", "pre_stop", ...HOOK.flatMap((name) => [`post_start.[].${name}`, `pre_stop.[].${name}`])], honoured),
  ...each("services.*", ["pre_start", ...[...HOOK, "image", "per_replica"].map((name) => `pre_start.[].${name}`)], honoured),
  ...each("services.*", ["provider", "provider.type", "provider.options"], NO_PROVIDER),
  ...each("services.*", ["models", "models.*.endpoint_var", "models.*.model_var"], NO_MODELS),
  ...each("models.*", ["name", "model", "context_size", "runtime_flags"], information("of no consequence: a service that uses a model is refused")),
  models: information("of no consequence: a service that uses a model is refused"),
};

export const TOP: Rows = {
  version: information("obsolete; every file is read by the same rules"),
  name: honoured,
  include: honoured,
  ...each("include.[]", ["path", "env_file", "project_directory"], honoured),
  services: honoured,
  networks: honoured,
  ...below("networks.*", {
    name: honoured,
    driver: partly("`bridge` is the one driver; others are refused", isNoneOf("bridge", "default", ""), "Leave it out."),
    driver_opts: partly("com.docker.network.driver.mtu is known; what would need a bridge of the host is refused, what is not known has no effect", "at-start"),
    ipam: honoured,
    "ipam.driver": partly("`default` is the one driver", isNoneOf("default", ""), "Leave it out."),
    "ipam.config": honoured,
    ...each("ipam.config.[]", ["subnet", "ip_range", "gateway", "aux_addresses"], honoured),
    "ipam.options": notCarriedOut("the default driver has no options"),
    external: honoured,
    "external.name": honoured,
    internal: honoured,
    enable_ipv4: honoured,
    enable_ipv6: honoured,
    attachable: information("every network can be joined by other projects (`external`)"),
    labels: honoured,
  }),
  volumes: honoured,
  ...below("volumes.*", {
    name: honoured,
    driver: partly("`local` is the one driver; others are refused", isNoneOf("local", ""), "It can mount NFS and others with driver_opts type, o and device."),
    driver_opts: partly("type, o and device are known; others are refused", "at-start"),
    external: honoured,
    "external.name": honoured,
    labels: honoured,
  }),
  secrets: honoured,
  configs: honoured,
  ...["secrets.*", "configs.*"].reduce<Rows>(
    (rows, section) => ({
      ...rows,
      ...below(section, {
        file: honoured,
        environment: honoured,
        name: information("there is no store in which it would have a name of its own"),
        external: refused("there is no store of external ones on this machine", "Give it a file, an environment variable or content."),
        "external.name": refused("there is no store of external ones on this machine"),
        labels: information("it is a file in the container, which cannot carry labels"),
        template_driver: notCarriedOut("templates are not filled in", "Interpolate variables in `content`, or fill it in when the container starts."),
      }),
    }),
    {},
  ),
  "configs.*.content": honoured,
  "secrets.*.driver": notCarriedOut("there are no drivers for secrets", "Give it a file or an environment variable."),
  "secrets.*.driver_opts": notCarriedOut("there are no drivers for secrets"),
};
