import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { StackError } from "../core/index.ts";
import type { JsonObject } from "./manifest.ts";
import { isObject } from "./manifest.ts";

export type Credentials =
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token: `identitytoken`, or what a helper gives for the user `<token>`. */
  | { readonly kind: "identity"; readonly token: string }
  /** A bearer token to use as it is: `registrytoken`. */
  | { readonly kind: "bearer"; readonly token: string };

export interface FoundCredentials {
  readonly credentials?: Credentials;
  /** Why there are none although some were configured, for the error if the registry then refuses. */
  readonly problem?: string;
}

/** Docker's own key for Docker Hub. */
const hubKey = "https://index.docker.io/v1/";

/**
 * What `docker login` left for that host: `DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
 * Docker's order: the host's own helper, the general one, then `auths`.
 */
export async function findCredentials(host: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<FoundCredentials> {
  const path = join(env["DOCKER_CONFIG"] ?? join(env["HOME"] ?? homedir(), ".docker"), "config.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return {};
    return { problem: `${path} cannot be read (${code ?? "unknown error"})` };
  }
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch {
    return { problem: `${path} is not valid JSON` }; // never the parser's message: it quotes the file
  }
  if (!isObject(config)) return { problem: `${path} is not a JSON object` };
  const helper = helperFor(host, config);
  if (helper !== undefined) {
    const found = await askHelper(helper, host, env, signal);
    if (found.credentials !== undefined || found.problem !== undefined) return found;
  }
  return fromAuths(host, config, path);
}

function helperFor(host: string, config: JsonObject): string | undefined {
  const helpers = config["credHelpers"];
  const own = isObject(helpers) ? keysOf(host).map((key) => helpers[key]).find((v) => typeof v === "string") : undefined;
  const name = own ?? config["credsStore"];
  return typeof name === "string" && name !== "" ? name : undefined;
}

/** How that host may be written as a key. */
function keysOf(host: string): readonly string[] {
  return host === "docker.io" ? [hubKey, "index.docker.io", "docker.io", "registry-1.docker.io"] : [host, `https://${host}`, `http://${host}`];
}

/** `https://index.docker.io/v1/` → `index.docker.io` */
function hostOfKey(key: string): string {
  return key.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
}

function fromAuths(host: string, config: JsonObject, path: string): FoundCredentials {
  const auths = config["auths"];
  if (!isObject(auths)) return {};
  const names = keysOf(host).map(hostOfKey);
  const key = keysOf(host).find((k) => isObject(auths[k])) ?? Object.keys(auths).find((k) => names.includes(hostOfKey(k)));
  const entry = key === undefined ? undefined : auths[key];
  if (!isObject(entry)) return {};
  const text = (member: string): string => (typeof entry[member] === "string" ? entry[member] : "");
  if (text("identitytoken") !== "") return { credentials: { kind: "identity", token: text("identitytoken") } };
  if (text("registrytoken") !== "") return { credentials: { kind: "bearer", token: text("registrytoken") } };
  if (text("auth") === "") {
    if (text("username") === "") return {};
    return { credentials: { kind: "password", username: text("username"), password: text("password") } };
  }
  const decoded = Buffer.from(text("auth"), "base64").toString("utf8");
  const colon = decoded.indexOf(":");
  if (colon <= 0) return { problem: `${path}: the entry for ${host} is malformed` };
  return { credentials: { kind: "password", username: decoded.slice(0, colon), password: decoded.slice(colon + 1).replace(/\0+$/, "") } };
}

/** The protocol of docker-credential-helpers: the server's name on standard input, JSON on standard output. */
async function askHelper(name: string, host: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<FoundCredentials> {
  const program = `docker-credential-${name}`;
  if (!/^[A-Za-z0-9_.-]+$/.test(name)) return { problem: `the credential helper "${name}" has no valid name` };
  const { status, output, failure } = await run(program, host === "docker.io" ? hubKey : host, env, signal);
  if (failure !== undefined) {
    if (signal.aborted) throw new StackError("cancelled", "Cancelled", { cause: failure });
    return { problem: `the credential helper ${program} cannot be run (${(failure as NodeJS.ErrnoException).code ?? failure.message})` };
  }
  if (status !== 0) {
    if (/credentials not found|no credentials/i.test(output)) return {};
    return { problem: `the credential helper ${program} failed${output.trim() === "" ? "" : `: ${output.trim().slice(0, 200)}`}` };
  }
  try {
    const json: unknown = JSON.parse(output);
    if (isObject(json) && typeof json["Username"] === "string" && typeof json["Secret"] === "string") {
      if (json["Secret"] === "") return {};
      if (json["Username"] === "<token>") return { credentials: { kind: "identity", token: json["Secret"] } };
      return { credentials: { kind: "password", username: json["Username"], password: json["Secret"] } };
    }
  } catch {
    // Below: its output may hold a secret and is not quoted.
  }
  return { problem: `the credential helper ${program} answered something that is no credential` };
}

function run(program: string, input: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<{ status: number | null; output: string; failure?: Error }> {
  return new Promise((resolve) => {
    const child = spawn(program, ["get"], { stdio: ["pipe", "pipe", "ignore"], env, signal, timeout: 30_000 });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.stdin.on("error", () => undefined);
    child.once("error", (failure) => resolve({ status: null, output: "", failure }));
    child.once("close", (status) => resolve({ status, output }));
    child.stdin.end(input);
  });
}
