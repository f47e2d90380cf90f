import { StackError } from "../../core/index.ts";
import { defineCommand } from "../command.ts";
import { runningContainer } from "../containers.ts";
import { integer, text } from "../flags.ts";
import { address, publishedPorts } from "../output/status.ts";
import { projectOrName } from "../project.ts";

export const command = defineCommand({
  name: "port",
  summary: "Print the public port for a port binding",
  positionals: ["<service>", "<private-port>"],
  usage: "[OPTIONS] SERVICE PRIVATE_PORT",
  flags: {
    index: integer("Index of the container if service has multiple replicas"),
    protocol: text("tcp or udp", { choices: ["tcp", "udp"] }),
  },
  async run(context, flags, [service = "", privatePort = ""]) {
    const [bare = "", suffix] = privatePort.split("/");
    const protocol = suffix ?? flags.protocol ?? "tcp";
    const port = Number(bare);
    if (!/^\d{1,5}$/.test(bare) || port > 65_535) throw new StackError("usage", `invalid port "${privatePort}"`, { hint: "A number from 1 to 65535." });
    const [target, engine] = await Promise.all([projectOrName(context, [service]), context.doors.engine()]);
    const container = await runningContainer(engine, target, service, flags.index);
    const ports = publishedPorts(container);
    const found = ports.find((p) => p.containerPort === port && p.protocol === protocol);
    if (found === undefined) {
      const known = [...new Set(ports.map((p) => `${p.containerPort}/${p.protocol}`))].join(", ");
      throw new StackError("usage", `no port ${port}/${protocol} for container ${container.name}: ${known === "" ? "it publishes none" : known}`);
    }
    await context.stdout.write(`${address(found.hostIp)}:${found.hostPort}\n`);
    return 0;
  },
});
