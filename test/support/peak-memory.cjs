// Preloaded into a command whose memory a test measures: at its end it says on descriptor 3 what its peak was, in KB.
"use strict";
const { readFileSync, writeSync } = require("node:fs");
process.on("exit", () => {
  const [, peak] = /^VmHWM:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  writeSync(3, String(peak));
});
