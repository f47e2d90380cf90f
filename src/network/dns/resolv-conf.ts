import { stat, readFile } from "node:fs/promises";
import { isIP } from "node:net";

/** Addresses after `nameserver`, as resolv.conf(5) has them; a link-local one may have a zone. */
export function parseResolvConf(text: string): readonly string[] {
  return text.split("\n").flatMap((line) => {
    const address = /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
    return address !== undefined && isIP(address.split("%")[0] ?? "") !== 0 ? [address] : [];
  });
}

/** The host's resolvers; the file is read again when it has changed, and one `stat` tells. */
export class HostResolvers {
  readonly #path: string;
  #stamp = "";
  #servers: readonly string[] = [];

  constructor(path = "/etc/resolv.conf") {
    this.#path = path;
  }

  async servers(): Promise<readonly string[]> {
    try {
      const info = await stat(this.#path, { bigint: true });
      const stamp = `${info.dev}:${info.ino}:${info.mtimeNs}:${info.size}`;
      if (stamp !== this.#stamp) {
        this.#servers = parseResolvConf(await readFile(this.#path, "utf8"));
        this.#stamp = stamp;
      }
    } catch {
      // In the moment of its replacement there may be none: the last ones stay.
      this.#stamp = "";
    }
    // resolv.conf(5): without a nameserver line, the local machine is asked.
    return this.#servers.length > 0 ? this.#servers : ["127.0.0.1"];
  }
}
