import { describe, expect, test } from "vitest";
import { Docker, Firewalld, Ufw } from "../support/firewalls.ts";
import { useServed } from "../support/served.ts";
import { inMachine, machineAddress } from "../support/world.ts";

// Beside the real ones, in a network namespace of the test: `npm run test:firewalls` installs them. Their rules as they
// were recorded are part of the integration tests.

const served = useServed();

describe("beside a real Docker Engine", () => {
  test("in either order, and when it starts again, both work", async () => {
    const machine = served.machine;
    await using docker = new Docker(machine);
    await docker.start();
    machine.links.push("docker0");
    docker.image("box");
    docker.run("run", "-d", "--name", "theirs", "-p", "8099:80", "box", "/bin/busybox", "sh", "-c", "echo theirs > /bin/index.html; exec /bin/busybox httpd -f -p 80 -h /bin");
    const theirs = async (): Promise<string> => (await served.world.http(`http://${machineAddress}:8099/`)).body;
    await served.up();
    await served.worksBothWays("Docker was first");
    expect(await theirs()).toBe("theirs\n");
    inMachine(machine, ["iptables", "-F", "DOCKER-USER"]);
    await served.worksBothWays("somebody emptied DOCKER-USER");
    await machine.ok("down");
    expect(await theirs(), "Docker's own is as before").toBe("theirs\n");
    await docker[Symbol.asyncDispose]();

    for (const table of ["filter", "nat"]) inMachine(machine, ["sh", "-c", `nft delete table ip ${table}`]);
    await served.up();
    await served.worksBothWays("nobody filters");
    const dropping = async (): Promise<void> => {
      await docker.start();
      inMachine(machine, ["iptables", "-P", "FORWARD", "DROP"]); // as versions from 28 do; earlier ones only where nobody forwarded
    };
    await dropping();
    await served.worksBothWays("Docker came later");
    await docker[Symbol.asyncDispose]();
    await dropping();
    await served.worksBothWays("Docker started again");
  });
});

describe("beside ufw", () => {
  test("in either order, and after its reload, published ports and the way out work", async () => {
    const machine = served.machine;
    using ufw = new Ufw(machine);
    ufw.run("--force", "enable");
    expect(inMachine(machine, ["iptables", "-S", "FORWARD"])).toContain("-P FORWARD DROP");
    await served.up();
    await served.worksBothWays("ufw was first");
    ufw.run("reload");
    await served.worksBothWays("ufw was reloaded");
    ufw.run("disable");
    await served.worksBothWays("ufw was switched off");
    ufw.run("--force", "enable");
    await served.worksBothWays("ufw came later");
  });
});

describe("beside firewalld", () => {
  test("in either order, published ports and the way out work", async () => {
    const machine = served.machine;
    await using firewalld = new Firewalld(machine);
    await firewalld.start();
    await served.up();
    await served.worksBothWays("firewalld was first");
    await firewalld[Symbol.asyncDispose]();
    await served.worksBothWays("firewalld ended");
    await firewalld.start();
    await served.worksBothWays("firewalld came later");
  });
});
