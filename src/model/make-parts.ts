// The larger parts of a service: build, deploy, develop, hooks and the like. Everything was checked; nothing can fail here.
import type { HostPath } from "../core/index.ts";
import type { BlkioConfig, Build, Deploy, FileMount, Hook, Service, WatchRule } from "./project.ts";
import { bytes, clean, data, flag, items, milliseconds, number, strings, text, texts, variables } from "./record.ts";
import type { Data } from "./record.ts";

export function makeFileMount(m: Data, directory: string): FileMount {
  const source = text(m, "source") ?? "";
  const target = text(m, "target") ?? source;
  const mode = text(m, "mode");
  return clean<FileMount>({
    source,
    target: target.startsWith("/") ? target : `${directory}${target}`,
    uid: text(m, "uid"),
    gid: text(m, "gid"),
    // Files have no more bits than these.
    mode: mode === undefined ? undefined : parseInt(mode.slice(-4), 8),
  });
}

export function makeBlkio(from: Data | undefined): BlkioConfig | undefined {
  if (from === undefined) return undefined;
  const rates = (key: string) => items(from, key).map((r) => ({ path: text(r, "path") ?? "", rate: bytes(r, "rate") ?? 0 }));
  return clean<BlkioConfig>({
    weight: number(from, "weight"),
    weight_device: items(from, "weight_device").map((w) => ({ path: text(w, "path") ?? "", weight: number(w, "weight") ?? 0 })),
    device_read_bps: rates("device_read_bps"),
    device_read_iops: rates("device_read_iops"),
    device_write_bps: rates("device_write_bps"),
    device_write_iops: rates("device_write_iops"),
  });
}

export function makeLogging(from: Data | undefined): Service["logging"] {
  if (from === undefined) return undefined;
  return clean<NonNullable<Service["logging"]>>({ driver: text(from, "driver"), options: variables(from, "options") });
}

export function makeDeploy(from: Data | undefined): Deploy | undefined {
  if (from === undefined) return undefined;
  const policy = data(from["restart_policy"]);
  return clean<Deploy>({
    mode: text(from, "mode"),
    replicas: number(from, "replicas"),
    labels: strings(from, "labels"),
    endpoint_mode: text(from, "endpoint_mode"),
    restart_policy:
      policy === undefined
        ? undefined
        : clean<NonNullable<Deploy["restart_policy"]>>({
            condition: text(policy, "condition"),
            delay: milliseconds(policy, "delay"),
            max_attempts: number(policy, "max_attempts"),
            window: milliseconds(policy, "window"),
          }),
    update_config: data(from["update_config"]),
    rollback_config: data(from["rollback_config"]),
    placement: data(from["placement"]),
    resources: data(from["resources"]),
  });
}

export function makeDevelop(from: Data | undefined): Service["develop"] {
  if (from === undefined) return undefined;
  return {
    watch: items(from, "watch").map((w) =>
      clean<WatchRule>({
        path: (text(w, "path") ?? "") as HostPath,
        action: (text(w, "action") ?? "rebuild") as WatchRule["action"],
        target: text(w, "target"),
        ignore: texts(w, "ignore"),
        include: texts(w, "include"),
        exec: data(w["exec"]) === undefined ? undefined : makeHook(data(w["exec"]) ?? {}),
        initial_sync: flag(w, "initial_sync"),
      }),
    ),
  };
}

export function makeHook(h: Data): Hook {
  return clean<Hook>({
    command: texts(h, "command"),
    image: text(h, "image"),
    user: text(h, "user"),
    privileged: flag(h, "privileged"),
    working_dir: text(h, "working_dir"),
    environment: variables(h, "environment"),
    per_replica: flag(h, "per_replica") ? true : undefined,
  });
}

export function makeProvider(from: Data | undefined): Service["provider"] {
  if (from === undefined) return undefined;
  return { type: text(from, "type") ?? "", options: (data(from["options"]) ?? {}) as Readonly<Record<string, readonly string[]>> };
}

export function makeModels(from: Data | undefined): Service["models"] {
  return Object.fromEntries(Object.entries(from ?? {}).map(([k, v]) => [k, v as Service["models"][string]]));
}

export function makeBuild(b: Data | undefined): Build | undefined {
  if (b === undefined) return undefined;
  return clean<Build>({
    context: text(b, "context") ?? ".",
    dockerfile: text(b, "dockerfile"),
    dockerfile_inline: text(b, "dockerfile_inline"),
    args: variables(b, "args"),
    target: text(b, "target"),
    no_cache: flag(b, "no_cache"),
    pull: flag(b, "pull"),
    tags: texts(b, "tags"),
    platforms: texts(b, "platforms"),
    labels: strings(b, "labels"),
    secrets: items(b, "secrets").map((m) => makeFileMount(m, "/run/secrets/")),
    additional_contexts: strings(b, "additional_contexts"),
    extra_hosts: (data(b["extra_hosts"]) ?? {}) as Readonly<Record<string, readonly string[]>>,
    shm_size: bytes(b, "shm_size"),
    network: text(b, "network"),
    canonical: b,
  });
}
