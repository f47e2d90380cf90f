import type { Digest } from "../core/index.ts";
import { parseDigest, StackError } from "../core/index.ts";

/**
 * What an image is called, after Docker's defaults: `redis` is `docker.io/library/redis:latest`.
 * Grammar: distribution/reference; OCI distribution specification, "Pulling manifests".
 */
export interface Reference {
  /** Host, with the port if one is written: `docker.io`, `127.0.0.1:5000`, `[::1]:5000`. */
  readonly host: string;
  /** `library/redis` */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const hostPattern = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)(?::[0-9]{1,5})?$/;

function invalid(text: string, why: string, hint = "Write it as [HOST[:PORT]/]NAME[:TAG][@sha256:…], for example redis:7."): StackError {
  return new StackError("image-reference-invalid", `"${text}" is not an image reference: ${why}`, { hint });
}

/** Throws `image-reference-invalid`, saying which part is wrong. */
export function parseReference(text: string): Reference {
  const at = text.indexOf("@");
  const digestText = at < 0 ? undefined : text.slice(at + 1);
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(":");
  const tagged = colon > named.lastIndexOf("/") && !named.endsWith("]");
  const tag = tagged ? named.slice(colon + 1) : undefined;
  const name = tagged ? named.slice(0, colon) : named;
  if (name === "") throw invalid(text, text === "" ? "it is empty" : "it has no name");
  if (text.includes("://")) throw invalid(text, "it is a URL", "Leave out the scheme: HOST/NAME:TAG.");

  const { host, repository } = splitHost(name);
  if (!hostPattern.test(host)) throw invalid(text, `"${host}" is not a host name`);
  for (const part of repository.split("/")) {
    if (component.test(part)) continue;
    if (component.test(part.toLowerCase())) throw invalid(text, "the name must be lower-case", `Did you mean ${text.toLowerCase()}?`);
    throw invalid(text, part === "" ? "it has an empty part" : `"${part}" may not be part of a name`);
  }
  if (name.length > 255) throw invalid(text, "the name is longer than 255 characters");
  if (tag !== undefined && !tagPattern.test(tag)) throw invalid(text, `"${tag}" is not a tag`);
  if (digestText === undefined && tag === undefined && /^[0-9a-f]{64}$/.test(name))
    throw invalid(text, "64 hexadecimal digits are an image id, not a name");
  if (digestText === undefined) return { host, repository, tag: tag ?? "latest" };
  const digest = parseDigest(digestText);
  if (digest === undefined) throw invalid(text, `"${digestText}" is not a digest; only sha256 is supported`);
  return { host, repository, ...(tag === undefined ? {} : { tag }), digest };
}

/** The first part is a host if it looks like one: a dot, a port, or `localhost`. */
function splitHost(name: string): { readonly host: string; readonly repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost" || (first !== "" && first !== first.toLowerCase());
  if (!isHost) return { host: "docker.io", repository: slash < 0 ? `library/${name}` : name };
  const host = first === "index.docker.io" || first === "registry-1.docker.io" ? "docker.io" : first;
  const rest = name.slice(slash + 1);
  return { host, repository: host === "docker.io" && !rest.includes("/") ? `library/${rest}` : rest };
}

/** The one normal form: `docker.io/library/redis:7`, `host/name@sha256:…`, `host/name:tag@sha256:…`. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.host}/${reference.repository}${tag}${digest}`;
}

/** As people write it: `redis:7`. */
export function familiarReference(normal: string): string {
  return normal.replace(/^docker\.io\/(?:library\/(?=[^/]+$))?/, "");
}
