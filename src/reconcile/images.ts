import type { Project, Service } from "../model/index.ts";
import type { PlanBuilder } from "./builder.ts";
import type { ReconcileContext } from "./context.ts";
import type { ObservedState } from "./observed.ts";
import type { OperationIndex, ReconcileOptions } from "./plan.ts";

/** The image that a service's containers are made from: `image`, or `PROJECT-SERVICE` for what is built. None with `rootfs`. */
export function imageReference(project: Project, service: Service): string | undefined {
  if (service.rootfs !== undefined) return undefined;
  if (service.image !== undefined) return service.image;
  return service.build === undefined ? undefined : `${project.name}-${service.name}`;
}

/** `ensure-image` operations, one for each image that has to be fetched. */
export class ImagePlanner {
  readonly #builder: PlanBuilder;
  readonly #project: Project;
  readonly #observed: ObservedState;
  readonly #options: ReconcileOptions;
  readonly #context: ReconcileContext;
  readonly #planned = new Map<string, OperationIndex>();

  constructor(builder: PlanBuilder, project: Project, observed: ObservedState, options: ReconcileOptions, context: ReconcileContext) {
    this.#builder = builder;
    this.#project = project;
    this.#observed = observed;
    this.#options = options;
    this.#context = context;
  }

  /** `needed`: a container will be made. Without it only what is to be refreshed is fetched. */
  ensure(service: Service, needed: boolean): OperationIndex | undefined {
    const reference = imageReference(this.#project, service);
    if (reference === undefined) return undefined;
    const due = this.#due(service, reference, needed);
    if (due === undefined) return undefined;
    const key = `${reference} ${service.platform ?? ""} ${due.policy}`;
    const known = this.#planned.get(key);
    if (known !== undefined) return known;
    const index = this.#builder.add(
      `ensure-image ${reference}`,
      { kind: "ensure-image", service: service.name, reference, policy: due.policy, ...(service.platform === undefined ? {} : { platform: service.platform }) },
      { cause: due.cause },
    );
    this.#planned.set(key, index);
    return index;
  }

  /** Images that a container mounts (`volumes` of the type `image`). */
  ensureMounted(service: Service): readonly OperationIndex[] {
    return service.volumes.flatMap((mount) => {
      if (mount.type !== "image" || this.#observed.images[mount.source] !== undefined) return [];
      const known = this.#planned.get(mount.source);
      if (known !== undefined) return [known];
      const policy = service.pull_policy?.kind === "never" ? "never" : "missing";
      const index = this.#builder.add(
        `ensure-image ${mount.source}`,
        { kind: "ensure-image", service: service.name, reference: mount.source, policy },
        { cause: `image is mounted on ${mount.target} and not here` },
      );
      this.#planned.set(mount.source, index);
      return [index];
    });
  }

  #due(service: Service, reference: string, needed: boolean): { readonly policy: "missing" | "always" | "never"; readonly cause: string } | undefined {
    const here = this.#observed.images[reference];
    const policy = this.#options.pull ?? service.pull_policy?.kind ?? "missing";
    // What is only built is fetched from nowhere; the image room says so if it is missing.
    const refreshes = service.image !== undefined;
    if (here === undefined) return needed ? { policy: policy === "never" ? "never" : policy === "always" ? "always" : "missing", cause: "image is not here" } : undefined;
    if (!refreshes || here.pulledAt >= this.#context.now) return undefined;
    if (policy === "always") return { policy, cause: "pull policy is always" };
    if (policy === "every" && service.pull_policy?.kind === "every" && here.pulledAt + service.pull_policy.interval <= this.#context.now)
      return { policy: "always", cause: "image is older than its pull policy allows" };
    return undefined;
  }
}
