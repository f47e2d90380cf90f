import { describe, expect, test } from "vitest";
import { StackError } from "../core/index.ts";
import { candidates } from "./commands/completion.ts";
import { fakeContainer, fakeContext, fakeProject } from "./fake-context.ts";
import type { FakeContext, FakeRooms } from "./fake-context.ts";
import { longName } from "./flags.ts";
import { globalFlags } from "./globals.ts";
import { Failures, reportError } from "./errors.ts";
import { ModelError } from "./project.ts";
import { runProgram } from "./program.ts";
import { commands, findCommand } from "./registry.ts";

/** What `docker compose COMMAND --help` lists (2.40). */
const composeFlags: Readonly<Record<string, string>> = {
  attach: "--detach-keys --index --no-stdin --sig-proxy",
  config:
    "--environment --format --hash --images --lock-image-digests --models --networks --no-consistency --no-env-resolution --no-interpolate --no-normalize --no-path-resolution -o --output --profiles -q --quiet --resolve-image-digests --services --variables --volumes",
  create: "--build --force-recreate --no-build --no-recreate --pull --quiet-pull --remove-orphans --scale -y --yes",
  down: "--remove-orphans --rmi -t --timeout -v --volumes",
  events: "--json --since --until",
  exec: "-d --detach -e --env --index -T --no-tty --privileged -u --user -w --workdir",
  images: "--format -q --quiet",
  kill: "--remove-orphans -s --signal",
  logs: "-f --follow --index --no-color --no-log-prefix --since -n --tail -t --timestamps --until",
  ls: "-a --all --filter --format -q --quiet",
  pause: "",
  port: "--index --protocol",
  ps: "-a --all --filter --format --no-trunc --orphans -q --quiet --services --status",
  pull: "--ignore-buildable --ignore-pull-failures --include-deps --policy -q --quiet",
  restart: "--no-deps -t --timeout",
  rm: "-f --force -s --stop -v --volumes",
  run: "--build --cap-add --cap-drop -d --detach --entrypoint -e --env --env-from-file -i --interactive -l --label --name -T --no-TTY --no-deps -p --publish --pull -q --quiet --quiet-build --quiet-pull --remove-orphans --rm -P --service-ports --use-aliases -u --user -v --volume -w --workdir",
  scale: "--no-deps",
  start: "--wait --wait-timeout",
  stats: "-a --all --format --no-stream --no-trunc",
  stop: "-t --timeout",
  top: "",
  unpause: "",
  up: "--abort-on-container-exit --abort-on-container-failure --always-recreate-deps --attach --attach-dependencies --build -d --detach --exit-code-from --force-recreate --menu --no-attach --no-build --no-color --no-deps --no-log-prefix --no-recreate --no-start --pull --quiet-build --quiet-pull --remove-orphans -V --renew-anon-volumes --scale -t --timeout --timestamps --wait --wait-timeout -w --watch -y --yes",
  version: "-f --format --short",
  volumes: "--format -q --quiet",
  wait: "--down-project",
};

describe("every command", () => {
  test.each(commands.map((c) => [c.name] as const))("%s has its name, its summary and a help that names each flag", async (name) => {
    const entry = findCommand(name)!;
    const { command } = await entry.load();
    expect(command.name).toBe(name);
    const help = command.help();
    expect(help).toContain(`Usage:  stack ${name}`);
    for (const [key, flag] of Object.entries(command.flags)) if (flag.hidden !== true) expect(help).toContain(`--${longName(key, flag)}`);
    expect(Math.max(...help.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  test.each(Object.entries(composeFlags))("%s has the flags of Docker Compose", async (name, flags) => {
    const { command } = await findCommand(name)!.load();
    const known = Object.entries(command.flags).flatMap(([key, flag]) => [`--${longName(key, flag)}`, ...(flag.aliases ?? []).map((a) => `--${a}`), ...(flag.short === undefined ? [] : [`-${flag.short}`])]);
    expect(known).toEqual(expect.arrayContaining([...flags.split(" ").filter((f) => f !== ""), "--dry-run"]));
  });

  test("the flags before the command are Docker Compose's", () => {
    const known = Object.entries(globalFlags).map(([key, flag]) => `--${longName(key, flag)}`);
    expect(known).toEqual(expect.arrayContaining("--all-resources --ansi --compatibility --dry-run --env-file --file --parallel --profile --progress --project-directory --project-name".split(" ")));
  });
});

async function stack(argv: readonly string[], rooms: FakeRooms = {}): Promise<{ status: number; context: FakeContext }> {
  const context = fakeContext(rooms);
  let latest = context;
  const status = await runProgram(argv, (globals) => (latest = { ...context, globals }));
  return { status, context: latest };
}

describe("the way to a command", () => {
  test("without words the help is shown, and it lists every command", async () => {
    const { status, context } = await stack([]);
    expect(status).toBe(0);
    for (const { name } of commands) expect(context.out.text).toContain(`  ${name} `);
  });

  test.each([[["help", "up"]], [["up", "--help"]], [["up", "-h"]], [["--help", "up"]]])("%j shows the command's help", async (argv) => {
    expect((await stack(argv)).context.out.text).toContain("Usage:  stack up");
  });

  test("flags before the command and variables of the environment set the scene", async () => {
    const { context } = await stack(["-f", "a.yaml", "--file=b.yaml", "-p", "x", "--profile", "dev", "--progress", "plain", "version"], { env: { COMPOSE_ANSI: "never", COMPOSE_PROJECT_NAME: "y", COMPOSE_PARALLEL_LIMIT: "3" } });
    expect(context.globals).toMatchObject({ files: ["a.yaml", "b.yaml"], projectName: "x", profiles: ["dev"], progress: "plain", ansi: "never", parallel: 3 });
  });

  test.each<[readonly string[], Partial<StackError>]>([
    [["upp"], { code: "usage", message: 'unknown command: "upp"', hint: "Did you mean `stack up`?" }],
    [["build"], { code: "unsupported" }],
    [["--progress", "fast", "ps"], { code: "usage" }],
    [["--compatibility", "ps"], { code: "unsupported" }],
    [["--all-resources", "ps"], { code: "unsupported" }],
    [["up", "-d", "--abort-on-container-exit"], { message: "--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, --attach-dependencies or --watch" }],
    [["up", "-d", "--exit-code-from", "web"], { code: "usage" }],
    [["up", "--wait", "--attach", "web"], { code: "usage" }],
    [["up", "--force-recreate", "--no-recreate"], { message: "--force-recreate and --no-recreate are incompatible" }],
    [["up", "-V", "--no-recreate"], { code: "usage" }],
    [["up", "--build", "--no-build"], { code: "usage" }],
    [["up", "--build"], { code: "unsupported" }],
    [["up", "--scale", "web"], { message: 'invalid --scale option "web". Should be SERVICE=NUM' }],
    [["up", "--pull", "often"], { code: "usage" }],
    [["scale", "web=-1"], { code: "usage" }],
    [["down", "--rmi", "some"], { code: "usage" }],
    [["kill", "-s", "FOO"], { message: 'invalid signal "FOO"' }],
    [["logs", "--since", "yesterday"], { message: 'invalid --since "yesterday"' }],
    [["ps", "--filter", "name=x"], { message: "unknown filter name" }],
    [["ps", "nope"], { code: "no-such-service", message: "no such service: nope" }],
    [["port", "web", "http"], { message: 'invalid port "http"' }],
    [["-p", "Bad Name", "ps"], { message: 'invalid project name "Bad Name"' }],
    [["wait", "web"], { code: "no-such-container" }],
    [["exec", "web", "true"], { code: "container-not-running" }],
  ])("%j is refused with one clear message", async (argv, error) => {
    await expect(stack(argv)).rejects.toMatchObject(error);
  });

  test("a project name and no file: no file is read", async () => {
    const { context } = await stack(["-p", "shop", "ps"], { load: () => Promise.reject(new Error("read")), containers: [fakeContainer({ service: "web" })] });
    expect(context.out.text).toContain("shop-web-1");
  });

  test("a dry run shows the plan and starts no agent", async () => {
    const plan = { version: 1, operations: [{ id: "start-container shop-web-1", kind: "start-container", name: "shop-web-1", service: "web", cause: "stopped", after: [] }], warnings: [], questions: [] } as const;
    const { context } = await stack(["--dry-run", "up", "-d"], { engine: { plan: () => Promise.resolve(plan) } });
    expect(context.out.text).toContain("start-container shop-web-1");
  });
});

describe("lists", () => {
  const containers = [
    fakeContainer({ service: "web", number: 2, ports: [{ hostIp: "", hostPort: 8080, containerPort: 80, protocol: "tcp" }] }),
    fakeContainer({ service: "web", number: 1, health: "healthy" }),
    fakeContainer({ service: "job", status: "exited", exitCode: 3, finishedAt: "2026-01-01T00:59:58Z" }),
    fakeContainer({ service: "gone", status: "running" }),
  ];
  const rooms: FakeRooms = { containers, project: fakeProject(["web", "job", "db"]) };
  const lines = async (...argv: string[]): Promise<string[]> => (await stack(argv, rooms)).context.out.text.trimEnd().split("\n");

  test("ps shows what runs, with Docker Compose's columns", async () => {
    expect(await lines("ps")).toEqual([
      "NAME          IMAGE     COMMAND                  SERVICE   CREATED             STATUS                   PORTS",
      `shop-gone-1   nginx:1   "nginx -g 'daemon of…"   gone      About an hour ago   Up 3 minutes             `,
      `shop-web-1    nginx:1   "nginx -g 'daemon of…"   web       About an hour ago   Up 3 minutes (healthy)   `,
      `shop-web-2    nginx:1   "nginx -g 'daemon of…"   web       About an hour ago   Up 3 minutes             0.0.0.0:8080->80/tcp, [::]:8080->80/tcp`,
    ]);
  });

  test("ps can be asked for all, for one state, for services, for what the file declares", async () => {
    expect(await lines("ps", "-a", "--format", "{{.Name}}")).toEqual(["shop-gone-1", "shop-job-1", "shop-web-1", "shop-web-2"]);
    expect(await lines("ps", "--status", "exited", "--format", "{{.Name}} {{.ExitCode}}")).toEqual(["shop-job-1 3"]);
    expect(await lines("ps", "--filter", "status=running", "--services")).toEqual(["gone", "web"]);
    expect(await lines("ps", "--orphans=false", "--services")).toEqual(["web"]);
    expect(await lines("ps", "web", "-q")).toHaveLength(2);
  });

  test("ps --format json is one object a line", async () => {
    const objects = (await lines("ps", "--format", "json")).map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(objects.map((o) => [o["Service"], o["State"], o["Health"]])).toEqual([
      ["gone", "running", ""],
      ["web", "running", "healthy"],
      ["web", "running", ""],
    ]);
    expect(objects[2]!["Publishers"]).toEqual([
      { URL: "0.0.0.0", TargetPort: 80, PublishedPort: 8080, Protocol: "tcp" },
      { URL: "::", TargetPort: 80, PublishedPort: 8080, Protocol: "tcp" },
    ]);
  });

  test("port prints the address of the chosen replica", async () => {
    expect(await lines("port", "--index", "2", "web", "80")).toEqual(["0.0.0.0:8080"]);
    await expect(lines("port", "web", "80")).rejects.toThrow("no port 80/tcp for container shop-web-1: it publishes none");
  });
});

describe("completion", () => {
  const services = (): Promise<readonly string[]> => Promise.resolve(["web", "db"]);
  test.each<[readonly string[], readonly string[]]>([
    [["lo"], ["load", "logs"]],
    [["logs", ""], ["web", "db"]],
    [["logs", "--fo"], ["--follow"]],
    [["-f", "x", "up", "--force"], ["--force-recreate"]],
    [["--proj"], ["--project-name", "--project-directory"]],
  ])("%j", async (words, expected) => {
    expect((await candidates(words, services)).filter((w) => w.startsWith(words.at(-1)!))).toEqual(expected);
  });
});

describe("errors", () => {
  test("are one block: what, why, what to do; the status is the code's", async () => {
    const context = fakeContext();
    const error = new StackError("command-not-found", "no such command", { hint: "look", cause: new Error("ENOENT") });
    expect(await reportError(error, context.err, context)).toBe(127);
    expect(context.err.text).toBe("error: no such command\n  because: ENOENT\n  hint: look\n");
  });

  test("several failures are all shown; with --progress json as objects", async () => {
    const context = fakeContext({ globals: { progress: "json" } });
    const failures = new Failures([
      { code: "port-taken", message: "a", exitStatus: 1 },
      { code: "no-space", message: "b", exitStatus: 1 },
    ]);
    expect(await reportError(failures, context.err, context)).toBe(1);
    expect(context.err.text.trim().split("\n").map((l) => (JSON.parse(l) as { error: { message: string } }).error.message)).toEqual(["a", "b"]);
  });

  test("the diagnostics of a stack file are shown with their lines", async () => {
    const context = fakeContext();
    const place = { file: "/srv/shop/compose.yaml", line: 2, column: 3, length: 4, text: "  imgae: x" };
    const error = new ModelError([{ severity: "error", rule: "unknown-key", message: "unknown key `imgae`", place, related: [], hint: "Did you mean `image`?" }]);
    expect(await reportError(error, context.err, context)).toBe(1);
    expect(context.err.text).toContain("/srv/shop/compose.yaml:2:3");
  });

  test("what is no error of ours is told with its message", async () => {
    const context = fakeContext();
    expect(await reportError(new TypeError("x is not a function"), context.err, context)).toBe(1);
    expect(context.err.text).toContain("x is not a function");
  });
});
