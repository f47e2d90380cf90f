import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import type { DataRoot, HostPath, SerializedError } from "../../src/core/index.ts";
import { openImages } from "../../src/images/index.ts";
import type { Image, Images, PullOptions } from "../../src/images/index.ts";
import { loadNative, runtimeBinaryPath } from "../../src/native/index.ts";

/** A data root of a test's own, and the image store in it: in this process, or in others. */
export class StoreBench implements Disposable {
  readonly scratch = mkdtempSync("/var/tmp/stack-images-");
  readonly root: DataRoot = { root: join(this.scratch, "root") as HostPath };
  readonly #driver = join(this.scratch, "driver.mjs");
  #built = false;

  open(env: NodeJS.ProcessEnv = { HOME: this.scratch }, root: DataRoot = this.root): Images {
    return openImages(root, loadNative(), { env, runtime: runtimeBinaryPath() });
  }

  /** Everything of the store that is not a lock. */
  remains(): { readonly layers: string[]; readonly blobs: string[]; readonly tmp: string[] } {
    const names = (...path: string[]): string[] => readdirSync(join(this.root.root, ...path)).filter((name) => !/\.(?:lock|use)$/.test(name));
    return { layers: names("layers"), blobs: names("blobs", "sha256"), tmp: readdirSync(join(this.root.root, "tmp")) };
  }

  /** A process of its own that pulls; `prefix` runs it (`unshare …`). */
  pulling(reference: string, options: { readonly root?: string; readonly prefix?: readonly string[] } = {}): Puller {
    if (!this.#built) {
      const source = `
        import { loadNative, runtimeBinaryPath } from "./src/native/index.ts";
        import { openImages } from "./src/images/index.ts";
        import { serializeError } from "./src/core/index.ts";
        const [root, reference, addon] = process.argv.slice(2);
        const images = openImages({ root }, require(addon), { env: { HOME: root }, runtime: ${JSON.stringify(runtimeBinaryPath())} });
        images.pull(reference, { signal: new AbortController().signal }).then(
          (image) => process.send({ image }),
          (error) => process.send({ error: serializeError(error) }),
        ).finally(() => process.disconnect());`;
      buildSync({
        stdin: { contents: source, resolveDir: fileURLToPath(new URL("../..", import.meta.url)), loader: "ts" },
        bundle: true,
        platform: "node",
        format: "esm",
        target: "node20",
        outfile: this.#driver,
        banner: { js: 'import{createRequire as __r}from"node:module";const require=__r(import.meta.url);' },
      });
      this.#built = true;
    }
    const addon = join(runtimeBinaryPath(), "..", "stack_native.node");
    const [file, ...args] = [...(options.prefix ?? []), process.execPath, this.#driver, options.root ?? this.root.root, reference, addon];
    return new Puller(spawn(file, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] }));
  }

  [Symbol.dispose](): void {
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

export class Puller {
  readonly child: ChildProcess;
  readonly result: Promise<{ readonly image?: Image; readonly error?: SerializedError } | undefined>;

  constructor(child: ChildProcess) {
    this.child = child;
    this.result = new Promise((resolve) => {
      let said: { image?: Image; error?: SerializedError } | undefined;
      child.on("message", (message) => (said = message as typeof said));
      child.once("close", () => resolve(said));
    });
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.result;
  }
}

export const pullOptions = (options: Partial<PullOptions> = {}): PullOptions => ({ signal: AbortSignal.timeout(60_000), ...options });

/** Promise.withResolvers, which Node 20 does not have. */
export function deferred(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve!: () => void;
  const promise = new Promise<void>((r) => (resolve = r));
  return { promise, resolve };
}
