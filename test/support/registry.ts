import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { imageLayout } from "./images/index.ts";
import type { Machine } from "./machine.ts";
import type { Running } from "./command.ts";

/** A real registry (the distribution's docker-registry) inside a machine, on 127.0.0.1. */
export class Registry implements AsyncDisposable {
  readonly address: string;
  readonly storage: string;
  readonly #server: Running;
  readonly #machine: Machine;

  private constructor(machine: Machine, address: string, storage: string, server: Running) {
    this.#machine = machine;
    this.address = address;
    this.storage = storage;
    this.#server = server;
  }

  static async start(machine: Machine, options: { readonly port?: number; readonly users?: Readonly<Record<string, string>> } = {}): Promise<Registry> {
    const port = options.port ?? 5000;
    const address = `127.0.0.1:${port}`;
    const home = join(machine.scratch, `registry-${port}`);
    const storage = join(home, "storage");
    mkdirSync(storage, { recursive: true });
    const auth = options.users === undefined ? {} : { auth: { htpasswd: { realm: "test", path: join(home, "htpasswd") } } };
    if (options.users !== undefined) {
      const lines = Object.entries(options.users).map(([user, password]) => execFileSync("htpasswd", ["-Bbn", "-C", "4", user, password], { encoding: "utf8" }).trim());
      writeFileSync(join(home, "htpasswd"), `${lines.join("\n")}\n`);
    }
    const config = { version: "0.1", log: { level: "info" }, storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } }, http: { addr: address }, ...auth };
    writeFileSync(join(home, "config.json"), JSON.stringify(config)); // JSON is YAML
    const server = machine.command(["docker-registry", "serve", join(home, "config.json")], { timeoutMs: 600_000, env: { STACK_ROOT: "" } }); // none of the data root's processes
    await server.until("listening on");
    return new Registry(machine, address, storage, server);
  }

  /** Puts an image of the fixtures (or of another layout) there; returns the reference to pull. */
  async push(tag: string, options: { readonly as?: string; readonly layout?: string; readonly credentials?: string } = {}): Promise<string> {
    const reference = `${this.address}/${options.as ?? tag}`;
    const credentials = options.credentials === undefined ? [] : ["--dest-creds", options.credentials];
    const { code, output } = await this.#machine.command(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", ...credentials, `oci:${options.layout ?? (await imageLayout())}:${tag}`, `docker://${reference}`]).ended;
    if (code !== 0) throw new Error(`skopeo could not push ${reference}:\n${output}`);
    return reference;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.signal("SIGTERM");
    await this.#server.ended;
  }
}
