import { childString, isNull, stringOf } from "../tree.ts";
import type { Node } from "../tree.ts";
import { tagOf } from "./known-images.ts";
import type { LintInput, LintRule } from "./rule.ts";

/** Which image runs. */
export const imageRules: readonly LintRule[] = [
  {
    id: "image-tag",
    level: "warning",
    summary: "an image without a tag, or with the tag latest",
    why: "Which version runs depends on the day of the pull; nobody can go back to what ran yesterday.",
    bad: "services:\n  cache:\n    image: redis\n",
    good: "services:\n  cache:\n    image: redis:7.4\n",
    check: (input, tell) => {
      for (const { name, node, reference } of pulledImages(input)) {
        if (reference.includes("@")) continue;
        const tag = tagOf(reference);
        if (tag === undefined) tell(node, { message: `Service "${name}": the image ${reference} has no tag, so it is latest`, hint: `Name the version: ${reference}:1.2.` });
        else if (tag === "latest") tell(node, { message: `Service "${name}": the tag latest of ${reference} is another image tomorrow`, hint: "Name the version." });
      }
    },
  },
  {
    id: "image-digest",
    level: "off",
    summary: "an image without a digest",
    why: "A tag can be moved; a digest cannot. For those who deploy what they have tested, to the byte (`stack config --resolve-image-digests`).",
    bad: "services:\n  cache:\n    image: redis:7.4\n",
    good: `services:\n  cache:\n    image: redis:7.4@sha256:${"0123456789abcdef".repeat(4)}\n`,
    check: (input, tell) => {
      for (const { name, node, reference } of pulledImages(input))
        if (!reference.includes("@")) tell(node, { message: `Service "${name}": the image ${reference} has no digest`, hint: "`stack config --lock-image-digests` prints them." });
    },
  },
];

/** Images that come from a registry: not what this project builds. */
function pulledImages(input: LintInput): readonly { readonly name: string; readonly node: Node; readonly reference: string }[] {
  const built = new Set(input.services.flatMap((s) => (s.node.entries.has("build") ? (childString(s.node, "image") ?? []) : [])));
  return input.services.flatMap(({ name, node: service }) => {
    const node = service.entries.get("image");
    const reference = stringOf(node);
    if (node === undefined || isNull(node) || reference === undefined || reference === "" || built.has(reference)) return [];
    return [{ name, node, reference }];
  });
}
