// Says what it may and may not do, so that one request shows whether the restrictions hold.
const fs = require("fs");
const http = require("http");
const os = require("os");

function attempt(action) {
  try {
    action();
    return "yes";
  } catch (error) {
    return error.code;
  }
}

const server = http.createServer((request, response) => {
  response.setHeader("content-type", "application/json");
  response.end(
    JSON.stringify({
      greeting: process.env.GREETING,
      hostname: os.hostname(),
      uid: process.getuid(),
      writesRoot: attempt(() => fs.writeFileSync("/usr/src/app/x", "")),
      writesTmp: attempt(() => fs.writeFileSync("/tmp/x", "")),
      capabilities: /CapEff:\s*(\S+)/.exec(fs.readFileSync("/proc/self/status", "utf8"))[1],
      noNewPrivileges: /NoNewPrivs:\s*(\S+)/.exec(fs.readFileSync("/proc/self/status", "utf8"))[1],
      openFiles: /Max open files\s+(\d+)\s+(\d+)/.exec(fs.readFileSync("/proc/self/limits", "utf8")).slice(1, 3),
    }) + "\n",
  );
});
server.listen(3000, () => console.log("listening"));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
