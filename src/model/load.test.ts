import { describe, expect, it } from "vitest";
import { renderDiagnostics } from "./index.ts";
import { findings, loadText, projectOf } from "./load-text.test-support.ts";

const service = (body: string): string =>
  `services:\n  web:\n    image: a\n${body
    .split("\n")
    .map((l) => `    ${l}\n`)
    .join("")}`;

describe("diagnostics", () => {
  it("finds everything wrong at once, sorted by place", async () => {
    const text = `services:
  web:
    image: 1
    pots: ["80"]
    ports: ["80:80x", {target: 80, foo: 1}]
    depends_on: [dbb]
    restart: sometimes
    healthcheck: {test: [curl], intervall: 5s}
    mem_limit: 5x
    networks: [frontt]
  db:
    image: \${TAG:?say which}
    volumes: [dta:/x]
networks: {front: }
volumes: {data: }
image: x
`;
    expect(await findings(text)).toEqual([
      "compose.yaml:3:12 error wrong-type",
      "compose.yaml:4:5 error unknown-key",
      "compose.yaml:5:13 error invalid-port",
      "compose.yaml:5:36 error unknown-key",
      "compose.yaml:6:18 error undefined-service",
      "compose.yaml:7:14 error invalid-value",
      "compose.yaml:8:26 error invalid-value",
      "compose.yaml:8:33 error unknown-key",
      "compose.yaml:9:16 error invalid-value",
      "compose.yaml:10:16 error undefined-network",
      "compose.yaml:12:12 error required-variable",
      "compose.yaml:13:15 error undefined-volume",
      "compose.yaml:16:1 error unknown-key",
    ]);
  });

  it.each([
    ["imgae: x", "Did you mean `image`?"],
    ["env: {A: 1}", "Did you mean `environment`?"],
    ["dependsOn: [a]", "Did you mean `depends_on`?"],
    ["network: x", "Did you mean `networks`?"],
    ["stop_grace_period: 10", "Write the unit: 10s."],
    ["cgroup: hosst", "Did you mean `host`?"],
    ["command: echo a && b", 'Ask for one: ["sh", "-c", "echo a && b"].'],
    ["volumes: [src/app:/x]", "A path of the host begins with ./ or /: ./src/app"],
    ["ports: [::1:80:80]", 'Write "HOST:CONTAINER", for example "8080:80" or "127.0.0.1:8080:80/tcp".'],
    ["environment: ['A =b']", "Write NAME=VALUE without spaces around the equals sign."],
  ])("%s comes with the hint %s", async (line, hint) => {
    const { diagnostics } = await loadText(service(line));
    expect(diagnostics.map((d) => d.hint)).toContain(hint);
  });

  it("suggests services, networks, volumes, secrets and variables by name", async () => {
    const text = `${service("depends_on: [databse]\nnetworks: [bakend]\nvolumes: ['dta:/x']\nsecrets: [pasword]\ncommand: [$DB_HSOT]")}  database: {image: b}
networks: {backend: }
volumes: {data: }
secrets: {password: {file: x}}
`;
    const { diagnostics } = await loadText(text, { env: { DB_HOST: "h" } });
    expect(diagnostics.map((d) => d.hint)).toEqual([
      "Did you mean `database`?",
      "Did you mean `backend`?",
      "Did you mean `data`?",
      "Did you mean `password`?",
      "Did you mean `DB_HOST`?",
    ]);
  });

  it("says that a key at the wrong level belongs to a service", async () => {
    const { diagnostics } = await loadText("image: x\nservices: {a: {image: b}}\n");
    expect(diagnostics[0]?.hint).toBe("`image` belongs to a service: indent it below one under `services:`.");
  });

  it("warns of a mount that a later one in the same list takes the place of", async () => {
    expect(await findings(service("volumes: ['./a:/x', './b:/x']"))).toEqual(["compose.yaml:4:25 warning replaced-item"]);
  });

  it("names the anchor and the alias", async () => {
    const { diagnostics } = await loadText("x-a: &a {mem_limit: 5x}\nservices:\n  web: {image: a, <<: *a}\n");
    expect(diagnostics[0]).toMatchObject({
      rule: "invalid-value",
      place: { line: 1, column: 21 },
      related: [{ line: 3, note: "through the alias *a" }],
    });
  });

  it("names the base and the service that extends it", async () => {
    const { diagnostics } = await loadText({
      "compose.yaml": "services:\n  web: {extends: {file: base.yaml, service: b}}\n",
      "base.yaml": "services:\n  b: {image: x, mem_limit: 5x}\n",
    });
    expect(diagnostics[0]).toMatchObject({ place: { file: "/p/base.yaml", line: 2 }, related: [{ file: "/p/compose.yaml", line: 2 }] });
  });

  it("names the included file and where it is included", async () => {
    const { diagnostics } = await loadText({
      "compose.yaml": "include: [a.yaml]\nservices: {}\n",
      "a.yaml": "services:\n  b: {image: x, networks: [nope]}\n",
    });
    expect(diagnostics[0]).toMatchObject({
      rule: "undefined-network",
      place: { file: "/p/a.yaml", line: 2 },
      related: [{ file: "/p/compose.yaml", line: 1 }],
    });
  });

  it("shows what hides in a name", async () => {
    const { diagnostics } = await loadText(service('"i\u200bmage": x\n"gnp\u202e": y'));
    const shown = renderDiagnostics(diagnostics, { color: false, cwd: "/p" });
    expect(shown).toContain("unknown key `i\\u200bmage`");
    expect(shown).toContain("unknown key `gnp\\u202e`");
    expect(shown).not.toMatch(/[\u200b\u202e]/);
  });

  it("shows cycles with their chain", async () => {
    const extended = await loadText("services:\n  a: {image: a, extends: b}\n  b: {image: b, extends: a}\n");
    expect(extended.diagnostics[0]?.message).toContain("a in /p/compose.yaml extends b in /p/compose.yaml");
    const depending = await loadText("services:\n  a: {image: a, depends_on: [b]}\n  b: {image: b, depends_on: [a]}\n");
    expect(depending.diagnostics.map((d) => d.message)).toEqual(["Dependency cycle: a -> b -> a"]);
    const including = await loadText({ "compose.yaml": "include: [a.yaml]\n", "a.yaml": "include: [compose.yaml]\n" });
    expect(including.diagnostics[0]?.message).toContain("/p/compose.yaml includes /p/a.yaml includes /p/compose.yaml");
  });

  it("quotes the line and marks the place", async () => {
    const { diagnostics } = await loadText(service("tty: [1]"));
    expect(renderDiagnostics(diagnostics, { color: false, cwd: "/p" }))
      .toBe(`error: services.web.tty: expected true or false or a string, but it is a list [wrong-type]
  --> compose.yaml:4:10
  4 |     tty: [1]
    |          ^^^
`);
  });

  it("lets no file send commands to the terminal", async () => {
    const { diagnostics } = await loadText(service('"a\\e[31mb": 1'));
    expect(renderDiagnostics(diagnostics, { color: false })).not.toContain("\u001b");
  });

  it("reports what is wrong in environment files at their own place", async () => {
    expect(await findings({ "compose.yaml": service("env_file: a.env"), "a.env": "A=1\nB B=2\n" })).toEqual(["a.env:2:1 error env-file"]);
    expect(await findings({ "compose.yaml": service("tty: true"), ".env": 'A="x\n' })).toEqual([".env:1:3 error env-file"]);
  });

  it("never shows the value of a secret variable", async () => {
    const result = await loadText(`${service("secrets: [s]")}secrets: {s: {environment: PW}}\n`, { env: { PW: "hunter2" } });
    expect(result.ok && JSON.stringify(result.project.secrets["s"]?.canonical)).not.toContain("hunter2");
  });
});

describe("our own keys", () => {
  const own = "ready: {tcp: 80}\nrestart_policy: {delay: 1s}";
  it("stand bare in stack.yaml", async () => {
    const project = await projectOf({ "stack.yaml": service(own) });
    expect(project.services["web"]?.ready).toEqual([{ kind: "tcp", port: 80 }]);
    expect(project.services["web"]?.restart_policy).toEqual({
      first_delay: 0,
      delay: 1000,
      factor: 2,
      max_delay: 60_000,
      jitter: 0,
      reset_after: 10_000,
    });
  });

  it("stand under x-stack everywhere else, and mean the same", async () => {
    const stack = await projectOf({ "stack.yaml": service(own) });
    const compose = await projectOf({ "compose.yaml": service(`x-stack:\n  ${own.replace("\n", "\n  ")}`) });
    expect({ ...compose, files: [] }).toEqual({ ...stack, files: [] });
  });

  it("are refused bare in a Compose file, with the way out", async () => {
    const { ok, diagnostics } = await loadText(service(own));
    expect(ok).toBe(false);
    expect(diagnostics.map((d) => [d.rule, d.hint])).toEqual([
      ["own-key-in-compose-file", "Write it under `x-stack:` of the service, or call the file stack.yaml."],
      ["own-key-in-compose-file", "Write it under `x-stack:` of the service, or call the file stack.yaml."],
    ]);
  });

  it.each([
    ["init: false", "init: false\nprocesses: {a: {command: x}}", "conflict"],
    ["a foreign runtime", "runtime: runc\nexpect: [nginx]", "conflict"],
    ["a shared pid namespace", "pid: host\non_orphan_exit: log", "conflict"],
    ["a grace beyond the service's", "stop_grace_period: 2s\nprocesses: {a: {command: x, stop_grace_period: 3s}}", "conflict"],
    ["a process called main", "processes: {main: {command: x}}", "invalid-value"],
    ["waiting for the end of what is always restarted", "processes: {a: {command: x}, b: {command: x, depends_on: {a: completed}}}", "invalid-value"],
    ["a circle", "processes: {a: {command: x, depends_on: [b]}, b: {command: x, depends_on: [a]}}", "invalid-value"],
    ["readiness by the log of a process without a log", "logging: {driver: none}\nprocesses: {a: {command: x, ready: {log: up}}}", "conflict"],
    ["readiness by the end of what is always restarted", "processes: {a: {command: x, ready: {exit: 0}}}", "invalid-value"],
  ])("leave no place for what cannot be supervised: %s", async (_what, text, rule) => {
    const found = await findings({ "stack.yaml": service(text) });
    expect(found.map((line) => line.split(" ").slice(1).join(" "))).toEqual([`error ${rule}`]);
  });

  it("are checked like all others", async () => {
    const text = service(`ready: {tpc: 80}
on_unhealthy: {action: reboot}
on_orphan_exit: shrug
processes:
  a: {command: x, depends_on: {b: ready}, restart: often}
  b: {depends_on: [c]}
restart_policy: {jitter: 2, delay: soon}`);
    expect(await findings({ "stack.yaml": text })).toEqual([
      "stack.yaml:4:13 error unknown-key",
      "stack.yaml:5:28 error invalid-value",
      "stack.yaml:6:21 error invalid-value",
      "stack.yaml:8:56 error invalid-value",
      "stack.yaml:9:7 error missing-key",
      "stack.yaml:9:24 error invalid-value",
      "stack.yaml:10:30 error invalid-value",
      "stack.yaml:10:40 error invalid-value",
    ]);
  });

  it("take `rootfs` for an image", async () => {
    const project = await projectOf({ "stack.yaml": "services:\n  t: {rootfs: ./root, command: [x]}\n" });
    expect(project.services["t"]).toMatchObject({ rootfs: "/p/root" });
    expect(await findings({ "stack.yaml": "services:\n  t: {rootfs: /, image: x}\n" })).toEqual(["stack.yaml:2:7 error conflict"]);
  });

  it("override and extend like Compose's", async () => {
    const project = await projectOf(
      {
        "stack.yaml": "services:\n  base: {image: a, processes: {p: {command: x, user: u}}, ready: {tcp: 1}}\n  web: {extends: base}\n",
        "stack.override.yaml": "services:\n  web: {processes: {p: {command: y}}, ready: [{tcp: 2}]}\n",
      },
      {},
    );
    expect(project.services["web"]?.processes["p"]).toMatchObject({ command: ["y"], user: "u" });
    expect(project.services["web"]?.ready).toEqual([{ kind: "tcp", port: 2 }]);
  });

  it("read every probe", async () => {
    const project = await projectOf({
      "stack.yaml": service(`ready:
  - {tcp: 80, timeout: 5s}
  - {http: {port: 80, path: /h, status: "200-299,404", body: ok}}
  - {http: 8080}
  - {log: "up .*"}
  - {exec: "pg_isready -q"}
  - {file: /run/x}
  - {exit: 0}`),
    });
    expect(project.services["web"]?.ready).toEqual([
      { kind: "tcp", port: 80, timeout: 5000 },
      {
        kind: "http",
        port: 80,
        path: "/h",
        status: [
          [200, 299],
          [404, 404],
        ],
        body: "ok",
      },
      { kind: "http", port: 8080, path: "/", status: [[200, 399]] },
      { kind: "log", pattern: "up .*" },
      { kind: "exec", command: ["pg_isready", "-q"] },
      { kind: "file", path: "/run/x" },
      { kind: "exit", code: 0 },
    ]);
  });
});

describe("the project", () => {
  it("has the platform of DOCKER_DEFAULT_PLATFORM, of the shell or the environment file, where a service names none", async () => {
    const files = { "compose.yaml": "services: {a: {image: a}, b: {image: a, platform: linux/386}}\n", ".env": "DOCKER_DEFAULT_PLATFORM=linux/arm64\n" };
    const platforms = async (env: Readonly<Record<string, string>>) => Object.values((await projectOf(files, { env })).services).map((s) => [s.platform, s.canonical["platform"]]);
    expect(await platforms({})).toEqual([["linux/arm64", undefined], ["linux/386", "linux/386"]]);
    expect(await platforms({ DOCKER_DEFAULT_PLATFORM: "linux/arm" })).toEqual([["linux/arm", undefined], ["linux/386", "linux/386"]]);
    expect(await platforms({ DOCKER_DEFAULT_PLATFORM: "" })).toEqual([[undefined, undefined], ["linux/386", "linux/386"]]);
  });

  it("takes a secret's variable from the environment of the file that names it", async () => {
    const files = {
      "compose.yaml": "include: [sub/compose.yaml]\nservices: {web: {image: a, secrets: [own]}}\nsecrets: {own: {environment: V}}\n",
      "sub/compose.yaml": "include: [deep/compose.yaml]\nservices: {a: {image: a, secrets: [s], configs: [c, n]}}\nsecrets: {s: {environment: V}}\nconfigs: {c: {environment: V}, n: {environment: N}}\n",
      "sub/.env": "V=inside\n",
      "sub/deep/compose.yaml": "services: {d: {image: a, secrets: [d]}}\nsecrets: {d: {environment: D}}\n",
      "sub/deep/.env": "D=deep of $V\n",
    };
    const held = async (text: Readonly<Record<string, string>>, env: Readonly<Record<string, string>>) => {
      const { secrets, configs } = await projectOf(text, { env });
      return Object.fromEntries(Object.entries({ ...secrets, ...configs }).map(([name, { from }]) => [name, from.kind === "environment" ? from.value : from.kind]));
    };
    expect(await held(files, {})).toEqual({ own: undefined, s: "inside", c: "inside", n: undefined, d: "deep of inside" });
    expect(await held(files, { V: "shell" })).toEqual({ own: "shell", s: "shell", c: "shell", n: undefined, d: "deep of shell" });
    const over = { ...files, "compose.yaml": files["compose.yaml"].replace("own: {environment: V}", "own: {environment: V}, s: {environment: W}") };
    expect(await held(over, { W: "mine" })).toMatchObject({ s: "mine", c: "inside" });
  });

  it("is typed, complete and frozen", async () => {
    const project = await projectOf(
      {
        "compose.yaml": `name: shop
services:
  web:
    image: nginx
    command: sh -c "a b"
    environment: {A: 1, B: }
    ports: ["127.0.0.1:8080-8081:80-81/udp"]
    volumes: ["data:/d:ro", "./c:/c", "/anon", {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0o755}}]
    networks: {back: {aliases: [w], priority: 5}}
    healthcheck: {test: curl x, interval: 1m30s, retries: 2}
    depends_on: {db: {condition: service_healthy}}
    links: [cache]
    deploy: {replicas: 2, restart_policy: {condition: on-failure, max_attempts: 3}, resources: {limits: {cpus: "0.5", memory: 64m, pids: 10}}}
    stop_grace_period: 1s
    pull_policy: every_2h
    ulimits: {nofile: 10, nproc: {soft: 1, hard: 2}}
    secrets: [pw]
    configs: [{source: c, target: etc/c, mode: 0440}]
    x-mine: {a: 1}
  db: {image: pg, network_mode: none, healthcheck: {test: [NONE]}, restart: on-failure:2}
  cache: {image: redis, profiles: [x]}
networks: {back: {internal: true}, unused: }
volumes: {data: {name: real}}
secrets: {pw: {environment: PW}}
configs: {c: {content: hi}}
`,
      },
      { env: { PW: "s3" }, profiles: ["x"] },
    );
    const web = project.services["web"]!;
    expect(Object.isFrozen(web.environment)).toBe(true);
    expect(project.name).toBe("shop");
    expect(Object.keys(project.networks)).toEqual(["back", "default"]);
    expect(project.volumes["data"]).toMatchObject({ name: "real", external: false });
    expect(project.secrets["pw"]?.from).toEqual({ kind: "environment", variable: "PW", value: "s3" });
    expect(web).toMatchObject({
      command: ["sh", "-c", "a b"],
      environment: { A: "1", B: null },
      ports: [
        { target: 80, published: "8080", host_ip: "127.0.0.1", protocol: "udp", mode: "ingress" },
        { target: 81, published: "8081", host_ip: "127.0.0.1", protocol: "udp", mode: "ingress" },
      ],
      volumes: [
        { type: "volume", source: "data", target: "/d", read_only: true, nocopy: false },
        { type: "bind", source: "/p/c", target: "/c", read_only: false, create_host_path: true },
        { type: "volume", target: "/anon" },
        { type: "tmpfs", target: "/t", size: 2 ** 20, mode: 0o755 },
      ],
      networks: { back: { aliases: ["w"], priority: 5 } },
      healthcheck: { test: { kind: "shell", command: "curl x" }, interval: 90_000, retries: 2, disable: false },
      depends_on: {
        db: { condition: "service_healthy", restart: false, required: true },
        cache: { condition: "service_started", restart: true, required: true, implicit: true },
      },
      scale: 2,
      restart: { policy: "on-failure", max_attempts: 3 },
      limits: { cpus: 0.5, mem_limit: 64 * 2 ** 20, pids: 10 },
      stop_grace_period: 1000,
      pull_policy: { kind: "every", interval: 7_200_000 },
      ulimits: { nofile: { soft: 10, hard: 10 }, nproc: { soft: 1, hard: 2 } },
      secrets: [{ source: "pw", target: "/run/secrets/pw" }],
      configs: [{ source: "c", target: "/etc/c", mode: 0o440 }],
      extensions: { "x-mine": { a: 1 } },
      attach: true,
    });
    expect(project.services["db"]).toMatchObject({
      healthcheck: { test: { kind: "none" }, disable: true },
      restart: { policy: "on-failure", max_attempts: 2 },
      networks: {},
    });
  });

  it("survives JSON, as it crosses a socket", async () => {
    const project = await projectOf(service("environment: {A: 1}\nports: [80]\nhealthcheck: {test: a, interval: 1s}"));
    expect(JSON.parse(JSON.stringify(project))).toEqual(project);
  });

  it("prefers stack.yaml to compose.yaml, and says what it does not read", async () => {
    const result = await loadText({ "stack.yaml": service("tty: true"), "compose.yaml": service("tty: false") });
    expect(result.ok && result.project.files).toEqual(["/p/stack.yaml"]);
    expect(result.diagnostics.map((d) => d.rule)).toEqual(["several-stack-files"]);
  });

  it("activates the profiles of services that are named", async () => {
    const text = "services:\n  a: {image: a}\n  b: {image: b, profiles: [p]}\n";
    expect(Object.keys((await projectOf(text)).services)).toEqual(["a"]);
    expect(Object.keys((await projectOf(text)).disabled_services)).toEqual(["b"]);
    expect(Object.keys((await projectOf(text, { services: ["b"] })).services)).toEqual(["a", "b"]);
  });

  it("reads standard input", async () => {
    const project = await projectOf({ x: "" }, { files: ["-"], stdin: async () => service("tty: true") });
    expect(project).toMatchObject({ files: [], working_dir: "/p", name: "p" });
  });

  it("takes names like __proto__ for names", async () => {
    const project = await projectOf(service("environment: {__proto__: a, constructor: b}\nlabels: {toString: c}"));
    expect(Object.entries(project.services["web"]?.environment ?? {})).toEqual([
      ["__proto__", "a"],
      ["constructor", "b"],
    ]);
    expect(({} as Record<string, unknown>)["a"]).toBeUndefined();
  });

  it("loads the same twice", async () => {
    const text = service("environment: {B: 1, A: 2}\nports: ['80:80', '443:443']\nlabels: [z=1, a=2]");
    expect(JSON.stringify(await projectOf(text))).toBe(JSON.stringify(await projectOf(text)));
  });
});
