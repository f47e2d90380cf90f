// Counts POSTs, and keeps the count in a named volume.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";

const file = "/data/count";
let count = 0;
try {
  count = Number(readFileSync(file, "utf8"));
} catch (error) {
  if (error.code !== "ENOENT") throw error;
}

const server = createServer((request, response) => {
  if (request.method === "POST") {
    count += 1;
    writeFileSync(`${file}.new`, String(count));
    renameSync(`${file}.new`, file);
  }
  response.end(`${count}\n`);
});
server.listen(9000, () => console.log(`counter listens on 9000, at ${count}`));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
