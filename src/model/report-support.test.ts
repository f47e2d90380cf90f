import { describe, expect, it } from "vitest";
import { loadText } from "./load-text.test-support.ts";

async function warnings(files: string | Readonly<Record<string, string>>, services: readonly string[] = []): Promise<readonly string[]> {
  const { diagnostics } = await loadText(files, { support: true, services });
  return diagnostics.map((d) => `${d.place?.file.replace("/p/", "") ?? "?"}:${d.place?.line ?? 0}:${d.place?.column ?? 0} ${d.rule} ${d.message.split(" ")[0] ?? ""}`);
}

describe("attributes that are not carried out", () => {
  it("are named with their place, each once, outermost first", async () => {
    const text = `services:
  web:
    image: a
    credential_spec: {file: x}
    deploy:
      mode: replicated-job
      placement:
        constraints: [node.role == manager]
    ports: ["80:80/sctp", "81:81"]
    gpus: all
`;
    expect(await warnings(text)).toEqual([
      "compose.yaml:4:5 not-carried-out services.web.credential_spec",
      "compose.yaml:6:7 partly-carried-out services.web.deploy.mode",
      "compose.yaml:7:7 not-carried-out services.web.deploy.placement",
      "compose.yaml:9:13 partly-carried-out services.web.ports[0].protocol",
      "compose.yaml:10:5 refused-attribute services.web.gpus",
    ]);
  });

  it("are not mentioned to commands that only read", async () => {
    expect((await loadText("services: {web: {image: a, gpus: all}}")).diagnostics).toEqual([]);
  });

  it("and that ask for nothing are not mentioned", async () => {
    expect(
      await warnings("services: {web: {image: a, use_api_socket: false, isolation: default, storage_opt: {}, userns_mode: host, deploy: {mode: replicated}}}"),
    ).toEqual([]);
  });

  it("are mentioned for the services that are named, for what these depend on, and for what they use alone", async () => {
    const text = `services:
  web: {image: a, depends_on: [db]}
  db: {image: a, cpu_count: 2, secrets: [mine]}
  other: {image: a, cpu_count: 2, secrets: [theirs]}
secrets:
  mine: {external: true}
  theirs: {external: true}
`;
    expect(await warnings(text, ["web"])).toEqual([
      "compose.yaml:3:18 not-carried-out services.db.cpu_count",
      "compose.yaml:6:10 refused-attribute secrets.mine.external",
    ]);
    expect(await warnings(text)).toHaveLength(4);
  });

  it("have the place in the file from which they came", async () => {
    const files = {
      "compose.yaml": "services:\n  web: {extends: {file: base.yaml, service: base}}\n",
      "base.yaml": "services:\n  base:\n    image: a\n    cpu_percent: 5\n",
    };
    expect(await warnings(files)).toEqual(["base.yaml:4:5 not-carried-out services.web.cpu_percent"]);
  });
});
