import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { service } from "./scene.ts";
import type { Scene } from "./scene.ts";

const SLEEP = "[sleep, '100000']";

/** Mounts, volumes, configs and secrets. */
export const storage: Scene = {
  title: "mounts and files",
  before: async (machine) => {
    await machine.ok("-f", "other/compose.yaml", "-p", "other", "up");
  },
  files: {
    "bound/a.txt": "a\n",
    "from-file": "file\n",
    ".env": "TOKEN=from the environment\n",
    "compose.yaml": `services:
  web:
    image: debian:bookworm-slim
    command: ${SLEEP}
    tmpfs: ["/scratch:size=4m,mode=0700"]
    volumes:
      - ./bound:/short:ro
      - {type: bind, source: ./made, target: /long, bind: {create_host_path: true, propagation: rshared, recursive: disabled, selinux: z}}
      - copied:/etc/pam.d
      - {type: volume, source: plain, target: /etc/security, read_only: true, volume: {nocopy: true}}
      - {type: volume, source: shared, target: /whole}
      - {type: volume, target: /anonymous, volume: {labels: {kind: nameless}}}
      - {type: tmpfs, target: /memory, tmpfs: {size: 2m, mode: 0750}}
      - {type: image, source: "debian:bookworm-slim", target: /other}
      - {type: image, source: "debian:bookworm-slim", target: /part, image: {subpath: usr/share}}
      - named:/named
      - driven:/driven
      - theirs:/theirs
      - older:/older
    configs:
      - filed
      - variable
      - {source: inline, target: /etc/deep/inline, uid: "1234", gid: "55", mode: 0440}
    secrets:
      - filed
      - {source: token, target: renamed, uid: "1234", gid: "55", mode: 0400}
  part:
    image: debian:bookworm-slim
    command: ${SLEEP}
    depends_on: [web]
    volumes:
      - {type: volume, source: copied, target: /seen}
    volumes_from: ["web:ro"]
volumes:
  copied: {labels: {team: red}}
  plain: {}
  shared: {}
  named: {name: elsewhere}
  driven: {driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: "size=3m,mode=700"}}
  theirs: {external: true, name: given}
  older: {external: {name: given}}
configs:
  filed: {file: ./from-file}
  variable: {environment: TOKEN}
  inline: {content: "text of \${TOKEN}"}
secrets:
  filed: {file: ./from-file}
  token: {environment: TOKEN}
`,
    "other/compose.yaml": "services: {x: {image: 'debian:bookworm-slim', command: ['true'], network_mode: none, volumes: ['given:/g']}}\nvolumes: {given: {name: given}}\n",
    "sub/compose.yaml": `name: sub
services:
  web:
    image: debian:bookworm-slim
    command: ${SLEEP}
    network_mode: none
    volumes: [{type: volume, source: copied, target: /seen, volume: {subpath: made/here}}]
volumes: {copied: {external: true, name: project_copied}}
`,
    "escape/compose.yaml": `name: escape
services:
  web:
    image: debian:bookworm-slim
    network_mode: none
    volumes: [{type: volume, source: copied, target: /seen, volume: {subpath: link}}]
volumes: {copied: {external: true, name: project_copied}}
`,
  },
  after: async (machine) => {
    await machine.ok("-f", "other/compose.yaml", "-p", "other", "down", "-v");
  },
  checks: [
    {
      of: service("volumes", "volumes.[].type", "volumes.[].source", "volumes.[].target", "volumes.[].read_only"),
      seen: "each kind of mount in its place; read-only where told",
      look: (w) => {
        expect(w.read("web", "/short/a.txt")).toBe("a\n");
        expect(w.mount("web", "/short").options).toContain("ro");
        expect(w.mount("web", "/long").options).toContain("rw");
        expect(w.mount("web", "/etc/security").options).toContain("ro");
      },
    },
    {
      of: service("volumes.[].bind", "volumes.[].bind.create_host_path", "volumes.[].bind.propagation", "volumes.[].bind.selinux"),
      seen: "the source was made; the mount is shared with the host",
      look: (w) => {
        expect(existsSync(join(w.machine.directory, "made"))).toBe(true);
        expect(w.mount("web", "/long").fields).toMatch(/shared:\d+/);
        expect(w.mount("web", "/short").fields).not.toMatch(/shared:/);
      },
    },
    {
      of: service("volumes.[].bind.recursive"),
      seen: "a plain bind mount instead of a recursive one",
      look: (w) => {
        const options = (target: string) => w.config("web").mounts.find((m) => m.destination === target)?.options ?? [];
        expect(options("/long")).toContain("bind");
        expect(options("/short")).toContain("rbind");
      },
    },
    {
      of: service("volumes.[].volume", "volumes.[].volume.nocopy"),
      seen: "a new volume has the image's files, or none",
      look: (w) => {
        expect(w.list("web", "/etc/pam.d").length).toBeGreaterThan(2);
        expect(w.list("web", "/etc/security")).toEqual([]);
      },
    },
    {
      of: service("volumes.[].volume.labels"),
      seen: "labels of the anonymous volume",
      look: (w) => {
        const name = w.container("web").record.volumes.find((v) => v.target === "/anonymous")?.name ?? "";
        expect(readFileSync(join(w.machine.root, "volumes", name, "volume.json"), "utf8")).toContain('"kind":"nameless"');
      },
    },
    {
      of: service("volumes.[].volume.subpath"),
      seen: "a directory of the volume; a link that leads out of it is refused",
      look: async (w) => {
        await w.run("part", "mkdir -p /seen/made/here && echo inner > /seen/made/here/x && ln -s /etc /seen/link");
        const sub = ["-f", "sub/compose.yaml"];
        await w.machine.ok(...sub, "up", "-d");
        expect(await w.machine.ok(...sub, "exec", "-T", "web", "ls", "/seen")).toBe("x\n");
        await w.machine.ok(...sub, "down", "-t", "0");
        const escape = await w.machine.stack("-f", "escape/compose.yaml", "up", "-d");
        expect(escape.code).not.toBe(0);
        expect(escape.stderr).toMatch(/subpath "link".*leads out of it/);
        await w.machine.ok("-f", "escape/compose.yaml", "down");
      },
    },
    {
      of: service("volumes.[].tmpfs", "volumes.[].tmpfs.size", "volumes.[].tmpfs.mode"),
      seen: "type, size and mode of the mount",
      look: (w) => {
        expect(w.mount("web", "/memory")).toMatchObject({ type: "tmpfs" });
        expect(w.mount("web", "/memory").options).toEqual(expect.arrayContaining(["size=2048k", "mode=750"]));
      },
    },
    {
      of: service("volumes.[].image", "volumes.[].image.subpath"),
      seen: "the image's merged files, read-only; a part of them",
      look: (w) => {
        expect(w.read("web", "/other/etc/debian_version")).toMatch(/^12/);
        expect(w.list("web", "/part")).toContain("base-files");
        for (const target of ["/other", "/part"]) expect(w.mount("web", target).options).toContain("ro");
      },
    },
    {
      of: service("tmpfs"),
      seen: "size and mode of the mount",
      look: (w) => expect(w.mount("web", "/scratch").options).toEqual(expect.arrayContaining(["size=4096k", "mode=700"])),
    },
    {
      of: service("volumes_from"),
      seen: "the other service's mounts, read-only",
      look: (w) => {
        expect(w.read("part", "/short/a.txt")).toBe("a\n");
        expect(w.mount("part", "/whole").options).toContain("ro");
      },
    },
    {
      of: [...service("configs", "configs.[].source", "configs.[].target", "configs.[].uid", "configs.[].gid", "configs.[].mode"), "configs", "configs.*.file", "configs.*.content", "configs.*.environment"],
      seen: "files with their content, owner and mode",
      look: (w) => {
        expect(w.read("web", "/filed")).toBe("file\n");
        expect(w.read("web", "/variable")).toBe("from the environment");
        expect(w.read("web", "/etc/deep/inline")).toBe("text of from the environment");
        expect(statSync(w.path("web", "/etc/deep/inline"))).toMatchObject({ uid: 1234, gid: 55, mode: 0o100440 });
      },
    },
    {
      of: [...service("secrets", "secrets.[].source", "secrets.[].target", "secrets.[].uid", "secrets.[].gid", "secrets.[].mode"), "secrets", "secrets.*.file", "secrets.*.environment"],
      seen: "files below /run/secrets with their content, owner and mode",
      look: (w) => {
        expect(w.read("web", "/run/secrets/filed")).toBe("file\n");
        expect(w.read("web", "/run/secrets/renamed")).toBe("from the environment");
        expect(statSync(w.path("web", "/run/secrets/renamed"))).toMatchObject({ uid: 1234, gid: 55, mode: 0o100400 });
      },
    },
    {
      of: ["volumes", "volumes.*.labels", "volumes.*.name"],
      seen: "volumes with these names and labels",
      look: async (w) => {
        const rows = await w.machine.json<{ readonly Name: string; readonly Labels: string }>("volumes");
        expect(rows.map((r) => r.Name)).toEqual(expect.arrayContaining(["elsewhere", "project_copied"]));
        expect(rows.find((r) => r.Name === "project_copied")?.Labels).toContain("team=red");
      },
    },
    {
      of: ["volumes.*.driver", "volumes.*.driver_opts"],
      seen: "the file system that the options ask for",
      look: (w) => {
        expect(w.mount("web", "/driven")).toMatchObject({ type: "tmpfs" });
        expect(w.mount("web", "/driven").options).toContain("size=3072k");
      },
    },
    {
      of: ["volumes.*.external", "volumes.*.external.name"],
      seen: "another project's volume, in both spellings",
      look: (w) => expect(w.container("web").record.volumes.filter((v) => v.name === "given").map((v) => v.target).sort()).toEqual(["/older", "/theirs"]),
    },
  ],
};
