import tseslint from "typescript-eslint";

/** Who may import whom: the table of ARCHITECTURE.md. A room is entered by its index.ts only. */
const rooms = {
  core: [],
  native: ["core"],
  model: ["core"],
  reconcile: ["core", "model"],
  runtime: ["core", "native"],
  images: ["core", "native"],
  network: ["core", "native"],
  volumes: ["core", "native"],
  health: ["core"],
  logs: ["core"],
  init: ["core"],
  engine: ["core", "model", "native", "reconcile", "runtime", "images", "network", "volumes", "health", "logs"],
  agent: ["core", "model", "native", "engine"],
  cli: ["core", "model", "native", "reconcile", "engine", "images", "logs", "init", "agent/client"],
};

const layering = Object.entries(rooms).map(([room, allowed]) => {
  const others = Object.keys(rooms).filter((r) => r !== room);
  const forbidden = others.filter((r) => !allowed.some((a) => a.split("/")[0] === r));
  const groups = [];
  if (forbidden.length > 0)
    groups.push({ regex: `^(\\.\\./)+(${forbidden.join("|")})/`, message: `${room} may not use this room` });
  groups.push({
    regex: `^(\\.\\./)+(${others.join("|")})/(?!index\\.ts$|client\\.ts$|client/index\\.ts$)`,
    message: "a room is entered by its index.ts only",
  });
  return {
    files: [`src/${room}/**/*.ts`],
    ignores: ["**/*.test.ts"],
    rules: { "@typescript-eslint/no-restricted-imports": ["error", { patterns: groups }] },
  };
});

export default tseslint.config(
  { ignores: ["dist/", "native/", "node_modules/", "coverage/", "**/*.js", "**/*.mjs", "**/*.cjs", "examples/", "src/model/generated/"] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-confusing-void-expression": "off",
      "@typescript-eslint/require-await": "off",
      // `using _x = …` is there for its end.
      "@typescript-eslint/no-unused-vars": ["error", { ignoreUsingDeclarations: true }],
      "no-console": "error",
      "no-restricted-properties": [
        "error",
        { object: "process", property: "exit", message: "only cli/main.ts sets the exit status" },
      ],
    },
  },
  ...layering,
  {
    files: ["**/*.test.ts", "test/**/*.ts"],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
      "no-console": "off",
    },
  },
);
