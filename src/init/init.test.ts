import { describe, expect, it } from "vitest";
import { loadProject, openLint, renderDiagnostics } from "../model/index.ts";
import type { FileReader, Project } from "../model/index.ts";
import { recognise, starterFile } from "./index.ts";
import type { ProjectFiles } from "./index.ts";

type Files = Readonly<Record<string, string>>;

function inMemory(files: Files): ProjectFiles {
  return {
    list: async (directory) => {
      const prefix = directory === "" ? "" : `${directory.replace(/\/$/, "")}/`;
      const names = Object.keys(files).filter((f) => f.startsWith(prefix)).map((f) => f.slice(prefix.length));
      return [...new Set(names.map((n) => (n.includes("/") ? `${n.split("/")[0] ?? ""}/` : n)))].sort();
    },
    read: async (path) => files[path],
  };
}

/** What init writes for these files, loaded; it must lint clean in both dialects, whatever is recognised. */
async function initialise(files: Files): Promise<{ readonly text: string; readonly project: Project; readonly found: readonly string[] }> {
  const parts = await recognise(inMemory(files));
  let result: { readonly text: string; readonly project: Project; readonly found: readonly string[] } | undefined;
  for (const name of ["compose.yaml", "stack.yaml"]) {
    const { text, found } = starterFile(parts, name === "stack.yaml");
    const reader: FileReader = {
      read: async (path) => (path === `/p/${name}` ? { kind: "text", text } : { kind: "missing" }),
      kind: async (path) => (path === `/p/${name}` ? "file" : "missing"),
      realpath: async (path) => path,
    };
    const request = { env: {}, cwd: "/p", reader };
    const { lintFiles } = await openLint();
    const { diagnostics } = await lintFiles(request, { levels: new Map() });
    expect(renderDiagnostics(diagnostics, { color: false }), text).toBe("");
    const loaded = await loadProject(request);
    if (!loaded.ok) throw new Error(text);
    for (const service of Object.values(loaded.project.services)) expect(service.build, "building is not there yet").toBeUndefined();
    result = { text, project: loaded.project, found };
  }
  if (result === undefined) throw new Error("nothing");
  return result;
}

interface Expected {
  readonly files: Files;
  readonly image: string;
  readonly command: string;
  readonly port?: number;
  readonly service?: string;
}

const manifest = (more: object): string => JSON.stringify({ name: "x", ...more });

const APPS: Readonly<Record<string, Expected>> = {
  "Next.js with pnpm and a pinned Node": {
    files: { "package.json": manifest({ dependencies: { next: "15" }, scripts: { dev: "next dev" } }), "pnpm-lock.yaml": "", ".nvmrc": "v22.11.0\n" },
    image: "node:22",
    command: "corepack enable && pnpm install && exec pnpm run dev",
    port: 3000,
  },
  "Vite with npm, which has to listen on all addresses": {
    files: { "package.json": manifest({ devDependencies: { vite: "6" }, scripts: { dev: "vite" }, engines: { node: ">=18" } }) },
    image: "node:24",
    command: "npm install && exec npm run dev -- --host 0.0.0.0",
    port: 5173,
  },
  "Express with its port in the script": {
    files: { "package.json": manifest({ dependencies: { express: "5" }, scripts: { start: "PORT=4000 node server.js" }, engines: { node: "^20.10" } }), "yarn.lock": "" },
    image: "node:20",
    command: "corepack enable && yarn install && exec yarn run start",
    port: 4000,
  },
  "a Node server without any script": { files: { "package.json": manifest({}), "server.js": "" }, image: "node:24", command: "npm install && exec node --watch server.js" },
  Django: { files: { "manage.py": "", "requirements.txt": "Django>=5\n", ".python-version": "3.12.4\n" }, image: "python:3.12", command: "pip install --quiet -r requirements.txt && exec python manage.py runserver 0.0.0.0:8000", port: 8000 },
  "FastAPI in a package, with uv": {
    files: { "pyproject.toml": '[project]\nrequires-python = ">=3.11"\ndependencies = ["fastapi>=0.115"]\n', "uv.lock": "", "app/main.py": "from fastapi import FastAPI\napi = FastAPI()\n" },
    image: "python:3.13",
    command: "pip install --quiet uv && uv sync && exec uv run uvicorn app.main:api --host 0.0.0.0 --port 8000 --reload",
    port: 8000,
  },
  "Flask with Poetry": {
    files: { "pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.10"\nflask = "^3"\n', "poetry.lock": "", "app.py": "app = Flask(__name__)\n" },
    image: "python:3.13",
    command: "pip install --quiet poetry && poetry install --no-interaction && exec poetry run flask --app app:app run --host 0.0.0.0 --port 5000 --debug",
    port: 5000,
  },
  "a Python script": { files: { "requirements.txt": "requests\n", "main.py": "" }, image: "python:3.13", command: "pip install --quiet -r requirements.txt && exec python main.py" },
  "Go with a command directory": { files: { "go.mod": "module x\n\ngo 1.23.4\n", "cmd/tool/main.go": "", "cmd/server/main.go": "" }, image: "golang:1.23", command: "exec go run ./cmd/server", port: 8080 },
  "Spring Boot with Maven's wrapper": {
    files: { "pom.xml": "<project><properties><java.version>17</java.version></properties><artifactId>spring-boot-starter-web</artifactId></project>", mvnw: "" },
    image: "eclipse-temurin:17-jdk",
    command: "exec sh mvnw spring-boot:run",
    port: 8080,
  },
  "Spring Boot with Gradle": { files: { "build.gradle.kts": 'plugins { id("org.springframework.boot") }\nimplementation("org.springframework.boot:spring-boot-starter")\nJavaLanguageVersion.of(21)' }, image: "gradle:8-jdk21", command: "exec gradle bootRun", port: 8080 },
  Rails: { files: { Gemfile: 'ruby "3.3.6"\ngem "rails", "~> 8"\n', "package.json": manifest({ scripts: { start: "x" } }) }, image: "ruby:3.3", command: "bundle install && rm -f tmp/pids/server.pid && exec bundle exec rails server -b 0.0.0.0 -p 3000", port: 3000 },
  Sinatra: { files: { Gemfile: 'gem "sinatra"\n', "app.rb": "", ".ruby-version": "ruby-3.2.1\n" }, image: "ruby:3.2", command: "bundle install && exec bundle exec ruby app.rb -o 0.0.0.0 -p 4567", port: 4567 },
  Laravel: { files: { artisan: "", "composer.json": '{"require": {"php": "^8.2"}}', "public/index.php": "" }, image: "php:8.4-cli", command: "exec php artisan serve --host 0.0.0.0 --port 8000", port: 8000 },
  "plain PHP": { files: { "index.php": "" }, image: "php:8.4-cli", command: "exec php -S 0.0.0.0:8000 -t .", port: 8000 },
  "Rust with axum": { files: { "Cargo.toml": '[package]\nname = "x"\n[dependencies]\naxum = "0.8"\n', "src/main.rs": "", "rust-toolchain.toml": '[toolchain]\nchannel = "1.83.0"\n' }, image: "rust:1.83", command: "exec cargo run", port: 3000 },
  "a Procfile, whose web gets the port": {
    files: { "requirements.txt": "flask\ngunicorn\n", "app.py": "app = Flask(__name__)", Procfile: "web: gunicorn --bind 0.0.0.0:$PORT app:app\nworker: python worker.py && echo done\n" },
    image: "python:3.13",
    command: "pip install --quiet -r requirements.txt && exec gunicorn --bind 0.0.0.0:$PORT app:app",
    port: 5000,
    service: "web",
  },
};

describe("init recognises", () => {
  it.each(Object.entries(APPS))("%s", async (_name, { files, image, command, port, service = "app" }) => {
    const { project, text } = await initialise(files);
    const app = project.services[service];
    expect(app?.image, text).toBe(image);
    expect(app?.command).toEqual(["sh", "-c", command]);
    expect(app?.ports.map((p) => [p.host_ip, p.published, p.target])).toEqual(port === undefined ? [] : [["127.0.0.1", String(port), port]]);
    expect(app?.volumes).toContainEqual(expect.objectContaining({ type: "bind", source: "/p", target: "/app" }));
  });

  it.each([
    ["pg", "postgres:17", "db", "DATABASE_URL"],
    ["mysql2", "mysql:8.4", "db", "DATABASE_URL"],
    ["mariadb", "mariadb:11.4", "db", "DATABASE_URL"],
    ["ioredis", "redis:7.4", "redis", "REDIS_URL"],
    ["mongoose", "mongo:8.0", "mongo", "MONGODB_URI"],
    ["amqplib", "rabbitmq:4.0", "rabbitmq", "AMQP_URL"],
    ["memjs", "memcached:1.6", "memcached", "MEMCACHED_SERVERS"],
  ])("what the library %s speaks to", async (library, image, service, variable) => {
    const { project } = await initialise({ "package.json": manifest({ dependencies: { [library]: "1", express: "5" }, scripts: { start: "node ." } }) });
    expect(project.services[service]?.image).toBe(image);
    expect(project.services[service]?.ports, "nothing outside reaches it").toEqual([]);
    expect(project.services["app"]?.depends_on[service]?.condition).toBe("service_healthy");
    expect(project.services["app"]?.environment[variable]).toContain(service);
  });

  it("the databases of Go, Spring and Laravel in their own words", async () => {
    const go = await initialise({ "go.mod": "module x\nrequire (\n\tgithub.com/jackc/pgx/v5 v5.7.1\n)\n", "main.go": "" });
    expect(go.project.services["app"]?.environment["DATABASE_URL"]).toBe("postgres://app:only-for-development@db:5432/app");
    const spring = await initialise({ "pom.xml": "<artifactId>spring-boot-starter-web</artifactId><groupId>org.postgresql</groupId><artifactId>postgresql</artifactId>" });
    expect(spring.project.services["app"]?.environment["SPRING_DATASOURCE_URL"]).toBe("jdbc:postgresql://db:5432/app");
    const laravel = await initialise({ artisan: "", "composer.json": '{"require": {"php": "8.3.*", "ext-pdo_mysql": "*"}}' });
    expect(laravel.project.services["app"]?.environment).toMatchObject({ DB_CONNECTION: "mysql", DB_HOST: "db" });
    expect(laravel.project.services["app"]?.depends_on["vendor"]?.condition).toBe("service_completed_successfully");
  });

  it("several programs in directories below", async () => {
    const { project, found } = await initialise({
      "frontend/package.json": manifest({ devDependencies: { vite: "6" }, scripts: { dev: "vite" } }),
      "backend/go.mod": "module x\ngo 1.24\n",
      "backend/main.go": "",
      "node_modules/x/package.json": manifest({ scripts: { start: "x" } }),
    });
    expect(Object.keys(project.services)).toEqual(["backend", "frontend"]);
    expect(project.services["backend"]?.volumes).toContainEqual(expect.objectContaining({ source: "/p/backend", target: "/app" }));
    expect(found).toEqual(["backend/: Go (go.mod)", "frontend/: Node.js (package.json, Vite)"]);
  });

  it("a release job of a Procfile, which runs first", async () => {
    const { project } = await initialise({ Gemfile: 'gem "rails"\ngem "pg"\n', Procfile: "release: rails db:migrate\nweb: puma -p $PORT\nworker: sidekiq\n" });
    expect(Object.keys(project.services)).toEqual(["db", "release", "web", "worker"]);
    expect(project.services["worker"]?.depends_on["release"]?.condition).toBe("service_completed_successfully");
    expect(project.services["release"]?.restart.policy).toBe("no");
    expect(project.services["worker"]?.ports).toEqual([]);
  });

  it("a Dockerfile alone by the image of its last stage", async () => {
    const { project, text } = await initialise({ Dockerfile: "FROM golang:1.24 AS build\nEXPOSE 1\nFROM --platform=linux/amd64 nginx:1.27 AS run\nEXPOSE 8080/tcp\nFROM run\nEXPOSE 9090\n" });
    expect(project.services["app"]?.image).toBe("nginx:1.27");
    expect(project.services["app"]?.ports[0]?.target).toBe(9090);
    expect(text).toContain("cannot build images yet");
  });

  it("pages without a program, and nothing at all", async () => {
    expect((await initialise({ "index.html": "" })).project.services["web"]?.image).toBe("nginx:1.28");
    const { project, found } = await initialise({ "README.md": "" });
    expect(project.services["hello"]?.rootfs).toBe("/");
    expect(found).toEqual([]);
  });

  it("something that runs in files that are not what they seem", async () => {
    for (const text of ["", "{", "[]", "null", "\0", "{".repeat(1000), '{"scripts": 3, "dependencies": []}', '{"scripts": {"start": "$X `y` \\" \\\\ ${"}}'])
      await initialise({ "package.json": text, "pom.xml": text, "go.mod": text, Gemfile: text, "pyproject.toml": text, "Cargo.toml": text, "composer.json": text, Procfile: `web: ${text}`, Dockerfile: text });
  });
});
