import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { digestOf, FakeRegistry } from "../../test/support/fake-registry.ts";
import type { Digest } from "../core/index.ts";
import { StackError } from "../core/index.ts";
import type { Patience } from "./body.ts";
import { Authorizer, parseChallenges } from "./auth.ts";
import type { FoundCredentials } from "./credentials.ts";
import { HttpClient } from "./http.ts";
import { parseReference } from "./reference.ts";
import { Registry } from "./registry.ts";

let server: FakeRegistry;
beforeEach(async () => {
  server = await FakeRegistry.start();
});
afterEach(() => server[Symbol.asyncDispose]());

const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251));
const signal = AbortSignal.timeout(30_000);

interface Client {
  readonly registry: Registry;
  /** Milliseconds of each pause that was made. */
  readonly pauses: number[];
  now: number;
}

function client(host: string, options: { readonly credentials?: FoundCredentials; readonly env?: NodeJS.ProcessEnv; readonly insecure?: boolean; readonly patience?: Patience } = {}): Client {
  const insecure = options.insecure ?? true;
  const made = { pauses: [] as number[], now: 1_000_000 };
  const clock = {
    now: () => made.now,
    after: (ms: number, fn: () => void) => {
      made.pauses.push(ms);
      const immediate = setImmediate(fn);
      return () => clearImmediate(immediate);
    },
  };
  const http = new HttpClient(options.env ?? {}, { isInsecure: () => insecure }, options.patience);
  const authorizer = new Authorizer({ host, http, now: clock.now, credentials: async () => options.credentials ?? {} });
  return Object.assign(made, { registry: new Registry({ host, http, authorizer, clock, insecure }) });
}

const reference = (tag = "1") => parseReference(`${server.address}/app:${tag}`);

async function fetchBlob(registry: Registry, digest: string, size = content.length): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  await registry.stream(reference(), digest as Digest, size, "the layer", signal, async (chunk) => chunks.push(Buffer.from(chunk)) > 0);
  return Buffer.concat(chunks);
}

const failure = async (promise: Promise<unknown>): Promise<StackError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  if (!(error instanceof StackError)) throw new Error(`not a StackError: ${String(error)}`);
  return error;
};

describe("challenges", () => {
  test.each([
    ['Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"', [{ scheme: "bearer", parameters: { realm: "https://auth.docker.io/token", service: "registry.docker.io", scope: "repository:a/b:pull,push" } }]],
    ['Basic realm="a \\"b\\"", charset=UTF-8', [{ scheme: "basic", parameters: { realm: 'a "b"', charset: "UTF-8" } }]],
    ["Negotiate, Basic realm=x", [{ scheme: "negotiate", parameters: {} }, { scheme: "basic", parameters: { realm: "x" } }]],
    ['BEARER Realm = "r"', [{ scheme: "bearer", parameters: { realm: "r" } }]],
    ["", []],
    ['=,,"', []],
  ])("%s", (header, challenges) => {
    expect(parseChallenges(header)).toEqual(challenges);
  });
});

describe("logging in", () => {
  /** A token server on the registry itself. */
  function demandToken(options: { readonly token?: object; readonly accept?: string } = {}): void {
    server.hook = (request, response) => {
      if (request.path.startsWith("/token")) {
        response.end(JSON.stringify(options.token ?? { token: "t0ken", expires_in: 300 }));
        return true;
      }
      if (request.headers.authorization === (options.accept ?? "Bearer t0ken")) return false;
      response.writeHead(401, { "www-authenticate": `Bearer realm="http://${server.address}/token",service="svc",scope="repository:app:pull"` }).end();
      return true;
    };
  }

  test("anonymously, with a token for exactly that repository, used again until it expires", async () => {
    server.put("app", "1", { a: 1 });
    demandToken();
    const it = client(server.address);
    await it.registry.manifest(reference(), signal);
    await it.registry.manifest(reference(), signal);
    const tokens = server.seen.filter((s) => s.path.startsWith("/token"));
    expect(tokens.map((t) => [t.method, t.path, t.headers.authorization])).toEqual([["GET", "/token?service=svc&scope=repository%3Aapp%3Apull", undefined]]);
    it.now += 300_000;
    await it.registry.manifest(reference(), signal);
    expect(server.count("GET", "/token")).toBe(2);
  });

  test("with name and password, which the token server sees and the registry does not", async () => {
    server.put("app", "1", { a: 1 });
    demandToken({ token: { access_token: "t0ken" } });
    await client(server.address, { credentials: { credentials: { kind: "password", username: "me", password: "p:w" } } }).registry.manifest(reference(), signal);
    expect(server.seen.map((s) => s.headers.authorization)).toEqual([undefined, `Basic ${Buffer.from("me:p:w").toString("base64")}`, "Bearer t0ken"]);
  });

  test("with an identity token, by OAuth2", async () => {
    server.put("app", "1", { a: 1 });
    demandToken();
    await client(server.address, { credentials: { credentials: { kind: "identity", token: "refresh" } } }).registry.manifest(reference(), signal);
    const asked = server.seen.find((s) => s.path === "/token");
    expect(asked?.method).toBe("POST");
    expect(Object.fromEntries(new URLSearchParams(asked?.body))).toMatchObject({ grant_type: "refresh_token", refresh_token: "refresh", service: "svc", scope: "repository:app:pull" });
  });

  test("with a registry token as it is", async () => {
    server.put("app", "1", { a: 1 });
    demandToken({ accept: "Bearer mine" });
    await client(server.address, { credentials: { credentials: { kind: "bearer", token: "mine" } } }).registry.manifest(reference(), signal);
    expect(server.count("GET", "/token")).toBe(0);
  });

  test("by Basic where the registry wants that, from then on at once", async () => {
    server.put("app", "1", { a: 1 });
    server.hook = (request, response) => {
      if (request.headers.authorization === `Basic ${Buffer.from("me:pw").toString("base64")}`) return false;
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      return true;
    };
    const it = client(server.address, { credentials: { credentials: { kind: "password", username: "me", password: "pw" } } });
    await it.registry.manifest(reference(), signal);
    await it.registry.manifest(reference(), signal);
    expect(server.seen.length).toBe(3);
  });

  test("a refusal says who refused whom, and what to do, without the password", async () => {
    server.hook = (_request, response) => {
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end(JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "authentication required" }] }));
      return true;
    };
    const anonymous = await failure(client(server.address).registry.manifest(reference(), signal));
    expect([anonymous.code, anonymous.message]).toEqual(["registry-unauthorized", `${server.address} does not let us pull ${server.address}/app:1 (no login is stored for it): authentication required`]);
    expect(anonymous.hint).toContain(`docker login ${server.address}`);
    const wrong = await failure(client(server.address, { credentials: { credentials: { kind: "password", username: "me", password: "s3cret" } } }).registry.manifest(reference(), signal));
    expect(wrong.message).toContain("the stored login may not read it");
    expect(JSON.stringify([wrong.message, wrong.hint, wrong.details])).not.toContain("s3cret");
    const broken = await failure(client(server.address, { credentials: { problem: "the credential helper docker-credential-x cannot be run (ENOENT)" } }).registry.manifest(reference(), signal));
    expect(broken.message).toContain("docker-credential-x cannot be run");
  });

  test("a token server that refuses, answers nonsense or is out of order", async () => {
    for (const [status, body, code, requests] of [
      [401, "{}", "registry-unauthorized", 1],
      [200, "nonsense", "registry-error", 1],
      [200, "{}", "registry-error", 1],
      [503, "", "registry-error", 5],
    ] as const) {
      server.seen.length = 0;
      server.hook = (request, response) => {
        if (request.path.startsWith("/token")) response.writeHead(status).end(body);
        else response.writeHead(401, { "www-authenticate": `Bearer realm="http://${server.address}/token"` }).end();
        return true;
      };
      expect((await failure(client(server.address).registry.manifest(reference(), signal))).code).toBe(code);
      expect(server.count("GET", "/token")).toBe(requests);
    }
  });

  test("a registry that never is content with the token is asked no more than twice", async () => {
    demandToken({ accept: "never" });
    expect((await failure(client(server.address).registry.manifest(reference(), signal))).code).toBe("registry-unauthorized");
    expect(server.count("GET", "/v2/")).toBe(2);
  });

  test("a realm that is no URL is not followed", async () => {
    server.hook = (_request, response) => {
      response.writeHead(401, { "www-authenticate": 'Bearer realm="file:///etc/passwd"' }).end();
      return true;
    };
    expect((await failure(client(server.address).registry.manifest(reference(), signal))).message).toContain("no URL");
  });
});

describe("blobs", () => {
  test("come whole, and are asked for once", async () => {
    const digest = server.blob(content);
    expect((await fetchBlob(client(server.address).registry, digest)).equals(content)).toBe(true);
    expect(server.count("GET", "/blobs/")).toBe(1);
  });

  test.each([[true], [false]])("a broken connection is resumed where it broke (the server knows ranges: %s)", async (ranges) => {
    const digest = server.blob(content);
    const asked: (string | undefined)[] = [];
    server.hook = (request, response) => {
      asked.push(request.headers.range);
      const start = ranges ? Number(/=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0) : 0;
      response.writeHead(start > 0 ? 206 : 200, { "content-length": content.length - start, ...(start > 0 ? { "content-range": `bytes ${start}-${content.length - 1}/${content.length}` } : {}) });
      if (asked.length === 4) response.end(content.subarray(start));
      else response.write(content.subarray(start, 70_000 * asked.length), () => response.destroy());
      return true;
    };
    const it = client(server.address);
    expect((await fetchBlob(it.registry, digest)).equals(content)).toBe(true);
    expect(asked.length).toBe(4);
    expect(asked[0]).toBeUndefined();
    expect(asked.slice(1).every((range) => /^bytes=\d+-$/.test(range ?? ""))).toBe(true);
    // Every attempt brought something: the pause does not grow.
    expect(it.pauses).toEqual([250, 250, 250]);
  });

  test("a server that breaks off without a byte is given up after five attempts", async () => {
    server.hook = (request, response) => {
      response.destroy();
      return true;
    };
    const it = client(server.address);
    const error = await failure(fetchBlob(it.registry, digestOf(content)));
    expect(error.code).toBe("registry-unreachable");
    expect(server.seen.length).toBeLessThanOrEqual(25);
  });

  test("more bytes than the manifest says are refused at once, fewer are not taken for all", async () => {
    const digest = server.blob(content);
    expect((await failure(fetchBlob(client(server.address).registry, digest, 1000))).message).toContain("more than the 1000 bytes");
    const short = await failure(fetchBlob(client(server.address).registry, digest, content.length + 5));
    expect(short.code).toMatch(/registry-/);
  });

  test("a reader that wants no more ends the transfer", async () => {
    const digest = server.blob(content);
    let got = 0;
    await client(server.address).registry.stream(reference(), digest as Digest, content.length, "the layer", signal, async (chunk) => {
      got += chunk.length;
      return false;
    });
    expect(got).toBeLessThan(content.length);
  });

  test("cancelling ends the transfer, and a pause", async () => {
    const digest = server.blob(content);
    const stop = new AbortController();
    const reading = client(server.address).registry.stream(reference(), digest as Digest, content.length, "the layer", stop.signal, async () => {
      stop.abort();
      return true;
    });
    expect((await failure(reading)).code).toBe("cancelled");
    server.hook = (_request, response) => {
      response.writeHead(503).end();
      return true;
    };
    const host = server.address;
    const http = new HttpClient({}, { isInsecure: () => true });
    const again = new AbortController();
    const clock = { now: () => 0, after: () => (again.abort(), () => undefined) };
    const patient = new Registry({ host, http, authorizer: new Authorizer({ host, http, now: clock.now, credentials: async () => ({}) }), clock, insecure: true });
    expect((await failure(patient.manifest(reference(), again.signal))).code).toBe("cancelled");
  });
});

describe("redirects", () => {
  test("to another host are followed without the login, on the same host with it", async () => {
    const digest = server.blob(content);
    await using storage = await FakeRegistry.start();
    storage.hook = (_request, response) => {
      response.end(content);
      return true;
    };
    server.hook = (request, response) => {
      if (request.headers.authorization === undefined) response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      else if (request.path.startsWith("/v2/")) response.writeHead(307, { location: `/elsewhere` }).end();
      else response.writeHead(302, { location: `http://${storage.address}/signed?x=1` }).end();
      return true;
    };
    const it = client(server.address, { credentials: { credentials: { kind: "password", username: "a", password: "b" } } });
    expect((await fetchBlob(it.registry, digest)).equals(content)).toBe(true);
    expect(server.seen.at(-1)?.headers.authorization).toMatch(/^Basic/);
    expect(storage.seen.map((s) => [s.path, s.headers.authorization])).toEqual([["/signed?x=1", undefined]]);
  });

  test("in a circle end, and those to other schemes are refused", async () => {
    for (const [location, message] of [
      [`http://${server.address}/v2/x`, "more than 10 times"],
      ["file:///etc/passwd", "not safe"],
      ["http://[bad", "no URL"],
    ] as const) {
      server.hook = (_request, response) => {
        response.writeHead(302, { location }).end();
        return true;
      };
      expect((await failure(client(server.address).registry.manifest(reference(), signal))).message).toContain(message);
    }
  });
});

describe("trouble", () => {
  test("not found: with the registry's own words, cleaned", async () => {
    server.hook = (_request, response) => {
      response.writeHead(404).end(JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message: "no such\u001b[31m thing\n" }] }));
      return true;
    };
    const error = await failure(client(server.address).registry.manifest(reference("9"), signal));
    expect([error.code, error.message]).toEqual(["image-not-found", `${server.address} has no image ${server.address}/app:9: no such [31m thing `]);
  });

  test.each([[429], [500], [502], [503], [504]])("status %d is tried again, more and more slowly, and then said", async (status) => {
    server.hook = (_request, response) => {
      response.writeHead(status).end();
      return true;
    };
    const it = client(server.address);
    const error = await failure(it.registry.manifest(reference(), signal));
    expect(error.code).toBe("registry-error");
    expect(it.pauses).toEqual([250, 500, 1000, 2000]);
  });

  test("a registry that recovers is forgiven, and Retry-After respected", async () => {
    server.put("app", "1", { a: 1 });
    const answers = ["2", new Date(1_000_000 + 7000).toUTCString()];
    server.hook = (_request, response) => {
      const after = answers.shift();
      if (after === undefined) return false;
      response.writeHead(429, { "retry-after": after }).end();
      return true;
    };
    const it = client(server.address);
    await it.registry.manifest(reference(), signal);
    expect(it.pauses).toEqual([2000, 7000]);
  });

  test("a registry that wants us back in an hour is not waited for", async () => {
    server.hook = (_request, response) => {
      response.writeHead(429, { "retry-after": "3600" }).end();
      return true;
    };
    const it = client(server.address);
    expect((await failure(it.registry.manifest(reference(), signal))).message).toContain("too many requests");
    expect(it.pauses).toEqual([]);
  });

  test("other errors are not tried again", async () => {
    server.hook = (_request, response) => {
      response.writeHead(400).end();
      return true;
    };
    expect((await failure(client(server.address).registry.manifest(reference(), signal))).message).toContain("status 400");
    expect(server.seen.length).toBe(1);
  });

  test("nobody listens there", async () => {
    const closed = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => closed.once("listening", resolve));
    const host = `127.0.0.1:${(closed.address() as AddressInfo).port}`;
    await new Promise((resolve) => closed.close(resolve));
    const error = await failure(client(host).registry.manifest(parseReference(`${host}/app`), signal));
    expect([error.code, error.message]).toEqual(["registry-unreachable", `The registry ${host} does not answer: connection refused`]);
  });

  test("a name that does not resolve", async () => {
    const error = await failure(client("registry.invalid").registry.manifest(parseReference("registry.invalid/app"), signal));
    expect(error.code).toBe("registry-unreachable");
    expect(error.message).toContain("registry.invalid");
  });

  test("a manifest whose digest is not the one that was asked for, or that the registry states", async () => {
    const digest = server.put("app", "1", { a: 1 });
    server.manifests.set(`app:${digest}`, { type: "x", body: Buffer.from("{}") });
    const asked = await failure(client(server.address).registry.manifest({ ...reference(), digest: digest as Digest }, signal));
    expect(asked.code).toBe("digest-mismatch");
    expect(asked.message).toContain(digest);
    expect(asked.message).toContain(digestOf("{}"));
    server.hook = (_request, response) => {
      response.writeHead(200, { "docker-content-digest": digest }).end("{}");
      return true;
    };
    expect((await failure(client(server.address).registry.manifest(reference(), signal))).code).toBe("digest-mismatch");
  });

  test("a manifest without end is cut off", async () => {
    server.hook = (_request, response) => {
      response.end(Buffer.alloc(5 << 20));
      return true;
    };
    expect((await failure(client(server.address).registry.manifest(reference(), signal))).message).toContain("more than");
  });
});

describe("TLS", () => {
  const home = mkdtempSync(join(tmpdir(), "stack-tls-"));
  const key = join(home, "key.pem");
  const cert = join(home, "cert.pem");
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], { stdio: "ignore" });
  const tls = { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  rmSync(key);

  test("is refused with a certificate that nobody signed, and works when its authority is known", async () => {
    await using secure = await FakeRegistry.start(tls);
    secure.put("app", "1", { a: 1 });
    const there = parseReference(`${secure.address}/app:1`);
    const error = await failure(client(secure.address, { insecure: false }).registry.manifest(there, signal));
    expect([error.code, error.message]).toEqual(["registry-unreachable", expect.stringContaining("is not trusted")]);
    for (const variable of ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"]) await client(secure.address, { insecure: false, env: { [variable]: cert } }).registry.manifest(there, signal);
  });

  test("is tried first where it is not needed, then plain http", async () => {
    await using secure = await FakeRegistry.start(tls);
    secure.put("app", "1", { a: 1 });
    server.put("app", "1", { a: 1 });
    await client(secure.address).registry.manifest(parseReference(`${secure.address}/app:1`), signal);
    await client(server.address).registry.manifest(reference(), signal);
  });

  test("a registry without it is refused where it is needed, with the way out", async () => {
    const error = await failure(client(server.address, { insecure: false }).registry.manifest(reference(), signal));
    expect([error.code, error.hint]).toEqual(["registry-unreachable", expect.stringContaining(`STACK_INSECURE_REGISTRIES=${server.address}`)]);
    expect(server.seen).toEqual([]);
  });

  test("a secure registry cannot send the login elsewhere in clear text, nor the download", async () => {
    await using secure = await FakeRegistry.start(tls);
    const there = parseReference(`${secure.address}/app:1`);
    const it = () => client(secure.address, { insecure: false, env: { SSL_CERT_FILE: cert }, credentials: { credentials: { kind: "password", username: "me", password: "pw" } } });
    secure.hook = (_request, response) => {
      response.writeHead(401, { "www-authenticate": `Bearer realm="http://${server.address}/token"` }).end();
      return true;
    };
    expect((await failure(it().registry.manifest(there, signal))).message).toContain("without TLS");
    secure.hook = (_request, response) => {
      response.writeHead(302, { location: `http://${server.address}/x` }).end();
      return true;
    };
    expect((await failure(it().registry.manifest(there, signal))).message).toContain("not safe");
    expect(server.seen).toEqual([]);
  });

  test("goes through a proxy by CONNECT, with the proxy's login", async () => {
    await using secure = await FakeRegistry.start(tls);
    secure.put("app", "1", { a: 1 });
    const connects: string[] = [];
    const proxy = createServer();
    proxy.on("connect", (request, socket) => {
      connects.push(`${request.url ?? ""} ${String(request.headers["proxy-authorization"])}`);
      const upstream = connect(Number(secure.address.split(":")[1]), "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        upstream.pipe(socket).pipe(upstream);
      });
      upstream.on("error", () => socket.destroy()).on("close", () => socket.destroy());
      socket.on("error", () => upstream.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const env = { HTTPS_PROXY: `http://me:pw@127.0.0.1:${(proxy.address() as AddressInfo).port}`, SSL_CERT_FILE: cert };
    // The name is one that only the proxy could reach; the certificate is for another, which shows that it is checked.
    const error = await failure(client("registry.test:443", { insecure: false, env }).registry.manifest(parseReference("registry.test:443/app:1"), signal));
    expect(error.message).toContain("is not trusted");
    expect(connects).toEqual([`registry.test:443 Basic ${Buffer.from("me:pw").toString("base64")}`]);
    await client("registry.test:443", { insecure: true, env }).registry.manifest(parseReference("registry.test:443/app:1"), signal);
    expect(secure.count("GET", "/v2/app/manifests/1")).toBe(1);
    // Docker Hub's registry has another name than its images.
    await client("docker.io", { insecure: true, env }).registry.manifest({ ...parseReference("redis:7"), repository: "app", tag: "1" }, signal);
    expect(connects.at(-1)).toMatch(/^registry-1\.docker\.io:443 /);
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
  });
});

describe("a hostile server", () => {
  /** Small enough for a test: a hundred bytes in a tenth of a second. */
  const patience: Patience = { answerMs: 150, windowMs: 100, windowBytes: 100 };
  const it = () => client(server.address, { patience }).registry;
  /** A byte now and then, without end; ends with its connection. */
  function trickle(response: ServerResponse, bytes = "x"): void {
    const timer = setInterval(() => response.write(bytes), 10);
    response.on("close", () => clearInterval(timer));
  }
  /** As much as is taken, without end; counts what went out. */
  const flooded = { bytes: 0, closed: 0 };
  function flood(response: ServerResponse): void {
    const chunk = Buffer.alloc(64 << 10, " ");
    const more = (): void => {
      while (!response.destroyed && response.write(chunk)) flooded.bytes += chunk.length;
    };
    response.on("drain", more).on("close", () => flooded.closed++);
    more();
  }
  beforeEach(() => Object.assign(flooded, { bytes: 0, closed: 0 }));

  test("that does not answer, or sends its headers byte by byte, is given up, and tried once more only", async () => {
    server.hook = () => true;
    expect(await failure(it().manifest(reference(), signal))).toMatchObject({ code: "registry-unreachable", message: expect.stringContaining("is too slow while fetching") as string });
    expect(server.seen.length).toBe(2);
    server.hook = (_request, response) => {
      const timer = setInterval(() => response.socket?.write("H"), 10);
      response.on("close", () => clearInterval(timer));
      response.socket?.write("HTTP/1.1 200 OK\r\nX-Header: ");
      return true;
    };
    expect((await failure(it().manifest(reference(), signal))).message).toContain("no answer within 0.15 s");
  });

  test.each(["manifest", "configuration", "layer", "token", "error"])("that lets a %s trickle is given up", async (which) => {
    server.hook = (request, response) => {
      if (which === "token" && !request.path.startsWith("/token")) {
        response.writeHead(401, { "www-authenticate": `Bearer realm="http://${server.address}/token"` }).end();
        return true;
      }
      response.writeHead(which === "error" ? 404 : 200);
      trickle(response);
      return true;
    };
    const digest = digestOf(content) as Digest;
    const asked = which === "layer" ? fetchBlob(it(), digest) : which === "configuration" ? it().blob(reference(), digest, "the configuration", signal) : it().manifest(reference(), signal);
    // What a refusal says is not waited for: the refusal is known.
    if (which === "error") expect(await failure(asked)).toMatchObject({ code: "image-not-found" });
    else expect((await failure(asked)).message).toMatch(/is too slow while fetching .*: it sent \d+ bytes in 0.1 s/);
  });

  test("a layer that trickles is not resumed for ever, though bytes come each time", async () => {
    server.hook = (_request, response) => {
      response.writeHead(200);
      trickle(response);
      return true;
    };
    await failure(fetchBlob(it(), digestOf(content)));
    expect(server.seen.length).toBe(2);
  });

  test("time that we take ourselves is not held against the server", async () => {
    const digest = server.blob(content);
    let first = true;
    await it().stream(reference(), digest as Digest, content.length, "the layer", signal, async () => {
      if (first) await new Promise((resolve) => setTimeout(resolve, 250));
      first = false;
      return true;
    });
  });

  test.each([
    ["a redirect", 302],
    ["a 401", 401],
    ["a 404", 404],
    ["a 500", 500],
  ])("that sends %s without end is cut off after a little", async (_what, status) => {
    server.image("app", "1", []);
    server.hook = (request, response) => {
      if (!request.path.startsWith("/v2/app/") || request.path.includes("moved")) return false;
      response.writeHead(status, { location: `http://${server.address}/moved/manifests/1`, "www-authenticate": `Bearer realm="http://${server.address}/token"` });
      flood(response);
      return true;
    };
    await failure(it().manifest(reference(), signal));
    await expect.poll(() => flooded.closed, { interval: 5 }).toBe(server.seen.filter((s) => s.path.startsWith("/v2/app/")).length);
    // What fits into the buffers of both sides of a connection on loopback, and no more.
    expect(flooded.bytes / flooded.closed).toBeLessThan(16 << 20);
  });
});
