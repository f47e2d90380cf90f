import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NativeBinding } from "./binding.ts";
import { isNativeError } from "./failure.ts";
import { findAddon, loadNative } from "./load.ts";

const here = dirname(fileURLToPath(import.meta.url));
const built = findAddon(here) !== undefined;

/** A `Record` over the interface's keys does not compile with one missing or one too many. */
const members: Readonly<Record<keyof NativeBinding, "number" | "function">> = {
  abi: "number", spawn: "function", waitPidfd: "function", pipe: "function", closeOnExec: "function", lock: "function", lockWait: "function",
  isLocked: "function", close: "function", listenUnix: "function", connectUnix: "function", peerCredentials: "function",
  requestDescriptors: "function", socketPair: "function", sendDescriptors: "function", netlink: "function", createNetns: "function", removeNetns: "function", watchFilters: "function", signal: "function",
  unmount: "function", mount: "function", setxattr: "function", renameNoReplace: "function", syncfs: "function", removeTree: "function",
  terminalOutput: "function",
};

describe.skipIf(!built)("the addon", () => {
  let native: NativeBinding;
  let directory = "";
  beforeEach(() => {
    native = loadNative();
    directory = mkdtempSync(join(tmpdir(), "stack-addon-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it("has exactly the members of the interface", () => {
    const found = Object.fromEntries(Object.entries(native).map(([key, value]) => [key, typeof value]));
    expect(found).toEqual(members);
  });

  it("starts a process in a session of its own, with the given descriptors only, and tells how it ended", async () => {
    const [read, write] = native.pipe();
    const script = 'readlink /proc/$$/fd/0; ls /proc/$$/fd | tr "\\n" " "; echo; ps -o sid= -p $$ | tr -d " "; echo $$; echo $A; exit 7';
    const child = native.spawn({ file: "/bin/bash", argv: ["bash", "-c", script], env: ["A=b", "PATH=/usr/bin:/bin"], fds: [-1, write, -1] });
    native.close(write);
    const chunks: Buffer[] = [];
    const socket = new Socket({ fd: read, readable: true, writable: false });
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    const [stdin, fds, sid, pid, variable] = Buffer.concat(chunks).toString().split("\n");
    expect(stdin).toBe("/dev/null");
    expect(fds?.trim().split(" ").slice(0, 3)).toEqual(["0", "1", "2"]);
    expect(fds?.trim().split(" ").filter((fd) => Number(fd) > 2 && fd !== "255")).toEqual([]);
    expect(sid).toBe(pid);
    expect(Number(pid)).toBe(child.pid);
    expect(variable).toBe("b");
    expect(await native.waitPidfd(child.pidfd)).toEqual({ exitCode: 7, signal: 0 });
    native.close(child.pidfd);
  });

  it("says which file could not be started", () => {
    const error = thrown(() => native.spawn({ file: "/no/such", argv: ["x"], env: [], fds: [-1, -1, -1] }));
    expect(error).toMatchObject({ call: "posix_spawn", code: "ENOENT", path: "/no/such", stage: "spawn" });
  });

  it("reports the signal that ended a process, and never signals another with the same number", async () => {
    const child = native.spawn({ file: "/bin/sleep", argv: ["sleep", "60"], env: [], fds: [-1, -1, -1] });
    const start = Number(readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]?.split(" ")[19]);
    const end = native.waitPidfd(child.pidfd);
    expect(native.signal(child.pid, start + 1, 9)).toBe(false);
    expect(native.signal(child.pid, start, 9)).toBe(true);
    expect(await end).toEqual({ exitCode: 137, signal: 9 });
    expect(native.signal(child.pid, start, 9)).toBe(false);
    native.close(child.pidfd);
  });

  it("locks: one exclusive holder, waiting and giving up", async () => {
    const path = join(directory, "lock");
    expect(native.isLocked(path)).toBe(false);
    expect(existsSync(path)).toBe(false);
    const held = native.lock(path, "exclusive", false);
    expect(held).toBeGreaterThan(2);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(native.lock(path, "shared", false)).toBe(-1);
    expect(native.isLocked(path)).toBe(true);
    const given = native.lockWait(path, "exclusive");
    const waiting = native.lockWait(path, "exclusive");
    given.cancel();
    await expect(given.promise).rejects.toMatchObject({ code: "EINTR", path });
    native.close(held);
    const second = await waiting.promise;
    expect(native.isLocked(path)).toBe(true);
    native.close(second);
    expect(native.isLocked(path)).toBe(false);
  });

  it("listens with 0600 from birth, on paths longer than sun_path, and knows the peer", async () => {
    mkdirSync(join(directory, "d".repeat(120)));
    const path = join(directory, "d".repeat(120), "s");
    const fd = native.listenUnix(path, 8);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const server = createServer();
    const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
    server.listen({ fd });
    const client = native.connectUnix(path);
    expect(native.peerCredentials(client)).toMatchObject({ pid: process.pid, uid: process.getuid?.() });
    const socket = new Socket({ fd: client });
    socket.end("hello");
    const peer = await accepted;
    const chunks: Buffer[] = [];
    for await (const chunk of peer) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe("hello");
    server.close();
    const error = thrown(() => native.connectUnix(join(directory, "none")));
    expect(error).toMatchObject({ code: "ENOENT", call: "connect" });
  });

  it("asks a monitor's socket, and gives up when it closes without an answer", async () => {
    const path = join(directory, "sock");
    const server = createServer((socket) => socket.once("data", (line) => (line.toString().includes("no") ? socket.destroy() : socket.end(`{"got":${line.length}}\n`))));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    expect(await native.requestDescriptors(path, '{"op":"x"}')).toEqual({ reply: '{"got":11}', fds: [] });
    await expect(native.requestDescriptors(path, "no")).rejects.toMatchObject({ stage: "ask monitor", path });
    server.close();
  });

  it("renames without replacing", () => {
    native.close(native.lock(join(directory, "a"), "shared", false));
    native.close(native.lock(join(directory, "b"), "shared", false));
    expect(native.renameNoReplace(join(directory, "a"), join(directory, "b"))).toBe(false);
    expect(native.renameNoReplace(join(directory, "a"), join(directory, "c"))).toBe(true);
    expect(thrown(() => native.renameNoReplace(join(directory, "a"), join(directory, "d")))).toMatchObject({ code: "ENOENT" });
  });

  it("refuses arguments of the wrong type instead of crashing", async () => {
    const loose = native as unknown as Readonly<Record<string, (...args: unknown[]) => unknown>>;
    for (const [name, args] of [
      ["spawn", []], ["spawn", [{ file: 1 }]], ["lock", [1]], ["lock", ["/x", "both"]], ["close", ["3"]], ["close", [-1]],
      ["netlink", ["", [{ op: "no-such" }]]], ["netlink", ["", [1]]], ["netlink", ["", "x"]], ["signal", [0, 0, 9]],
      ["connectUnix", ["a\0b"]], ["netlink", ["", [{ op: "nft", commands: [{ cmd: "add-rule", family: "inet", table: "t", chain: "c", expressions: [{ kind: "meta" }] }] }]]],
    ] as const)
      expect(() => loose[name]?.(...args), `${name}(${JSON.stringify(args)})`).toThrow(TypeError);
    await expect(native.netlink(join(directory, "none"), [])).rejects.toMatchObject({ code: "ENOENT" });
    await expect(native.netlink("/proc/self/ns/uts", [])).rejects.toMatchObject({ code: "EINVAL" });
  });
});

function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    if (!isNativeError(error)) throw error;
    return error;
  }
  throw new Error("nothing was thrown");
}
