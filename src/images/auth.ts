import { StackError } from "../core/index.ts";
import type { Credentials, FoundCredentials } from "./credentials.ts";
import type { HttpClient, HttpResponse } from "./http.ts";
import { isObject } from "./manifest.ts";

export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** `WWW-Authenticate` (RFC 9110, section 11.6.1): several challenges may share one header. */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  const token = /\s*,?\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?/y;
  for (let match = token.exec(header); match !== null; match = token.exec(header)) {
    const [, name = "", quoted, plain] = match;
    if (quoted === undefined && plain === undefined) challenges.push({ scheme: name.toLowerCase(), parameters: {} });
    else {
      const last = challenges.at(-1);
      if (last !== undefined) last.parameters[name.toLowerCase()] = quoted === undefined ? (plain ?? "") : quoted.replace(/\\(.)/g, "$1");
    }
  }
  return challenges;
}

export interface AuthorizerOptions {
  readonly host: string;
  readonly http: HttpClient;
  readonly now: () => number;
  /** Asked once, when the registry first wants some. */
  readonly credentials: (signal: AbortSignal) => Promise<FoundCredentials>;
}

/**
 * What to send as `Authorization` to one registry: nothing until it asks, then Basic, or a bearer token for
 * the scope (distribution specification, "Token Authentication"; OAuth2 with an identity token).
 */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #tokens = new Map<string, { readonly header: string; readonly until: number }>();
  #found: Promise<FoundCredentials> | undefined;
  #basic: string | undefined;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  header(scope: string): string | undefined {
    const token = this.#tokens.get(scope);
    if (token !== undefined && token.until > this.#options.now()) return token.header;
    return this.#basic;
  }

  /** Why the registry may have refused us. */
  async problem(signal: AbortSignal): Promise<{ readonly anonymous: boolean; readonly problem?: string }> {
    const found = await this.#credentials(signal);
    return { anonymous: found.credentials === undefined, ...(found.problem === undefined ? {} : { problem: found.problem }) };
  }

  /** Answers a 401. False if there is nothing (more) to answer with. */
  async answer(response: HttpResponse, scope: string, sent: string | undefined, signal: AbortSignal): Promise<boolean> {
    const challenges = parseChallenges(response.headers["www-authenticate"] ?? "");
    const bearer = challenges.find((c) => c.scheme === "bearer");
    const found = await this.#credentials(signal);
    if (bearer !== undefined) {
      const header = await this.#bearer(bearer, scope, found.credentials, response.url, signal);
      return header !== sent;
    }
    if (challenges.some((c) => c.scheme === "basic") && found.credentials?.kind === "password") {
      this.#basic = basic(found.credentials);
      return this.#basic !== sent;
    }
    return false;
  }

  #credentials(signal: AbortSignal): Promise<FoundCredentials> {
    // A cancelled question must not be the answer for the next one.
    return (this.#found ??= this.#options.credentials(signal).catch((error: unknown) => {
      this.#found = undefined;
      throw error;
    }));
  }

  async #bearer(challenge: Challenge, scope: string, credentials: Credentials | undefined, registry: URL, signal: AbortSignal): Promise<string> {
    const { realm, service, scope: wanted = scope } = challenge.parameters;
    if (credentials?.kind === "bearer") return this.#keep(scope, credentials.token, 3600);
    const url = realmUrl(realm, registry);
    const response =
      credentials?.kind === "identity"
        ? await this.#options.http.request({
            method: "POST",
            url,
            headers: { "content-type": "application/x-www-form-urlencoded" },
            body: new URLSearchParams({ grant_type: "refresh_token", refresh_token: credentials.token, client_id: "stack", scope: wanted, ...(service === undefined ? {} : { service }) }).toString(),
            signal,
          })
        : await this.#options.http.request({
            method: "GET",
            url: withQuery(url, service, wanted),
            headers: credentials === undefined ? {} : { authorization: basic(credentials) },
            signal,
          });
    const body = await readText(response);
    if (response.status === 401 || response.status === 403 || response.status === 400) {
      throw new StackError("registry-unauthorized", `${this.#options.host}: the token server ${url.host} ${credentials === undefined ? "wants a login" : "does not accept the stored login"} (status ${response.status})`, {
        hint: `Log in with \`docker login ${this.#options.host === "docker.io" ? "" : this.#options.host}\`, or check the name of the image.`.replace(" `,", "`,"),
      });
    }
    if (response.status !== 200) throw new TokenServerError(url.host, response.status);
    let json: unknown;
    try {
      json = JSON.parse(body);
    } catch {
      json = undefined;
    }
    const token = isObject(json) ? (json["token"] ?? json["access_token"]) : undefined;
    if (!isObject(json) || typeof token !== "string" || token === "") throw new StackError("registry-error", `${this.#options.host}: the token server ${url.host} answered without a token`);
    const seconds = typeof json["expires_in"] === "number" ? json["expires_in"] : 60;
    return this.#keep(scope, token, seconds);
  }

  #keep(scope: string, token: string, seconds: number): string {
    const header = `Bearer ${token}`;
    // Some servers say 0 or nothing; the specification's least is 60 seconds. Renewed a little early.
    this.#tokens.set(scope, { header, until: this.#options.now() + Math.max(seconds, 60) * 900 });
    return header;
  }
}

/** The token server is out of order: worth another try. */
export class TokenServerError extends Error {
  readonly status: number;
  constructor(host: string, status: number) {
    super(`the token server ${host} answers with status ${status}`);
    this.status = status;
  }
}

function basic(credentials: Credentials): string {
  const pair = credentials.kind === "password" ? `${credentials.username}:${credentials.password}` : "";
  return `Basic ${Buffer.from(pair).toString("base64")}`;
}

/** Credentials go there: never in clear text because a registry that we reach by TLS says so. */
function realmUrl(realm: string | undefined, registry: URL): URL {
  let url: URL | undefined;
  try {
    url = realm === undefined ? undefined : new URL(realm, registry);
  } catch {
    url = undefined;
  }
  if (url === undefined || (url.protocol !== "https:" && url.protocol !== "http:"))
    throw new StackError("registry-error", `${registry.host} asks for a token from "${realm ?? ""}", which is no URL`);
  if (url.protocol === "http:" && registry.protocol === "https:") throw new StackError("registry-error", `${registry.host} asks for the login to be sent to ${url.origin} without TLS`);
  return url;
}

function withQuery(url: URL, service: string | undefined, scope: string): URL {
  const query = new URL(url);
  if (service !== undefined) query.searchParams.set("service", service);
  for (const one of scope.split(" ")) if (one !== "") query.searchParams.append("scope", one);
  return query;
}

export async function readText(response: HttpResponse, limit = 1 << 20): Promise<string> {
  return Buffer.from(await readBytes(response, limit)).toString("utf8");
}

export async function readBytes(response: HttpResponse, limit: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > limit) {
      response.body.destroy();
      throw new StackError("registry-error", `${response.url.host} answers with more than ${limit} bytes to ${response.url.pathname}`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
