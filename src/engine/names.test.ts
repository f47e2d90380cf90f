import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { resolveDataRoot } from "../core/index.ts";
import type { HostPath } from "../core/index.ts";
import type { ContainerRecord, ContainerStatus } from "../runtime/index.ts";
import { dnsView, ForeignContainers } from "./names.ts";
import type { ForeignSource, NamedContainer } from "./names.ts";

function container(name: string, networks: Record<string, string>, extra: Partial<ContainerRecord> = {}, status: ContainerStatus = "running"): NamedContainer {
  const record = {
    name,
    project: "shop",
    service: name,
    oneoff: false,
    networks: Object.entries(networks).map(([network, ipv4]) => ({ network, ipv4, aliases: [name] })),
    ...extra,
  } as unknown as ContainerRecord;
  return { record, status };
}

const view = (own: NamedContainer, all: NamedContainer[], internal: string[] = []): ReturnType<typeof dnsView> =>
  dnsView(own.record, all, (network) => internal.includes(network), []);

describe("dnsView", () => {
  const web = container("web", { front: "10.0.0.2" });
  const db = container("db", { back: "10.1.0.2" });
  const both = container("api", { front: "10.0.0.3", back: "10.1.0.3" });

  it("shows only names on networks of one's own, with the address there", () => {
    expect(view(web, [web, db, both]).entries).toEqual([
      { name: "web", ipv4: "10.0.0.2" },
      { name: "api", ipv4: "10.0.0.3" },
    ]);
    expect(view(both, [web, db, both]).entries.map((e) => `${e.name} ${e.ipv4}`)).toEqual(["web 10.0.0.2", "db 10.1.0.2", "api 10.0.0.3", "api 10.1.0.3"]);
  });
  it("does not answer with containers that do not run", () => {
    expect(view(web, [web, container("api", { front: "10.0.0.3" }, {}, "exited")]).entries.map((e) => e.name)).toEqual(["web"]);
  });
  it("gives a link's alias to the one who links alone", () => {
    const linking = container("web", { front: "10.0.0.2" }, { links: [{ alias: "database", service: "api" }] });
    expect(view(linking, [both]).entries.map((e) => e.name)).toEqual(["api", "database"]);
    expect(view(web, [both]).entries.map((e) => e.name)).toEqual(["api"]);
  });
  it("is internal only if all networks are", () => {
    expect(view(db, [], ["back"]).internal).toBe(true);
    expect(view(both, [], ["back"]).internal).toBe(false);
  });
});

describe("ForeignContainers", () => {
  it("sees a container whose record comes after its directory", async () => {
    const directory = await mkdtemp(join(tmpdir(), "stack-names-"));
    const id = "a".repeat(64);
    const place = join(directory, "containers", id);
    await mkdir(place, { recursive: true });
    const other = container("other", { front: "10.0.0.9" }, { id, project: "blog" } as unknown as Partial<ContainerRecord>);
    let recorded = false;
    let tell = (): void => undefined;
    const seen = new Promise<void>((resolve) => (tell = resolve));
    const source: ForeignSource = {
      survey: () => ({ records: recorded ? [other.record] : [], making: recorded ? [] : [other.record.id] }),
      list: (wanted) => {
        if (recorded) tell();
        return Promise.resolve(recorded && wanted(other.record) ? [{ ...other, directory: place as HostPath }] : []);
      },
    };
    const foreign = new ForeignContainers(resolveDataRoot({ STACK_ROOT: directory }, 0), "shop", source, (network) => network === "front");
    try {
      await foreign.refresh();
      expect(foreign.all).toEqual([]);
      recorded = true;
      await writeFile(join(place, "container.json"), "{}");
      await seen;
      await foreign.refresh();
      expect(foreign.all.map((c) => c.record.name)).toEqual(["other"]);
    } finally {
      foreign.close();
      await rm(directory, { recursive: true });
    }
  });
});
