import { expect, test } from "vitest";
import { parseImageDocument } from "./config.ts";
import { parseManifest } from "./manifest.ts";

const bytes = (value: unknown): Uint8Array => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const digest = `sha256:${"1".repeat(64)}`;
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: 2 };
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size: 3 };
const image = { schemaVersion: 2, config, layers: [layer] };

test("a manifest of OCI's or of Docker's kind is an image", () => {
  expect(parseManifest(bytes(image), "it")).toMatchObject({ kind: "image", config: { size: 2 }, layers: [{ size: 3 }] });
  const docker = {
    schemaVersion: 2,
    mediaType: "application/vnd.docker.distribution.manifest.v2+json",
    config: { ...config, mediaType: "application/vnd.docker.container.image.v1+json" },
    layers: [{ ...layer, mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip" }, { ...layer, mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" }],
  };
  expect(parseManifest(bytes(docker), "it").kind).toBe("image");
});

test("an index keeps the platforms it names, normalised", () => {
  const index = { schemaVersion: 2, manifests: [{ mediaType: "m", digest, size: 1, platform: { os: "linux", architecture: "arm64", variant: "v8" } }, { mediaType: "m", digest, size: 1 }] };
  expect(parseManifest(bytes(index), "it")).toMatchObject({ kind: "index", manifests: [{ platform: { os: "linux", architecture: "arm64" } }, { size: 1 }] });
});

test.each([
  ["not json", "not valid JSON"],
  ["[]", "not a JSON object"],
  [{ schemaVersion: 1, fsLayers: [] }, "schema 1"],
  [{ schemaVersion: 3 }, "schemaVersion 2"],
  [{ ...image, manifests: [] }, "index and a manifest at once"],
  [{ schemaVersion: 2 }, "neither"],
  [{ ...image, config: { ...config, mediaType: "application/vnd.cncf.helm.config.v1+json" } }, "not a container image"],
  [{ ...image, layers: [{ ...layer, mediaType: "application/vnd.oci.image.layer.v1.tar+encrypted" }] }, "cannot be unpacked"],
  [{ ...image, layers: [{ ...layer, digest: "sha512:00" }] }, "only sha256"],
  [{ ...image, layers: [{ ...layer, digest: "sha256:../../../etc/passwd" }] }, "only sha256"],
  [{ ...image, layers: [{ ...layer, size: -1 }] }, "size"],
  [{ ...image, layers: [{ ...layer, size: 1.5 }] }, "size"],
  [{ ...image, layers: [null] }, "not a descriptor"],
  [{ ...image, layers: [{ size: 1 }] }, "no digest"],
])("%j is refused: %s", (document, why) => {
  expect(() => parseManifest(bytes(document), "it")).toThrow(why);
});

test("invalid UTF-8 is refused", () => {
  expect(() => parseManifest(Buffer.from([0x7b, 0xff, 0x7d]), "it")).toThrow("not valid JSON");
});

const base = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [digest] } };

test("an image configuration is read with all its members", () => {
  const document = parseImageDocument(
    bytes({
      ...base,
      created: "2024-01-02T03:04:05Z",
      config: {
        User: "app:app",
        Env: ["A=1"],
        Entrypoint: ["/entry"],
        Cmd: ["run"],
        WorkingDir: "/srv",
        Volumes: { "/data": {} },
        ExposedPorts: { "80/tcp": {}, "53": {} },
        Labels: { a: "b", __proto__x: "y" },
        StopSignal: "SIGQUIT",
        Healthcheck: { Test: ["CMD", "x"], Interval: 5e9, Timeout: 1e9, Retries: 4, StartPeriod: 1e6 },
      },
    }),
    "it",
  );
  expect(document).toEqual({
    platform: { os: "linux", architecture: "amd64" },
    created: "2024-01-02T03:04:05Z",
    diffIds: [digest],
    config: {
      user: "app:app",
      env: ["A=1"],
      entrypoint: ["/entry"],
      cmd: ["run"],
      workingDir: "/srv",
      volumes: ["/data"],
      exposedPorts: ["53/tcp", "80/tcp"],
      labels: { a: "b", __proto__x: "y" },
      stopSignal: "SIGQUIT",
      healthcheck: { test: ["CMD", "x"], intervalMs: 5000, timeoutMs: 1000, startPeriodMs: 1, retries: 4 },
    },
  });
});

test("what tools leave out, write as null or as one string is no error", () => {
  expect(parseImageDocument(bytes({ ...base, config: null }), "it").config).toMatchObject({ user: "", env: [], cmd: [] });
  expect(parseImageDocument(bytes({ ...base, config: { Env: null, Cmd: "sh", Labels: null, Volumes: null, Healthcheck: { Test: [] } } }), "it").config).toMatchObject({ cmd: ["sh"], labels: {} });
  expect(parseImageDocument(bytes({ ...base, rootfs: { type: "layers", diff_ids: null } }), "it").diffIds).toEqual([]);
});

test.each([
  [{ ...base, rootfs: undefined }, "lists no layers"],
  [{ ...base, rootfs: { diff_ids: ["sha256:../x"] } }, "no sha256 digest"],
  [{ ...base, os: "" }, "platform"],
  [{ ...base, architecture: 7 }, "platform"],
  [{ ...base, config: { Env: [1] } }, "Env"],
  [{ ...base, config: { Cmd: ["a\0b"] } }, "Cmd"],
  [{ ...base, config: { Entrypoint: ["/bin/sh\0-c"] } }, "Entrypoint"],
  [{ ...base, config: { WorkingDir: "/srv\0/etc" } }, "WorkingDir contains a NUL byte"],
  [{ ...base, config: { User: "root\0" } }, "User contains a NUL byte"],
  [{ ...base, config: { StopSignal: "\0" } }, "StopSignal contains a NUL byte"],
  [{ ...base, config: { Volumes: { "/": {} } } }, '"/" cannot be a volume'],
  [{ ...base, config: { Volumes: { "../..": {} } } }, '"../.." cannot be a volume'],
  [{ ...base, config: { Volumes: { "/a\0b": {} } } }, "cannot be a volume"],
])("the configuration %j is refused: %s", (document, why) => {
  expect(() => parseImageDocument(bytes(document), "it")).toThrow(why);
});

test("more layers than the kernel can lay over each other are refused before the first is fetched", () => {
  const diff = (n: number): string => `sha256:${n.toString(16).padStart(64, "0")}`;
  const layers = (count: number): object => ({ ...base, rootfs: { type: "layers", diff_ids: Array.from({ length: count }, (_, n) => diff(n)) } });
  expect(() => parseImageDocument(bytes(layers(10_000)), "it")).toThrow("it lists 10000 layers; the kernel lays at most 499 over each other");
  expect(parseImageDocument(bytes(layers(499)), "it").diffIds).toHaveLength(499);
});

test("volumes are paths in the container, each once", () => {
  const { config: parsed } = parseImageDocument(bytes({ ...base, config: { Volumes: { "/data/": {}, data: {}, "/a/../../b": {} } } }), "it");
  expect(parsed.volumes).toEqual(["/data", "/b"]);
});

test("a label called __proto__ is a label", () => {
  const { config: parsed } = parseImageDocument(Buffer.from(JSON.stringify({ ...base, config: {} }).replace('"config":{}', '"config":{"Labels":{"__proto__":"x"}}')), "it");
  expect(Object.entries(parsed.labels)).toEqual([["__proto__", "x"]]);
});
