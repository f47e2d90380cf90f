import type { Project, Service } from "../model/index.ts";

/** The image that a service's containers are made from: `image`, or `PROJECT-SERVICE` for what is built. None with `rootfs` or a provider. */
export function imageReference(project: Project, service: Service): string | undefined {
  if (service.image !== undefined) return service.image;
  return service.build === undefined ? undefined : `${project.name}-${service.name}`;
}
