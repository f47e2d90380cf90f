import { describe, expect, it } from "vitest";
import { cleanPath, processArgs, processCwd, processEnv } from "./command.ts";
import { image, refusal, service } from "./fixtures.ts";

describe("entrypoint and command combine as Docker combines them", () => {
  it.each([
    ["image alone", {}, ["/entry", "serve", "--all"]],
    ["a command keeps the entrypoint", { command: ["x"] }, ["/entry", "x"]],
    ["an entrypoint voids the image's command", { entrypoint: ["/e"] }, ["/e"]],
    ["both", { entrypoint: ["/e"], command: ["x"] }, ["/e", "x"]],
    ["an empty command takes the image's away", { command: [] }, ["/entry"]],
    ["null is as if not written", { command: null, entrypoint: null }, ["/entry", "serve", "--all"]],
    ["an empty entrypoint leaves the command alone", { entrypoint: [], command: ["x"] }, ["x"]],
  ] as const)("%s", (_, members, args) => {
    expect(processArgs(service(members), image)).toEqual(args);
  });

  it("refuses a container without any command", () => {
    expect(refusal(() => processArgs(service({ entrypoint: [] }), image))).toEqual(["command-not-found", 'Service "web" has no command: neither it nor its image names one']);
    expect(refusal(() => processArgs(service(), null))[0]).toBe("command-not-found");
  });
});

describe("the environment", () => {
  it("has PATH, then the image's, then the service's variables; the last value counts, null takes away", () => {
    expect(processEnv(service({ environment: { LANG: null, A: "1", PATH: "/p" } }), image, "h")).toEqual(["PATH=/p", "HOSTNAME=h", "A=1"]);
    expect(processEnv(service(), null, "h")).toEqual(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=h"]);
  });
  it("names a terminal type where there is a terminal", () => {
    expect(processEnv(service({ tty: true, environment: { TERM: "dumb" } }), null, "h")).toContain("TERM=dumb");
    expect(processEnv(service({ tty: true }), null, "h")).toContain("TERM=xterm");
  });
  it("keeps names like those of Object's own members", () => {
    expect(processEnv(service({ environment: { constructor: "a", toString: "b" } }), null, "h").slice(2)).toEqual(["constructor=a", "toString=b"]);
  });
});

it("starts in the service's directory, the image's, or the root", () => {
  expect(processCwd(service({ working_dir: "/srv/../x/" }), image)).toBe("/x");
  expect(processCwd(service(), image)).toBe("/app");
  expect(processCwd(service(), null)).toBe("/");
  expect(cleanPath("../../etc")).toBe("/etc");
});
