import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createHash, createPrivateKey, sign } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pullOptions, StoreBench } from "../support/image-store.ts";
import { tar } from "../support/images/tar.ts";

/** The distribution's docker-registry with an image in it: what we say is what a real registry understands. */
const bench = new StoreBench();
const layout = join(bench.scratch, "layout");
const running: ChildProcess[] = [];

const freePort = async (): Promise<number> => {
  const probe = createTcpServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
};

async function serve(name: string, extra: object, http: object = {}): Promise<string> {
  const port = await freePort();
  const storage = join(bench.scratch, "storage");
  const path = join(bench.scratch, `${name}.json`);
  writeFileSync(path, JSON.stringify({ version: "0.1", log: { level: "info" }, storage: { filesystem: { rootdirectory: storage } }, http: { addr: `127.0.0.1:${port}`, ...http }, ...extra }));
  const child = spawn("docker-registry", ["serve", path], { stdio: ["ignore", "ignore", "pipe"] });
  running.push(child);
  let log = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (text: Buffer) => {
      log += text.toString();
      if (log.includes("listening on")) resolve();
    });
    child.once("close", () => reject(new Error(log)));
  });
  return `127.0.0.1:${port}`;
}

beforeAll(async () => {
  mkdirSync(join(bench.scratch, "archive"));
  const layers = [tar([{ path: "a", content: "1" }]), tar([{ path: "b", content: "2" }])];
  const document = JSON.stringify({ os: "linux", architecture: "amd64", config: {}, rootfs: { type: "layers", diff_ids: layers.map((l) => `sha256:${createHash("sha256").update(l).digest("hex")}`) } });
  const archive = tar([
    { path: "manifest.json", content: JSON.stringify([{ Config: "config.json", RepoTags: ["app:1"], Layers: ["0.tar", "1.tar"] }]) },
    { path: "config.json", content: document },
    ...layers.map((content, i) => ({ path: `${i}.tar`, content })),
  ]);
  writeFileSync(join(bench.scratch, "app.tar"), archive);
  execFileSync("skopeo", ["copy", "-q", `docker-archive:${join(bench.scratch, "app.tar")}`, `oci:${layout}:1`]);
  const open = await serve("open", {});
  execFileSync("skopeo", ["copy", "-q", "--dest-tls-verify=false", `oci:${layout}:1`, `docker://${open}/team/app:1`]);
});

afterAll(async () => {
  for (const child of running) {
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.kill();
    await ended;
  }
  bench[Symbol.dispose]();
});

/** What `docker login` leaves. */
function login(address: string, user: string, password: string): NodeJS.ProcessEnv {
  const home = join(bench.scratch, `home-${user}`);
  mkdirSync(join(home, ".docker"), { recursive: true });
  writeFileSync(join(home, ".docker", "config.json"), JSON.stringify({ auths: { [address]: { auth: Buffer.from(`${user}:${password}`).toString("base64") } } }));
  return { HOME: home };
}

async function pulls(address: string, env: NodeJS.ProcessEnv): Promise<void> {
  const image = await bench.open(env).pull(`${address}/team/app:1`, pullOptions());
  expect(image.layers.map((layer) => readFileSync(join(layer, layer === image.layers[0] ? "b" : "a"), "utf8"))).toEqual(["2", "1"]);
}

describe("the distribution's registry", () => {
  test("with Basic authentication", async () => {
    const htpasswd = join(bench.scratch, "htpasswd");
    writeFileSync(htpasswd, execFileSync("htpasswd", ["-Bbn", "-C", "4", "me", "s3cret"]));
    const address = await serve("basic", { auth: { htpasswd: { realm: "test", path: htpasswd } } });
    await pulls(address, login(address, "me", "s3cret"));
    const nobody = bench.open({ HOME: "/nonexistent" }).pull(`${address}/team/app:1`, pullOptions());
    await expect(nobody).rejects.toMatchObject({ code: "registry-unauthorized", message: expect.stringContaining("no login is stored") });
    const wrong = bench.open(login(address, "you", "wr0ng")).pull(`${address}/team/app:1`, pullOptions());
    await expect(wrong).rejects.toMatchObject({ code: "registry-unauthorized", message: expect.not.stringContaining("wr0ng") });
  });

  test("with a token server", async () => {
    const [key, cert] = ["token.key", "token.crt"].map((name) => join(bench.scratch, name));
    execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key!, "-out", cert!, "-days", "2", "-subj", "/CN=tokens"], { stdio: "ignore" });
    const seen: string[] = [];
    const tokens = createServer((request, response) => {
      const query = new URL(request.url ?? "", "http://x").searchParams;
      seen.push(`${query.get("scope") ?? ""} ${request.headers.authorization ?? "anonymous"}`);
      const [type, name, actions] = (query.get("scope") ?? "").split(":");
      if (request.headers.authorization !== `Basic ${Buffer.from("me:s3cret").toString("base64")}`) {
        response.writeHead(401).end();
        return;
      }
      const now = Math.floor(Date.now() / 1000);
      const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
      const x5c = [readFileSync(cert!, "utf8").replace(/-----[^-]+-----|\n/g, "")];
      const body = `${part({ typ: "JWT", alg: "RS256", x5c })}.${part({ iss: "tokens", sub: "me", aud: query.get("service"), exp: now + 300, nbf: now - 10, iat: now, jti: "1", access: [{ type, name, actions: actions?.split(",") }] })}`;
      response.end(JSON.stringify({ token: `${body}.${sign("sha256", Buffer.from(body), createPrivateKey(readFileSync(key!))).toString("base64url")}`, expires_in: 300 }));
    });
    await new Promise<void>((resolve) => tokens.listen(0, "127.0.0.1", resolve));
    try {
      const realm = `http://127.0.0.1:${(tokens.address() as AddressInfo).port}/token`;
      const address = await serve("token", { auth: { token: { realm, service: "the registry", issuer: "tokens", rootcertbundle: cert } } });
      await pulls(address, login(address, "me", "s3cret"));
      expect(seen).toEqual([`repository:team/app:pull Basic ${Buffer.from("me:s3cret").toString("base64")}`]);
      await expect(bench.open({ HOME: "/nonexistent" }).pull(`${address}/team/app:1`, pullOptions())).rejects.toMatchObject({ code: "registry-unauthorized", message: expect.stringContaining("wants a login") });
    } finally {
      tokens.closeAllConnections();
      await new Promise((resolve) => tokens.close(resolve));
    }
  });

  test("with TLS and an authority of the company's own", async () => {
    const [key, cert] = ["tls.key", "tls.crt"].map((name) => join(bench.scratch, name));
    execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key!, "-out", cert!, "-days", "2", "-subj", "/CN=registry.test", "-addext", "subjectAltName=DNS:registry.test"], { stdio: "ignore" });
    const address = await serve("tls", {}, { tls: { certificate: cert, key } });
    await pulls(address, { HOME: "/nonexistent" }); // on loopback the certificate does not matter
    // Under its name it does: a proxy leads there, as the name resolves nowhere.
    const proxy = createServer().on("connect", (_request, socket) => {
      const upstream = connect(Number(address.split(":")[1]), "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        upstream.pipe(socket).pipe(upstream);
      });
      upstream.on("error", () => socket.destroy()).on("close", () => socket.destroy());
      socket.on("error", () => upstream.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const env = { HOME: "/nonexistent", HTTPS_PROXY: `127.0.0.1:${(proxy.address() as AddressInfo).port}` };
    await expect(bench.open(env).pull("registry.test/team/app:1", pullOptions())).rejects.toMatchObject({ code: "registry-unreachable", message: expect.stringContaining("not trusted") });
    await pulls("registry.test", { ...env, SSL_CERT_FILE: cert });
    await new Promise((resolve) => proxy.close(resolve));
  });
});
