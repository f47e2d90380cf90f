import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";

export const digestOf = (data: Buffer | string): string => `sha256:${createHash("sha256").update(data).digest("hex")}`;

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** Answers itself and returns true, or leaves the request to the registry. */
export type Hook = (request: Seen, response: ServerResponse) => boolean;

export interface FakeImage {
  readonly manifest: string;
  readonly config: string;
  readonly layers: readonly string[];
}

/** A registry of a test's own: honest by itself, and whatever the test's hooks make of it. */
export class FakeRegistry implements AsyncDisposable {
  readonly blobs = new Map<string, Buffer>();
  /** `NAME:TAG` and `NAME:sha256:…` */
  readonly manifests = new Map<string, { readonly type: string; readonly body: Buffer }>();
  readonly seen: Seen[] = [];
  hook: Hook = () => false;
  readonly #server;

  private constructor(tls: { readonly key: string; readonly cert: string } | undefined) {
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => (body += text));
      request.on("end", () => this.#answer({ method: request.method ?? "", path: request.url ?? "", headers: request.headers, body }, response));
    };
    this.#server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  }

  static async start(tls?: { readonly key: string; readonly cert: string }): Promise<FakeRegistry> {
    const registry = new FakeRegistry(tls);
    await new Promise<void>((resolve) => registry.#server.listen(0, "127.0.0.1", resolve));
    return registry;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  count(method: string, part: string): number {
    return this.seen.filter((s) => s.method === method && s.path.includes(part)).length;
  }

  blob(data: Buffer | string): string {
    const buffer = Buffer.from(data);
    this.blobs.set(digestOf(buffer), buffer);
    return digestOf(buffer);
  }

  put(name: string, tag: string, document: object, type = "application/vnd.oci.image.manifest.v1+json"): string {
    const body = Buffer.from(JSON.stringify(document));
    const digest = digestOf(body);
    this.manifests.set(`${name}:${tag}`, { type, body });
    this.manifests.set(`${name}:${digest}`, { type, body });
    return digest;
  }

  /** An image of those layers (plain tars), gzipped. */
  image(name: string, tag: string, layers: readonly Buffer[], options: { readonly config?: object; readonly architecture?: string; readonly variant?: string; readonly pack?: (plain: Buffer) => Buffer } = {}): FakeImage {
    const packed = layers.map(options.pack ?? ((plain) => gzipSync(plain)));
    const document = {
      os: "linux",
      architecture: options.architecture ?? "amd64",
      ...(options.variant === undefined ? {} : { variant: options.variant }),
      config: options.config ?? {},
      rootfs: { type: "layers", diff_ids: layers.map(digestOf) },
    };
    const config = this.blob(JSON.stringify(document));
    const manifest = {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: config, size: this.blobs.get(config)?.length },
      layers: packed.map((data) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: this.blob(data), size: data.length })),
    };
    return { manifest: this.put(name, tag, manifest), config, layers: packed.map((data) => digestOf(data)) };
  }

  #answer(request: Seen, response: ServerResponse): void {
    this.seen.push(request);
    if (this.hook(request, response)) return;
    const [, name = "", kind = "", reference = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(request.path) ?? [];
    const manifest = kind === "manifests" ? this.manifests.get(`${name}:${reference}`) : undefined;
    const data = manifest?.body ?? (kind === "blobs" ? this.blobs.get(reference) : undefined);
    if (data === undefined) {
      response.writeHead(404, { "content-type": "application/json" }).end(JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }] }));
      return;
    }
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    response.writeHead(start > 0 ? 206 : 200, {
      "content-type": manifest?.type ?? "application/octet-stream",
      "content-length": data.length - start,
      "docker-content-digest": digestOf(data),
      ...(start > 0 ? { "content-range": `bytes ${start}-${data.length - 1}/${data.length}` } : {}),
    });
    response.end(request.method === "HEAD" ? undefined : data.subarray(start));
  }
}
