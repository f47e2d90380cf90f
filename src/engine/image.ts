import { StackError } from "../core/index.ts";
import type { Image, Images } from "../images/index.ts";
import { imageReference } from "./image-reference.ts";
import type { Operation } from "../reconcile/index.ts";
import type { OperationContext } from "./execute.ts";
import type { Work } from "./work.ts";

export async function ensureImage(work: Work, operation: Extract<Operation, { kind: "ensure-image" }>, context: OperationContext): Promise<void> {
  const { images } = work.rooms;
  const service = work.project.services[operation.service] ?? work.project.disabled_services[operation.service];
  const local = await images.find(operation.reference);
  if (operation.policy !== "always" && local !== undefined) return;
  const own = service !== undefined && imageReference(work.project, service) === operation.reference;
  if (own && service.build !== undefined && local === undefined && (service.image === undefined || service.pull_policy?.kind === "build"))
    throw new StackError("unsupported", `Image "${operation.reference}" of service "${operation.service}" would have to be built, which is not possible yet`, {
      hint: `Build it with another tool and bring it in with \`stack load\`, or give the service an image.`,
    });
  if (operation.policy === "never")
    throw new StackError("image-not-found", `Image "${operation.reference}" of service "${operation.service}" is not here, and its pull policy is "never"`, {
      hint: `Get it with \`stack pull ${operation.service}\` or \`stack load\`.`,
    });
  await images.pull(operation.reference, {
    ...(operation.platform === undefined ? {} : { platform: operation.platform }),
    signal: context.signal,
    onProgress: (progress) => {
      context.emit({ type: "image", index: context.index, progress });
    },
  });
}

/** The images of one plan, as its containers are made: each is read once. */
export class ImageCache {
  readonly #images: Images;
  readonly #found = new Map<string, Promise<Image>>();
  readonly #files = new Map<string, Promise<string>>();

  constructor(images: Images) {
    this.#images = images;
  }

  /** The image of a service, which the plan has made sure of. */
  find(reference: string): Promise<Image> {
    return remember(this.#found, reference, async () => {
      const image = await this.#images.find(reference);
      if (image === undefined)
        throw new StackError("image-not-found", `Image "${reference}" is not here`, { hint: "Get it with `stack pull` or `stack load`." });
      return image;
    });
  }

  /** A small text file of the image; "" if there is none. */
  text(image: Image, path: string): Promise<string> {
    return remember(this.#files, `${image.id} ${path}`, async () => {
      const bytes = await this.#images.readFile(image.layers, path, 1024 * 1024);
      return bytes === undefined ? "" : Buffer.from(bytes).toString("utf8");
    });
  }
}

/** What failed is asked for again. */
function remember<T>(known: Map<string, Promise<T>>, key: string, ask: () => Promise<T>): Promise<T> {
  const before = known.get(key);
  if (before !== undefined) return before;
  const asked = ask();
  known.set(key, asked);
  asked.catch(() => known.delete(key));
  return asked;
}
