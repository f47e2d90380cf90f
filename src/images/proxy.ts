import { request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { connect as tlsConnect } from "node:tls";
import { StackError } from "../core/index.ts";
import type { TlsOptions } from "./http.ts";

export interface Proxy {
  readonly url: URL;
  /** `Proxy-Authorization` from the user part of the URL. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * HTTP_PROXY, HTTPS_PROXY and NO_PROXY in either case, as curl and Go read them: lower case first,
 * loopback never through a proxy.
 */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv): Proxy | undefined {
  const scheme = url.protocol === "https:" ? "https" : "http";
  const value = env[`${scheme}_proxy`] ?? env[`${scheme.toUpperCase()}_PROXY`] ?? "";
  if (value === "" || isExempt(url, env["no_proxy"] ?? env["NO_PROXY"] ?? "")) return undefined;
  let proxy: URL;
  try {
    proxy = new URL(value.includes("://") ? value : `http://${value}`);
  } catch (cause) {
    throw new StackError("usage", `${scheme.toUpperCase()}_PROXY is no URL`, { cause });
  }
  if (proxy.protocol !== "http:" && proxy.protocol !== "https:")
    throw new StackError("unsupported", `${scheme.toUpperCase()}_PROXY: only http and https proxies are supported, not ${proxy.protocol.slice(0, -1)}`);
  const user = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  const headers: Record<string, string> = user === ":" ? {} : { "proxy-authorization": `Basic ${Buffer.from(user).toString("base64")}` };
  proxy.username = "";
  proxy.password = "";
  return { url: proxy, headers };
}

/** `*`, `host`, `.domain`, `domain` (and all below it), `host:port`, `10.0.0.0/8`. */
export function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  if (host === "localhost" || host.endsWith(".localhost") || host === "::1" || (isIP(host) === 4 && host.startsWith("127."))) return true;
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  return list
    .split(",")
    .map((rule) => rule.trim().toLowerCase())
    .filter((rule) => rule !== "")
    .some((rule) => matches(rule, host, port));
}

function matches(rule: string, host: string, port: string): boolean {
  if (rule === "*") return true;
  if (rule.includes("/")) return inNetwork(host, rule);
  const [, name = rule, rulePort] = /^(.*?)(?::(\d+))?$/.exec(isIP(rule) === 6 ? "" : rule) ?? [];
  if (rulePort !== undefined && rulePort !== port) return false;
  const bare = (name === "" ? rule : name).replace(/^\*?\./, "").replace(/^\[|\]$/g, "");
  return host === bare || (isIP(host) === 0 && host.endsWith(`.${bare}`));
}

function inNetwork(host: string, network: string): boolean {
  const [address = "", length = ""] = network.split("/");
  if (isIP(host) !== 4 || isIP(address) !== 4) return false;
  const bits = Number(length);
  const number = (ip: string): number => ip.split(".").reduce((n, part) => n * 256 + Number(part), 0);
  const size = 2 ** (32 - bits);
  return bits >= 0 && bits <= 32 && Math.floor(number(host) / size) === Math.floor(number(address) / size);
}

/** An agent whose one connection is TLS through the proxy (RFC 9110, section 9.3.6, CONNECT). */
export function tunnel(proxy: Proxy, target: URL, tls: TlsOptions): HttpsAgent {
  const agent = new HttpsAgent({ keepAlive: false, ...tls });
  const authority = `${target.hostname}:${target.port === "" ? "443" : target.port}`;
  const connect = (_options: unknown, done: (error: Error | null, stream?: Duplex) => void): undefined => {
    const request = proxy.url.protocol === "https:" ? httpsRequest : httpRequest;
    const start = request(proxy.url, { method: "CONNECT", path: authority, headers: { host: authority, ...proxy.headers }, agent: false });
    start.once("connect", (response, socket, head) => {
      if (response.statusCode !== 200) {
        socket.destroy();
        done(new StackError("registry-unreachable", `The proxy ${proxy.url.host} refuses to connect to ${authority}: status ${response.statusCode ?? 0}`));
        return;
      }
      if (head.length > 0) socket.unshift(head);
      const servername = target.hostname.replace(/^\[|\]$/g, "");
      done(null, tlsConnect({ socket, ...(isIP(servername) === 0 ? { servername } : {}), host: servername, ...tls }));
    });
    start.once("response", (response) => done(new StackError("registry-unreachable", `The proxy ${proxy.url.host} does not tunnel: status ${response.statusCode ?? 0}`)));
    start.once("error", (cause) => done(new StackError("registry-unreachable", `Cannot reach the proxy ${proxy.url.host}: ${cause.message}`, { cause })));
    start.end();
    return undefined;
  };
  return Object.assign(agent, { createConnection: connect });
}
