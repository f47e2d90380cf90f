import { each, honoured, information, isNoneOf, isOneOf, notCarriedOut, partly, refused } from "./support.ts";
import type { Rows } from "./support.ts";

/** A service's own attributes; its larger parts have files of their own. */
const PROCESS: Rows = {
  "services.*.annotations": honoured,
  "services.*.attach": honoured,
  "services.*.command": honoured,
  "services.*.container_name": honoured,
  ...each("services.*", ["depends_on", "depends_on.*.condition", "depends_on.*.restart", "depends_on.*.required"], honoured),
  "services.*.domainname": honoured,
  "services.*.entrypoint": honoured,
  ...each("services.*", ["env_file", "env_file.[].path", "env_file.[].format", "env_file.[].required"], honoured),
  "services.*.environment": honoured,
  ...each("services.*", ["extends", "extends.service", "extends.file"], honoured),
  "services.*.group_add": honoured,
  ...each(
    "services.*",
    [
      "healthcheck",
      "healthcheck.disable",
      "healthcheck.test",
      "healthcheck.interval",
      "healthcheck.timeout",
      "healthcheck.retries",
      "healthcheck.start_period",
      "healthcheck.start_interval",
    ],
    honoured,
  ),
  "services.*.hostname": honoured,
  "services.*.image": honoured,
  "services.*.init": honoured,
  "services.*.label_file": honoured,
  "services.*.labels": honoured,
  "services.*.profiles": honoured,
  "services.*.pull_policy": partly(
    "`build` finds only what is here already: nothing is built",
    isOneOf("build"),
    "Build the image with another tool and bring it in with `stack load`.",
  ),
  "services.*.pull_refresh_after": honoured,
  "services.*.platform": partly(
    "it chooses the image when one is pulled; programs of a foreign processor need the kernel's binfmt_misc",
    "at-start",
  ),
  "services.*.restart": honoured,
  "services.*.runtime": honoured,
  "services.*.scale": honoured,
  "services.*.stdin_open": honoured,
  "services.*.stop_grace_period": honoured,
  "services.*.stop_signal": honoured,
  "services.*.tty": honoured,
  "services.*.user": honoured,
  "services.*.working_dir": honoured,
};

const SECURITY: Rows = {
  "services.*.cap_add": honoured,
  "services.*.cap_drop": honoured,
  "services.*.cgroup": honoured,
  "services.*.cgroup_parent": honoured,
  ...each(
    "services.*",
    ["credential_spec", "credential_spec.config", "credential_spec.file", "credential_spec.registry"],
    notCarriedOut("group managed service accounts exist on Windows alone", "Leave it out."),
  ),
  "services.*.device_cgroup_rules": honoured,
  "services.*.devices": partly("devices by CDI name (vendor.com/class=name) are refused", "at-start"),
  ...each("services.*", ["devices.[].source", "devices.[].target", "devices.[].permissions"], honoured),
  ...each(
    "services.*",
    ["gpus", "gpus.[].capabilities", "gpus.[].count", "gpus.[].device_ids", "gpus.[].driver", "gpus.[].options"],
    refused("there is no driver that hands GPUs out", "Pass the device nodes by hand under `devices`, for example /dev/dri or /dev/nvidia0."),
  ),
  "services.*.ipc": honoured,
  "services.*.isolation": refused("other isolation technologies than the default exist on Windows alone", "Leave it out.", isNoneOf("", "default")),
  "services.*.pid": honoured,
  "services.*.privileged": honoured,
  "services.*.read_only": honoured,
  "services.*.security_opt": partly(
    "AppArmor profiles need a kernel with AppArmor; SELinux labels but `label=disable` are refused where SELinux is on",
    "at-start",
  ),
  "services.*.sysctls": honoured,
  "services.*.use_api_socket": notCarriedOut(
    "there is no Docker engine whose socket could be handed in",
    "Programs that drive Docker through its socket cannot work here.",
  ),
  "services.*.userns_mode": partly("user namespaces other than the host's are refused", isNoneOf("", "host"), "Leave it out."),
  "services.*.uts": honoured,
};

const STORAGE: Rows = {
  ...each("services.*", ["configs", "configs.[].source", "configs.[].target", "configs.[].uid", "configs.[].gid", "configs.[].mode"], honoured),
  ...each("services.*", ["secrets", "secrets.[].source", "secrets.[].target", "secrets.[].uid", "secrets.[].gid", "secrets.[].mode"], honoured),
  "services.*.shm_size": honoured,
  "services.*.storage_opt": refused("a container's layer is a directory without a quota of its own", "Write to a volume of limited size, for example a tmpfs."),
  "services.*.tmpfs": honoured,
  "services.*.volumes": honoured,
  "services.*.volumes.[].type": partly(
    "`npipe` and `cluster`, which do not exist on Linux without Swarm, are refused",
    isOneOf("npipe", "cluster"),
    "Use a bind mount or a named volume.",
  ),
  ...each("services.*.volumes.[]", ["source", "target", "read_only"], honoured),
  "services.*.volumes.[].consistency": information("on Linux every mount is consistent, which all its values allow"),
  ...each("services.*.volumes.[]", ["bind", "bind.propagation", "bind.create_host_path", "bind.recursive"], honoured),
  "services.*.volumes.[].bind.selinux": partly("sources are not labelled where SELinux is on; elsewhere there is nothing to label", "at-start"),
  ...each("services.*.volumes.[]", ["volume", "volume.labels", "volume.nocopy", "volume.subpath"], honoured),
  ...each("services.*.volumes.[]", ["tmpfs", "tmpfs.size", "tmpfs.mode"], honoured),
  ...each("services.*.volumes.[]", ["image", "image.subpath"], honoured),
  "services.*.volumes_from": honoured,
};

const NETWORK: Rows = {
  "services.*.dns": honoured,
  "services.*.dns_opt": honoured,
  "services.*.dns_search": honoured,
  "services.*.expose": information("containers of one network reach every port of each other"),
  "services.*.external_links": honoured,
  "services.*.extra_hosts": honoured,
  "services.*.links": honoured,
  "services.*.mac_address": honoured,
  "services.*.network_mode": honoured,
  "services.*.networks": honoured,
  ...each(
    "services.*.networks.*",
    ["aliases", "interface_name", "ipv4_address", "ipv6_address", "link_local_ips", "mac_address", "priority", "gw_priority"],
    honoured,
  ),
  "services.*.networks.*.driver_opts": notCarriedOut(
    "the bridge has no options for one endpoint",
    "Use `sysctls`, `interface_name` or `mac_address`.",
  ),
  "services.*.ports": honoured,
  "services.*.ports.[].name": information("a name for people"),
  "services.*.ports.[].app_protocol": information("a hint for people and other tools"),
  "services.*.ports.[].mode": information("on one machine `host` and `ingress` are the same"),
  ...each("services.*.ports.[]", ["host_ip", "target", "published"], honoured),
  "services.*.ports.[].protocol": partly("SCTP is refused", isOneOf("sctp"), "Publish TCP or UDP, or reach the container by its address."),
};

export const SERVICE: Rows = { ...PROCESS, ...SECURITY, ...STORAGE, ...NETWORK };
