// Lives inside the network namespace of a test machine, and talks there for the test. Ends with its parent.
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { request as httpRequest } from "node:http";
import { connect, createServer } from "node:net";

execFileSync("ip", ["link", "set", "lo", "up"]);

const actions = {
  /** One HTTP request on a fresh connection. */
  http({ url, method = "GET", body, headers = {}, timeoutMs = 10_000 }) {
    return new Promise((resolve, reject) => {
      const request = httpRequest(url, { method, headers, agent: false, timeout: timeoutMs }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part) => (text += part));
        response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: text }));
        response.on("error", reject);
      });
      request.on("timeout", () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)));
      request.on("error", reject);
      request.end(body);
    });
  },
  /** Connects, sends, and returns what came until the end or until `enough` bytes. */
  tcp({ host = "127.0.0.1", port, send = "", enough = Infinity, timeoutMs = 10_000 }) {
    return new Promise((resolve, reject) => {
      let text = "";
      const socket = connect({ host, port, timeout: timeoutMs }, () => socket.write(send));
      socket.setEncoding("utf8");
      const done = () => (socket.destroy(), resolve(text));
      socket.on("data", (part) => (text += part).length >= enough && done());
      socket.on("end", done);
      socket.on("timeout", () => socket.destroy(new Error(`${host}:${port} said nothing more within ${timeoutMs} ms, only ${JSON.stringify(text)}`)));
      socket.on("error", reject);
    });
  },
  udp({ host = "127.0.0.1", port, send, timeoutMs = 5_000 }) {
    return new Promise((resolve, reject) => {
      const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
      const timer = setTimeout(() => (socket.close(), reject(new Error(`${host}:${port}/udp did not answer`))), timeoutMs);
      socket.on("message", (message, from) => (clearTimeout(timer), socket.close(), resolve({ text: message.toString(), from: from.address })));
      socket.on("error", (error) => (clearTimeout(timer), socket.close(), reject(error)));
      socket.send(send, port, host);
    });
  },
  listeners: new Map(),
  /** Takes a port, as some other program of the machine would. */
  listen({ host = "0.0.0.0", port, answer = "" }) {
    return new Promise((resolve, reject) => {
      const server = createServer((socket) => socket.on("error", () => {}).end(`${answer}${socket.remoteAddress}`));
      server.on("error", reject);
      server.listen(port, host, () => {
        actions.listeners.set(server.address().port, server);
        resolve(server.address().port);
      });
    });
  },
  unlisten({ port }) {
    return new Promise((resolve) => actions.listeners.get(port).close(() => resolve(null)));
  },
};

process.on("message", async ({ id, action, args }) => {
  try {
    process.send({ id, value: await actions[action](args) });
  } catch (error) {
    process.send({ id, error: error.message, code: error.code });
  }
});
process.on("disconnect", () => process.exit(0));
process.send({ id: 0, value: "ready" });
