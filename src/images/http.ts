import { readFileSync } from "node:fs";
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { SecureContext } from "node:tls";
import { createSecureContext, rootCertificates } from "node:tls";
import { StackError } from "../core/index.ts";
import { Body, patience, SlowServerError } from "./body.ts";
import type { Patience } from "./body.ts";
import { throwIfAborted } from "./locks.ts";
import { proxyFor, tunnel } from "./proxy.ts";

const maxRedirects = 10;

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Where it came from after redirects. */
  readonly url: URL;
  readonly body: Body;
}

/** What may be spoken to without TLS, or with a certificate that nobody signed. */
export interface TrustPolicy {
  isInsecure(host: string): boolean;
}

export interface TlsOptions {
  readonly rejectUnauthorized: boolean;
  readonly secureContext?: SecureContext;
}

/** HTTP with Node's own client: redirects that leak nothing, proxies from the environment, the system's certificates. */
export class HttpClient implements Disposable {
  readonly #env: NodeJS.ProcessEnv;
  readonly #trust: TrustPolicy;
  readonly #patience: Patience;
  readonly #http = new HttpAgent({ keepAlive: true });
  #https: HttpsAgent | undefined;
  #httpsAnyCertificate: HttpsAgent | undefined;
  #secureContext: SecureContext | undefined;

  constructor(env: NodeJS.ProcessEnv, trust: TrustPolicy, waits: Patience = patience) {
    this.#env = env;
    this.#trust = trust;
    this.#patience = waits;
  }

  [Symbol.dispose](): void {
    this.#http.destroy();
    this.#https?.destroy();
    this.#httpsAnyCertificate?.destroy();
  }

  /** Follows redirects. Credentials never go to another host, nor from https to http. */
  async request(request: HttpRequest): Promise<HttpResponse> {
    let { url, headers } = request;
    for (let redirects = 0; ; redirects++) {
      const response = await this.#once({ ...request, url, headers });
      const location = response.headers.location;
      if (![301, 302, 303, 307, 308].includes(response.status) || location === undefined || request.method === "POST") return response;
      response.body.discard();
      const next = parseLocation(location, url);
      if (redirects === maxRedirects) throw new StackError("registry-error", `${request.url.host} redirects more than ${maxRedirects} times`);
      if (next.protocol !== "https:" && !(next.protocol === "http:" && (url.protocol === "http:" || this.#trust.isInsecure(next.host))))
        throw new StackError("registry-error", `${url.host} redirects from https to ${next.protocol}//${next.host}, which is not safe`);
      if (next.host !== url.host || next.protocol !== url.protocol) headers = without(headers, "authorization");
      url = next;
    }
  }

  #once(request: HttpRequest): Promise<HttpResponse> {
    const { url, method, body, signal } = request;
    throwIfAborted(signal);
    const headers: OutgoingHttpHeaders = { "user-agent": "stack", ...request.headers };
    const proxy = proxyFor(url, this.#env);
    const secure = url.protocol === "https:";
    return new Promise((resolve, reject) => {
      const options = { method, headers, signal };
      const start = secure
        ? httpsRequest(url, { ...options, agent: proxy === undefined ? this.#agent(url) : tunnel(proxy, url, this.#tlsOptions(url)) })
        : proxy === undefined
          ? httpRequest(url, { ...options, agent: this.#http })
          : httpRequest(proxy.url, { ...options, path: url.href, headers: { ...headers, host: url.host, ...proxy.headers } });
      // From the connection to the last header: one that comes byte by byte is no answer.
      const { answerMs } = this.#patience;
      const timer = setTimeout(() => start.destroy(new SlowServerError(`no answer within ${answerMs / 1000} s`)), answerMs);
      start.once("response", (response) => {
        clearTimeout(timer);
        resolve({ status: response.statusCode ?? 0, headers: response.headers, url, body: new Body(response, this.#patience) });
      });
      start.once("close", () => clearTimeout(timer));
      start.on("error", reject);
      start.end(body);
    });
  }

  #agent(url: URL): HttpsAgent {
    const options = this.#tlsOptions(url);
    if (options.rejectUnauthorized) return (this.#https ??= new HttpsAgent({ keepAlive: true, ...options }));
    return (this.#httpsAnyCertificate ??= new HttpsAgent({ keepAlive: true, ...options }));
  }

  #tlsOptions(url: URL): TlsOptions {
    if (this.#trust.isInsecure(url.host)) return { rejectUnauthorized: false };
    // Made once: reading some hundred certificates takes milliseconds.
    const ca = this.#secureContext === undefined ? systemCertificates(this.#env) : undefined;
    this.#secureContext ??= createSecureContext(ca === undefined ? {} : { ca });
    return { rejectUnauthorized: true, secureContext: this.#secureContext };
  }
}

function parseLocation(location: string, base: URL): URL {
  try {
    return new URL(location, base);
  } catch (cause) {
    throw new StackError("registry-error", `${base.host} redirects to "${location}", which is no URL`, { cause });
  }
}

function without(headers: Readonly<Record<string, string>>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([key]) => key.toLowerCase() !== name));
}

/** Where the distributions keep the certificates that the administrator trusts. */
const bundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

/**
 * Node brings a list of its own and does not read the host's, where companies put theirs; what NODE_EXTRA_CA_CERTS names
 * was not read at our start (dist/load.js). Undefined: Node's list alone.
 */
function systemCertificates(env: NodeJS.ProcessEnv): string[] | undefined {
  const read = (file: string | undefined): string | undefined => {
    try {
      return file === undefined ? undefined : readFileSync(file, "utf8");
    } catch {
      return undefined;
    }
  };
  const files = env["SSL_CERT_FILE"] === undefined ? bundles : [env["SSL_CERT_FILE"]];
  const system = files.map(read).find((text) => text !== undefined);
  const found = [system, read(env["NODE_EXTRA_CA_CERTS"])].filter((text) => text !== undefined);
  return found.length === 0 ? undefined : [...rootCertificates, ...found];
}
