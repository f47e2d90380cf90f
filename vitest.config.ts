import { defineConfig } from "vitest/config";

// faults: every system call of the native part made to fail in turn, with every error: some minutes; not part of `npm test`.
// firewalls: beside a real Docker Engine, ufw and firewalld, which it installs; not part of `npm test`.
// vm: on an emulated machine with cgroups of version 2 alone; not part of `npm test`.
// unit: beside the code, parallel, no root, seconds. integration: root, real kernel. e2e: the real command, one file at a time.
// chaos: a program with numbered steps, at which it is killed; the short version.
export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["src/**/*.test.ts"], testTimeout: 10_000 } },
      {
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      { test: { name: "vm", include: ["test/vm/**/*.test.ts"] } },
      {
        test: {
          name: "chaos",
          include: ["test/chaos/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "faults",
          include: ["test/faults/**/*.test.ts"],
          testTimeout: 3_600_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "firewalls",
          include: ["test/firewalls/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
