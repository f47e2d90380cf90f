import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, cpSync, mkdirSync, readFileSync, readdirSync, realpathSync, symlinkSync, writeFileSync, appendFileSync, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ImageConfig } from "./layout.ts";
import * as entrypoints from "./entrypoints.ts";

/** One image of the examples: packages on top of the base, and what is written beside them. */
export interface Fixture {
  readonly tag: string;
  /** Fixture whose layers come below. */
  readonly on?: string;
  readonly packages: readonly string[];
  readonly compression: "gzip" | "zstd";
  readonly config: ImageConfig;
  /** Writes into the layer's tree. `base` is the tree of the base layer. */
  readonly finish: (tree: string, base: string) => void;
}

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const second = 1_000_000_000;

function file(tree: string, path: string, content: string, mode = 0o644): void {
  mkdirSync(dirname(join(tree, path)), { recursive: true });
  writeFileSync(join(tree, path), content);
  chmodSync(join(tree, path), mode);
}

/** The base's users and one more, as a later layer replaces the file. */
function user(tree: string, base: string, name: string, id: number, home: string): void {
  for (const list of ["passwd", "group"]) {
    file(tree, `etc/${list}`, readFileSync(join(base, "etc", list), "utf8"));
    appendFileSync(join(tree, "etc", list), list === "passwd" ? `${name}:x:${id}:${id}::${home}:/bin/sh\n` : `${name}:x:${id}:\n`);
  }
}

/** The Node that runs the tests, with the libraries that the base does not have. */
function copyNode(tree: string, base: string): void {
  const node = realpathSync(process.execPath);
  mkdirSync(join(tree, "usr/local/bin"), { recursive: true });
  cpSync(node, join(tree, "usr/local/bin/node"));
  for (const [, library] of execFileSync("ldd", [node], { encoding: "utf8" }).matchAll(/=> (\/\S+)/g)) {
    if (library === undefined) continue;
    const inUsr = library.startsWith("/usr/") ? library.slice(1) : `usr${library}`;
    if (existsSync(join(base, inUsr)) || existsSync(join(tree, inUsr))) continue;
    mkdirSync(dirname(join(tree, inUsr)), { recursive: true });
    cpSync(realpathSync(library), join(tree, inUsr));
  }
}

export const fixtures: readonly Fixture[] = [
  {
    tag: "debian:bookworm-slim",
    packages: ["base-files", "base-passwd", "bash", "dash", "coreutils", "debianutils", "findutils", "grep", "sed", "mawk", "gzip", "tar", "hostname", "util-linux", "procps", "libc-bin", "login", "libstdc++6", "netbase"],
    compression: "gzip",
    config: { Env: [PATH], Cmd: ["bash"] },
    finish(tree) {
      for (const list of ["passwd", "group"]) file(tree, `etc/${list}`, readFileSync(join(tree, `usr/share/base-passwd/${list}.master`), "utf8"));
      symlinkSync("mawk", join(tree, "usr/bin/awk"));
      for (const name of ["etc/resolv.conf", "etc/hostname", "etc/machine-id"]) file(tree, name, "");
      mkdirSync(join(tree, "root"), { recursive: true, mode: 0o700 });
      for (const name of ["tmp", "var/tmp"]) {
        mkdirSync(join(tree, name), { recursive: true });
        chmodSync(join(tree, name), 0o1777);
      }
    },
  },
  {
    tag: "nginx:1",
    on: "debian:bookworm-slim",
    packages: ["nginx-light", "curl"],
    compression: "gzip",
    config: { Env: [PATH], Entrypoint: ["/docker-entrypoint.sh"], Cmd: ["nginx", "-g", "daemon off;"], ExposedPorts: { "80/tcp": {} }, StopSignal: "SIGQUIT" },
    finish(tree) {
      file(tree, "docker-entrypoint.sh", entrypoints.runParts, 0o755);
      file(tree, "etc/nginx/conf.d/default.conf", "server { listen 80; root /usr/share/nginx/html; location / { index index.html; } }\n");
      mkdirSync(join(tree, "var/log/nginx"), { recursive: true });
      symlinkSync("/dev/stdout", join(tree, "var/log/nginx/access.log"));
      symlinkSync("/dev/stderr", join(tree, "var/log/nginx/error.log"));
    },
  },
  {
    tag: "redis:7",
    on: "debian:bookworm-slim",
    packages: ["redis-server", "gosu"],
    compression: "zstd",
    config: { Env: [PATH], Entrypoint: ["docker-entrypoint.sh"], Cmd: ["redis-server", "--protected-mode", "no"], WorkingDir: "/data", Volumes: { "/data": {} }, ExposedPorts: { "6379/tcp": {} } },
    finish(tree, base) {
      user(tree, base, "redis", 999, "/data");
      mkdirSync(join(tree, "data"));
      chownSync(join(tree, "data"), 999, 999);
      file(tree, "usr/local/bin/docker-entrypoint.sh", entrypoints.redis, 0o755);
    },
  },
  {
    tag: "postgres:15",
    on: "debian:bookworm-slim",
    packages: ["postgresql", "gosu"],
    compression: "gzip",
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/opt/postgresql/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PGDATA=/var/lib/postgresql/data", "LANG=C.UTF-8"],
      Entrypoint: ["docker-entrypoint.sh"],
      Cmd: ["postgres"],
      Volumes: { "/var/lib/postgresql/data": {} },
      ExposedPorts: { "5432/tcp": {} },
      StopSignal: "SIGINT",
    },
    finish(tree, base) {
      user(tree, base, "postgres", 998, "/var/lib/postgresql");
      const [version] = readdirSync(join(tree, "usr/lib/postgresql"));
      mkdirSync(join(tree, "opt"), { recursive: true });
      symlinkSync(`/usr/lib/postgresql/${version ?? ""}`, join(tree, "opt/postgresql"));
      for (const name of ["var/lib/postgresql/data", "docker-entrypoint-initdb.d"]) mkdirSync(join(tree, name), { recursive: true });
      chownSync(join(tree, "var/lib/postgresql/data"), 998, 998);
      file(tree, "usr/local/bin/docker-entrypoint.sh", entrypoints.postgres, 0o755);
    },
  },
  {
    tag: "python-flask:3",
    on: "debian:bookworm-slim",
    packages: ["python3", "python3-flask", "python3-redis", "python3-psycopg2", "gunicorn"],
    compression: "gzip",
    config: { Env: [PATH, "FLASK_APP=app.py", "PYTHONUNBUFFERED=1"], Cmd: ["gunicorn", "-b", "0.0.0.0:8000", "app:app"], WorkingDir: "/code", ExposedPorts: { "8000/tcp": {} } },
    finish(tree) {
      file(
        tree,
        "code/app.py",
        `import os
from flask import Flask
import redis
app = Flask(__name__)
@app.get("/")
def hello():
    host = os.environ.get("REDIS_HOST")
    if host is None:
        return "Hello World!\\n"
    return f"Hello World! I have been seen {redis.Redis(host=host).incr('hits')} times.\\n"
`,
      );
    },
  },
  {
    tag: "node:20",
    on: "debian:bookworm-slim",
    packages: [],
    compression: "gzip",
    config: { Env: [PATH, "NODE_VERSION=20"], Cmd: ["node"] },
    finish(tree, base) {
      user(tree, base, "node", 1000, "/home/node");
      mkdirSync(join(tree, "home/node"), { recursive: true });
      chownSync(join(tree, "home/node"), 1000, 1000);
      copyNode(tree, base);
    },
  },
  {
    tag: "node-app:1",
    on: "node:20",
    packages: [],
    compression: "gzip",
    config: {
      Env: [PATH, "NODE_VERSION=20", "PORT=3000"],
      Cmd: ["node", "server.js"],
      WorkingDir: "/usr/src/app",
      User: "node",
      ExposedPorts: { "3000/tcp": {} },
      Healthcheck: {
        Test: ["CMD-SHELL", `node -e "fetch('http://127.0.0.1:3000/').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"`],
        Interval: 2 * second,
        Timeout: 2 * second,
        Retries: 5,
      },
    },
    finish(tree) {
      file(
        tree,
        "usr/src/app/server.js",
        `const http = require("http");
const os = require("os");
const server = http.createServer((request, response) => response.end("hello from " + os.hostname() + "\\n"));
server.listen(process.env.PORT || 3000, () => console.log("listening"));
process.on("SIGTERM", () => { console.log("bye"); server.close(() => process.exit(0)); });
`,
      );
      chownSync(join(tree, "usr/src/app"), 1000, 1000);
    },
  },
  {
    tag: "busybox:1",
    packages: [],
    compression: "gzip",
    config: { Env: ["PATH=/bin"], Cmd: ["sh"] },
    finish(tree) {
      for (const name of ["bin", "root", "var"]) mkdirSync(join(tree, name));
      cpSync(execFileSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).trim(), join(tree, "bin/busybox"));
      for (const applet of execFileSync("busybox", ["--list"], { encoding: "utf8" }).split("\n")) {
        if (applet !== "" && applet !== "busybox") symlinkSync("busybox", join(tree, "bin", applet));
      }
      file(tree, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
      file(tree, "etc/group", "root:x:0:\nstaff:x:50:\nnobody:x:65534:\n");
      mkdirSync(join(tree, "tmp"));
      chmodSync(join(tree, "tmp"), 0o1777);
    },
  },
];
