// The front: a page with a number that another service keeps.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { hostname } from "node:os";

const server = createServer(async (request, response) => {
  try {
    if (request.url === "/health") return response.end("ok\n");
    if (request.url !== "/") return response.writeHead(404).end("not found\n");
    const page = await readFile(new URL("page.txt", import.meta.url), "utf8");
    const count = await fetch(process.env.COUNTER, { method: "POST" }).then((r) => r.text());
    response.end(`${page}Container ${hostname()}, visit number ${count}`);
    console.log(`GET / visit ${count.trim()}`);
  } catch (error) {
    console.error(error);
    response.writeHead(502).end(`the counter does not answer: ${error.cause?.message ?? error.message}\n`);
  }
});
server.listen(8080, () => console.log("web listens on 8080"));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
