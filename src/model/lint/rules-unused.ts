import { child, childItems, childMap, childString, stringOf } from "../tree.ts";
import type { MapNode } from "../tree.ts";
import type { LintInput, LintRule } from "./rule.ts";

/** What is there and does nothing. */
export const unusedRules: readonly LintRule[] = [
  {
    id: "unused-resource",
    level: "warning",
    summary: "a volume, network, config, secret or model at the top level that no service uses",
    why: "Mostly a name that was changed in one place and not in the other: the service uses something else than you think.",
    bad: "services:\n  web:\n    image: nginx:1.27\nvolumes:\n  data:\n",
    good: "services:\n  web:\n    image: nginx:1.27\n    volumes: [data:/data]\nvolumes:\n  data:\n",
    check: (input, tell) => {
      for (const [section, word] of SECTIONS) {
        const used = usedOf(input, section);
        for (const [name, node] of childMap(input.root, section)?.entries ?? []) {
          if (used.has(name) || (section === "networks" && name === "default")) continue;
          tell(node, { message: `No service uses the ${word} "${name}"`, hint: `Remove it, or name it in a service's \`${section}:\`.`, atKey: true });
        }
      }
    },
  },
  {
    id: "links",
    level: "warning",
    summary: "links",
    why: "They date from before networks had names: services of one network reach each other by service name, and a link adds an order of starting that nobody sees.",
    bad: "services:\n  web:\n    image: nginx:1.27\n    links: [app]\n  app:\n    image: ghcr.io/example/app:1\n",
    good: "services:\n  web:\n    image: nginx:1.27\n    depends_on:\n      app: {condition: service_started}\n  app:\n    image: ghcr.io/example/app:1\n",
    check: (input, tell) => {
      for (const { name, node } of input.services) {
        const links = node.entries.get("links");
        if (childItems(node, "links").length > 0 && links !== undefined)
          tell(links, { message: `Service "${name}" uses \`links\`, which are not needed: it reaches the others by name`, hint: "Use `depends_on` for the order, and `networks.NAME.aliases` for another name.", atKey: true });
      }
    },
  },
  {
    id: "container-name",
    level: "off",
    summary: "container_name",
    why: "The name is taken on the whole machine: no second replica, no second copy of the project beside the first.",
    bad: "services:\n  web:\n    image: nginx:1.27\n    container_name: web\n",
    good: "services:\n  web:\n    image: nginx:1.27\n",
    check: (input, tell) => {
      for (const { name, node } of input.services) {
        const own = node.entries.get("container_name");
        if (own !== undefined) tell(own, { message: `Service "${name}" can run only once on a machine`, hint: "Remove `container_name`; commands take the name of the service.", atKey: true });
      }
    },
  },
  {
    id: "memory-limit",
    level: "off",
    summary: "a service without a memory limit",
    why: "One that leaks takes the machine with it.",
    bad: "services:\n  web:\n    image: nginx:1.27\n",
    good: "services:\n  web:\n    image: nginx:1.27\n    mem_limit: 256m\n",
    check: (input, tell) => {
      for (const { name, node } of input.services) {
        const limit = child(child(child(child(node, "deploy"), "resources"), "limits"), "memory");
        if (!node.entries.has("mem_limit") && limit === undefined && !node.entries.has("provider"))
          tell(node, { message: `Service "${name}" may use all memory of the machine`, hint: "Add mem_limit.", atKey: true });
      }
    },
  },
];

const SECTIONS = [
  ["networks", "network"],
  ["volumes", "volume"],
  ["configs", "config"],
  ["secrets", "secret"],
  ["models", "model"],
] as const;

function usedOf(input: LintInput, section: (typeof SECTIONS)[number][0]): ReadonlySet<string> {
  return new Set(input.services.flatMap(({ node }) => usedBy(node, section)));
}

function usedBy(service: MapNode, section: (typeof SECTIONS)[number][0]): readonly string[] {
  const sources = (owner: MapNode | undefined, key: string): readonly string[] => childItems(owner, key).flatMap((m) => stringOf(child(m, "source")) ?? []);
  const keys = (key: string): readonly string[] => [...(childMap(service, key)?.entries.keys() ?? [])];
  switch (section) {
    case "networks":
    case "models":
      return keys(section);
    case "volumes":
      return childItems(service, "volumes").flatMap((m) => (childString(m, "type") === "volume" ? (childString(m, "source") ?? []) : []));
    case "configs":
      return [...sources(service, "configs"), ...(childString(childMap(service, "credential_spec"), "config") ?? "").split(" ")];
    case "secrets":
      return [...sources(service, "secrets"), ...sources(childMap(service, "build"), "secrets")];
  }
}
