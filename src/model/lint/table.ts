import type { LintRule } from "./rule.ts";
import { commandRules } from "./rules-commands.ts";
import { healthRules } from "./rules-health.ts";
import { imageRules } from "./rules-images.ts";
import { isolationRules } from "./rules-isolation.ts";
import { networkRules } from "./rules-network.ts";
import { portRules } from "./rules-ports.ts";
import { secretRules } from "./rules-secrets.ts";
import { storageRules } from "./rules-storage.ts";
import { unusedRules } from "./rules-unused.ts";
import { yamlRules } from "./rules-yaml.ts";

/** Every rule. A new one is one entry in its file, and `bad` and `good` are its test. */
export const LINT_RULES: readonly LintRule[] = [
  ...yamlRules,
  ...imageRules,
  ...portRules,
  ...networkRules,
  ...secretRules,
  ...healthRules,
  ...commandRules,
  ...storageRules,
  ...isolationRules,
  ...unusedRules,
];

/** What the loader itself warns of: no rules, but switched off and raised in the same way. Its errors stay errors. */
export const MODEL_WARNINGS: Readonly<Record<string, string>> = {
  "command-without-shell": "a command line that is cut at an operator, because no shell reads it",
  deprecated: "a form that has a newer one",
  "empty-source": "a bind mount without source, which mounts the directory of the project",
  "not-carried-out": "an attribute that is accepted and has no effect here",
  "obsolete-version": "version, which has no effect any more",
  "partly-carried-out": "an attribute that is not carried out as it is written",
  "refused-attribute": "an attribute with which the service will not start",
  "replaced-item": "an item that stands twice in a list, of which the later takes the place of the earlier",
  "several-stack-files": "a second stack file beside the one that is read",
  "unknown-mount-option": "an option of a volume that has no effect",
  "unknown-profile": "a profile that no service has",
  "unset-variable": "a variable that is not set and becomes an empty text",
  "yaml-1.1-boolean": "yes, no, on or off where true or false is expected",
  "yaml-tag": "a YAML tag that nobody knows",
};
