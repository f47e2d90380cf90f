import { createHash } from "node:crypto";
import type { Clock, Digest } from "../core/index.ts";
import { parseDigest, StackError } from "../core/index.ts";
import type { Authorizer } from "./auth.ts";
import { readBytes, TokenServerError } from "./auth.ts";
import { SlowServerError } from "./body.ts";
import type { HttpClient, HttpResponse } from "./http.ts";
import { digestMismatch } from "./layers.ts";
import { throwIfAborted } from "./locks.ts";
import { manifestAccept, maxDocumentBytes } from "./manifest.ts";
import type { Reference } from "./reference.ts";
import { familiarReference, formatReference } from "./reference.ts";

/** Attempts for one request, the first included; a blob's count starts anew when bytes have come. */
const maxAttempts = 5;
/** Of those, with a server that is too slow: each of them takes its time. */
const maxSlowAttempts = 2;
const firstDelayMs = 250;
const maxDelayMs = 8_000;
/** A registry may ask for patience (Retry-After); more than this is for the user to decide. */
const maxRetryAfterMs = 30_000;

export interface RegistryOptions {
  readonly host: string;
  readonly http: HttpClient;
  readonly authorizer: Authorizer;
  readonly clock: Clock;
  /** Without TLS, or with a certificate that nobody signed. */
  readonly insecure: boolean;
}

export interface FetchedManifest {
  readonly bytes: Uint8Array;
  readonly digest: Digest;
}

/** One registry, by the OCI distribution specification ("Pulling manifests", "Pulling blobs"). */
export class Registry {
  readonly #options: RegistryOptions;
  /** `https:`, or `http:` where that is allowed and https is not spoken. */
  #scheme: "https:" | "http:" = "https:";
  #schemeKnown = false;

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** What the reference points to now, by a HEAD request; undefined if the registry does not say. */
  async resolve(reference: Reference, signal: AbortSignal): Promise<Digest | undefined> {
    const response = await this.#get("HEAD", reference, manifestPath(reference), { accept: manifestAccept }, signal);
    response.body.discard();
    return digestHeader(response);
  }

  /** The manifest or index under the reference's digest, else its tag; its digest is verified. */
  async manifest(reference: Reference, signal: AbortSignal): Promise<FetchedManifest> {
    const bytes = await this.#document(reference, manifestPath(reference), { accept: manifestAccept }, signal, (response, body) => {
      const stated = reference.digest ?? digestHeader(response);
      const actual = sha256(body);
      if (stated !== undefined && stated !== actual) throw digestMismatch(`the manifest of ${familiarReference(formatReference(reference))}`, stated, actual);
    });
    return { bytes, digest: sha256(bytes) };
  }

  /** A small blob (a configuration), verified. */
  async blob(reference: Reference, digest: Digest, what: string, signal: AbortSignal): Promise<Uint8Array> {
    return this.#document(reference, `blobs/${digest}`, {}, signal, (_response, body) => {
      const actual = sha256(body);
      if (actual !== digest) throw digestMismatch(what, digest, actual);
    });
  }

  /**
   * A blob's bytes in order, as they come; a broken connection is resumed where it broke (RFC 9110,
   * section 14). `write` returns false when it wants no more.
   */
  async stream(reference: Reference, digest: Digest, size: number, what: string, signal: AbortSignal, write: (chunk: Uint8Array) => Promise<boolean>): Promise<void> {
    let offset = 0;
    let slow = 0;
    for (let failures = 0; ; ) {
      const before = offset;
      try {
        const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
        const response = await this.#get("GET", reference, `blobs/${digest}`, headers, signal);
        for await (const chunk of fromOffset(response, offset)) {
          offset += chunk.length;
          if (offset > size) {
            response.body.destroy();
            throw new StackError("image-invalid", `${this.#options.host} sends more than the ${size} bytes that ${what} has`);
          }
          if (!(await write(chunk))) {
            response.body.destroy();
            return;
          }
        }
        if (offset === size) return;
        throw Object.assign(new Error(`the connection was closed after ${offset} of ${size} bytes`), { code: "ECONNRESET" });
      } catch (error) {
        throwIfAborted(signal);
        failures = offset > before ? 1 : failures + 1;
        if (error instanceof SlowServerError) slow++;
        if (!isTransient(error) || failures >= maxAttempts || slow >= maxSlowAttempts) throw this.#failure(error, what);
        await this.#pause(delayMs(failures), signal);
      }
    }
  }

  async #document(reference: Reference, path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal, check: (response: HttpResponse, body: Uint8Array) => void): Promise<Uint8Array> {
    for (let failures = 1; ; failures++) {
      const response = await this.#get("GET", reference, path, headers, signal);
      try {
        const body = await readBytes(response, maxDocumentBytes);
        check(response, body);
        return body;
      } catch (error) {
        throwIfAborted(signal);
        if (!isTransient(error) || failures >= attempts(error)) throw this.#failure(error, formatReference(reference));
        await this.#pause(delayMs(failures), signal);
      }
    }
  }

  /** A response of status 200 or 206, after logging in and trying again where that may help. */
  async #get(method: "GET" | "HEAD", reference: Reference, path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<HttpResponse> {
    const scope = `repository:${reference.repository}:pull`;
    let answered = false;
    for (let failures = 1; ; ) {
      const authorization = this.#options.authorizer.header(scope);
      let wait = delayMs(failures);
      try {
        const response = await this.#send(method, reference, path, { ...headers, ...(authorization === undefined ? {} : { authorization }) }, signal);
        const { status } = response;
        if (status === 200 || status === 206) return response;
        if (status === 401 && !answered) {
          answered = true;
          const again = await this.#options.authorizer.answer(response, scope, authorization, signal).catch((error: unknown) => {
            response.body.destroy();
            throw error;
          });
          if (again) {
            response.body.discard();
            continue;
          }
        }
        const problem = await this.#statusFailure(response, reference, signal);
        if (!isTransientStatus(status) || failures >= maxAttempts) throw problem;
        wait = retryAfter(response, this.#options.clock.now()) ?? wait;
        if (wait > maxRetryAfterMs) throw problem;
      } catch (error) {
        throwIfAborted(signal);
        if (!isTransient(error) || failures >= attempts(error)) throw this.#failure(error, formatReference(reference));
        answered = false;
      }
      failures++;
      await this.#pause(wait, signal);
    }
  }

  /** Docker's way with hosts that need no TLS: https first, http if that is not spoken there. */
  async #send(method: "GET" | "HEAD", reference: Reference, path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<HttpResponse> {
    const { http, insecure } = this.#options;
    const host = this.#options.host === "docker.io" ? "registry-1.docker.io" : this.#options.host;
    const url = (scheme: string): URL => new URL(`${scheme}//${host}/v2/${reference.repository}/${path}`);
    try {
      const response = await http.request({ method, url: url(this.#scheme), headers, signal });
      this.#schemeKnown = true;
      return response;
    } catch (error) {
      if (!insecure || this.#schemeKnown || this.#scheme === "http:" || !speaksNoTls(error)) throw error;
      const response = await http.request({ method, url: url("http:"), headers, signal });
      this.#scheme = "http:";
      this.#schemeKnown = true;
      return response;
    }
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      let forget = (): void => undefined;
      const done = (): void => {
        forget();
        signal.removeEventListener("abort", done);
        resolve();
      };
      signal.addEventListener("abort", done, { once: true });
      forget = this.#options.clock.after(ms, done);
    });
    throwIfAborted(signal);
  }

  async #statusFailure(response: HttpResponse, reference: Reference, signal: AbortSignal): Promise<StackError> {
    const { host } = this.#options;
    const name = familiarReference(formatReference(reference));
    const said = await errorText(response);
    const because = said === "" ? "" : `: ${said}`;
    const details = { status: response.status, host };
    switch (response.status) {
      case 401:
      case 403: {
        const { anonymous, problem } = await this.#options.authorizer.problem(signal);
        const why = problem ?? (anonymous ? "no login is stored for it" : "the stored login may not read it");
        return new StackError("registry-unauthorized", `${host} does not let us pull ${name} (${why})${because}`, {
          hint: `Check the name; if the image is private, log in with \`docker login${host === "docker.io" ? "" : ` ${host}`}\`.`,
          details,
        });
      }
      case 404:
        return new StackError("image-not-found", `${host} has no image ${name}${because}`, { hint: "Check the name and the tag.", details });
      case 429:
        return new StackError("registry-error", `${host} refuses to serve ${name} for now: too many requests${because}`, {
          hint: "Wait a while, or log in: registries allow more to users they know.",
          details,
        });
      default:
        return new StackError("registry-error", `${host} answers with status ${response.status} to the request for ${name}${because}`, { details });
    }
  }

  /** Connection failures in the user's words. */
  #failure(error: unknown, what: string): unknown {
    if (error instanceof StackError) return error;
    const { host } = this.#options;
    if (error instanceof TokenServerError) return new StackError("registry-error", `${host}: ${error.message}`, { cause: error });
    const { code = "", message } = error instanceof Error ? (error as NodeJS.ErrnoException) : { message: String(error) };
    const options = (hint: string): { hint: string; cause: unknown } => ({ hint, cause: error });
    if (code === "ENOTFOUND" || code === "EAI_AGAIN") return new StackError("registry-unreachable", `Cannot find the registry ${host}: its name does not resolve`, options("Check the name, the network and the DNS settings."));
    if (error instanceof SlowServerError)
      return new StackError("registry-unreachable", `The registry ${host} is too slow while fetching ${what}: ${message}`, options("Try again later, or check the network; layers that are complete are kept."));
    if (code === "ECONNREFUSED") return new StackError("registry-unreachable", `The registry ${host} does not answer: connection refused`, options("Is it running, and is the port right?"));
    if (speaksNoTls(error) && !isReset(error))
      return new StackError("registry-unreachable", `The registry ${host} does not speak TLS`, options(`If you trust the network between, allow plain http with STACK_INSECURE_REGISTRIES=${host}.`));
    if (isCertificateProblem(code))
      return new StackError("registry-unreachable", `The certificate of the registry ${host} is not trusted: ${message}`, options("Add its authority to the system's certificates, or name the file in NODE_EXTRA_CA_CERTS."));
    return new StackError("registry-unreachable", `The connection to the registry ${host} failed while fetching ${what}: ${message}`, options("Check the network and try again; layers that are complete are kept."));
  }
}

function manifestPath(reference: Reference): string {
  return `manifests/${reference.digest ?? reference.tag ?? "latest"}`;
}

function digestHeader(response: HttpResponse): Digest | undefined {
  const value = response.headers["docker-content-digest"];
  return typeof value === "string" ? parseDigest(value) : undefined;
}

export function sha256(bytes: Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
}

/** The part of the body from `offset` on, whether the server understood the range or not. */
async function* fromOffset(response: HttpResponse, offset: number): AsyncGenerator<Uint8Array> {
  let skip = offset;
  if (response.status === 206) {
    const start = /^bytes (\d+)-/.exec(response.headers["content-range"] ?? "")?.[1];
    if (start !== undefined && Number(start) > offset) throw new StackError("registry-error", `${response.url.host} sends another range than it was asked for`);
    skip = start === undefined ? 0 : offset - Number(start);
  }
  for await (const chunk of response.body) {
    if (skip >= chunk.length) {
      skip -= chunk.length;
      continue;
    }
    yield skip === 0 ? chunk : chunk.subarray(skip);
    skip = 0;
  }
}

const transientCodes = ["ECONNRESET", "ETIMEDOUT", "EPIPE", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH", "ECONNABORTED", "ERR_STREAM_PREMATURE_CLOSE", "HPE_INVALID_EOF_STATE"];

function isTransient(error: unknown): boolean {
  if (error instanceof TokenServerError) return isTransientStatus(error.status);
  if (error instanceof StackError || !(error instanceof Error)) return false;
  return transientCodes.includes((error as NodeJS.ErrnoException).code ?? "") || error.message === "aborted";
}

function isTransientStatus(status: number): boolean {
  return status === 429 || status === 408 || (status >= 500 && status !== 501 && status !== 505);
}

function attempts(error: unknown): number {
  return error instanceof SlowServerError ? maxSlowAttempts : maxAttempts;
}

function isReset(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === "ECONNRESET";
}

/** A server of plain http answers a TLS greeting with text, or hangs up. */
function speaksNoTls(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code = "" } = error as NodeJS.ErrnoException;
  return code === "EPROTO" || code.startsWith("ERR_SSL_WRONG_VERSION") || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG" || (code === "ECONNRESET" && /TLS|socket hang up/.test(error.message));
}

function isCertificateProblem(code: string): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO_|CHAIN|ALTNAME/.test(code);
}

function delayMs(failures: number): number {
  return Math.min(firstDelayMs * 2 ** (failures - 1), maxDelayMs);
}

/** Seconds or a date (RFC 9110, section 10.2.3); undefined if there is none. */
function retryAfter(response: HttpResponse, now: number): number | undefined {
  const value = response.headers["retry-after"];
  if (value === undefined) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(ms) ? Math.max(ms, 0) : undefined;
}

/** Distribution specification, "Error Codes": the first message, cleaned of control characters. */
async function errorText(response: HttpResponse): Promise<string> {
  try {
    const json = JSON.parse(Buffer.from(await readBytes(response, 64 << 10)).toString("utf8")) as { errors?: { code?: unknown; message?: unknown }[] };
    const first = json.errors?.[0];
    const text = typeof first?.message === "string" && first.message !== "" ? first.message : first?.code;
    return typeof text === "string" ? text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ").slice(0, 200) : "";
  } catch {
    return "";
  }
}
