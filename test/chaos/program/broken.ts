/** One place of the sources, and what it is made to say in a program that has to be found out. */
export interface Breakage {
  readonly language: "TypeScript" | "C++";
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Mistakes that were made, or nearly: a test shows that the checker finds each within a few rounds. */
export const breakages: Readonly<Record<string, Breakage>> = {
  "leaves a half-made container": {
    language: "TypeScript",
    file: "src/runtime/containers.ts",
    from: "    await this.#reserved.discard();\n",
    to: "",
  },
  "forgets what writers that were killed have left": {
    language: "TypeScript",
    file: "src/core/atomic-file.ts",
    from: "  for (const name of namesIn(directory)) if (halfWritten.test(name)) rmSync(join(directory, name), { force: true });\n",
    to: "  void directory;\n",
  },
  "leaves the control groups of a killed monitor": {
    language: "TypeScript",
    file: "src/runtime/containers.ts",
    from: "    if (path !== undefined) await removeCgroups(path, mounts);\n",
    to: "",
  },
  "takes no container over": {
    language: "TypeScript",
    file: "src/engine/hub.ts",
    from: "    if (starting || processLives(state)) {\n",
    to: "    if (processLives(state) && state.pid < 0) {\n",
  },
  "writes the state in place": {
    language: "C++",
    file: "native/runtime/monitor_record.cc",
    from: 'fresh = name + ".new";',
    to: "fresh = name;",
  },
};
