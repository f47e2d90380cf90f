// Loaded first by the agent and the command of a program for chaos tests: every call by which they change something (files,
// the addon's calls, what they send) is a numbered step; at the step that the board asks for, the process dies, or the call
// fails. The counterpart of steps.cc; the shipped program knows nothing of it.
"use strict";
const fs = require("node:fs");
const net = require("node:net");
const Module = require("node:module");
const { join, basename } = require("node:path");

const ROLES = { cli: 1, agent: 2 };
const MODES = ["before", "after", "half", "fail"];

/** With the wrapped functions' originals, taken before they are wrapped. */
const real = { openSync: fs.openSync, readSync: fs.readSync, writeSync: fs.writeSync };

exports.install = (role) => {
  const root = process.env.STACK_ROOT;
  if (root === undefined) return;
  let board, trace;
  try {
    board = real.openSync(`${root}.board`, "r+");
    trace = real.openSync(`${root}.trace`, "a");
  } catch {
    return; // no board: an ordinary program
  }
  const head = Buffer.alloc(32);

  const plain = (path) =>
    String(path)
      .replace(`${root}/`, "")
      .replace(/\.[0-9a-z]{13,}$/, ".TMP")
      .replace(/(?=[a-f]*[0-9])[0-9a-f]{6,}/g, "*")
      .replace(/\d+/g, "#");

  const hashOf = (name) => {
    let hash = 2166136261;
    for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 16777619) >>> 0;
    return hash === 0 ? 1 : hash;
  };

  const die = () => {
    for (;;) process.kill(process.pid, "SIGKILL");
  };

  /** What is to happen at this step: undefined, or the mode. */
  const arrive = (call, what) => {
    const name = `${role} ${call}${what === undefined ? "" : ` ${plain(what)}`}`.slice(0, 87);
    real.writeSync(trace, `${name}\n`);
    real.readSync(board, head, 0, 32, 0);
    const armed = head.readUInt32LE(0);
    if (armed === 0 || head.readUInt32LE(4) !== ROLES[role]) return undefined;
    const hash = head.readUInt32LE(20);
    if (hash !== 0 && hash !== hashOf(name)) return undefined;
    const remaining = head.readInt32LE(16) - 1;
    const left = Buffer.alloc(4);
    left.writeInt32LE(remaining);
    real.writeSync(board, left, 0, 4, 16);
    if (remaining !== -1) return undefined;
    const claim = Buffer.alloc(104);
    claim.writeUInt32LE(process.pid, 0);
    claim.writeUInt32LE(armed, 4);
    claim.write(name, 8);
    real.writeSync(board, Buffer.alloc(4), 0, 4, 0);
    real.writeSync(board, claim, 0, claim.length, 24);
    const mode = MODES[head.readUInt32LE(8)];
    if (mode === "before") die();
    return { mode, errno: head.readUInt32LE(12) };
  };

  const failure = (errno, call, path) => {
    const code = Object.entries(require("node:os").constants.errno).find(([, value]) => value === errno)?.[0] ?? "EIO";
    return Object.assign(new Error(`${code}: made to fail, ${call} '${path}'`), { code, errno, syscall: call, path, stage: "chaos", call });
  };

  const halfOf = (data) => (typeof data === "string" ? data.slice(0, data.length / 2) : data?.subarray?.(0, data.length / 2));

  /** `dataAt`: the argument that is written. `pathAt`: the one that names the step. */
  const wrapSync = (object, call, pathAt = 0, dataAt = -1, wanted = () => true) => {
    const original = object[call];
    if (typeof original !== "function") throw new Error(`nothing to wrap: ${call}`);
    object[call] = function (...args) {
      if (!wanted(args)) return original.apply(this, args);
      const act = arrive(call, pathAt < 0 ? undefined : args[pathAt]);
      if (act === undefined) return original.apply(this, args);
      if (act.mode === "fail") throw failure(act.errno, call, args[pathAt]);
      if (act.mode === "half" && dataAt >= 0) args[dataAt] = halfOf(args[dataAt]);
      const result = original.apply(this, args);
      if (typeof result?.then !== "function") die();
      return result.finally(die);
    };
  };
  const wrapAsync = (object, call, pathAt = 0, dataAt = -1, wanted = () => true) => {
    const original = object[call];
    object[call] = async function (...args) {
      if (!wanted(args)) return original.apply(this, args);
      const act = arrive(call, pathAt < 0 ? undefined : args[pathAt]);
      if (act === undefined) return original.apply(this, args);
      if (act.mode === "fail") throw failure(act.errno, call, args[pathAt]);
      if (act.mode === "half" && dataAt >= 0) args[dataAt] = halfOf(args[dataAt]);
      try {
        return await original.apply(this, args);
      } finally {
        die();
      }
    };
  };

  const ours = (path) => typeof path === "string" && (path.startsWith(`${root}/`) || path.startsWith("/sys/fs/cgroup/"));
  const ourFirst = ([path]) => ours(path);
  const ourSecond = ([, path]) => ours(path);
  const writing = ([path, flags]) => ours(path) && flags !== undefined && flags !== "r" && flags !== 0;
  wrapSync(fs, "openSync", 0, -1, writing);
  wrapSync(fs, "writeFileSync", 0, 1, ourFirst);
  for (const call of ["mkdirSync", "rmSync", "rmdirSync", "unlinkSync", "truncateSync", "chmodSync"]) wrapSync(fs, call, 0, -1, ourFirst);
  for (const call of ["renameSync", "linkSync", "symlinkSync", "copyFileSync"]) wrapSync(fs, call, 1, -1, ourSecond);
  const files = fs.promises;
  wrapAsync(files, "open", 0, -1, writing);
  wrapAsync(files, "writeFile", 0, 1, ourFirst);
  for (const call of ["mkdir", "rm", "rmdir", "unlink", "truncate", "chmod"]) wrapAsync(files, call, 0, -1, ourFirst);
  for (const call of ["rename", "link", "symlink", "copyFile"]) wrapAsync(files, call, 1, -1, ourSecond);

  // A file that was opened by the above: its writes have no path of their own.
  const probe = fs.openSync("/dev/null", "r");
  fs.closeSync(probe);
  const handles = files.open;
  files.open = async (...args) => {
    const handle = await handles.apply(files, args);
    if (writing(args)) {
      const original = handle.writeFile.bind(handle);
      handle.writeFile = async (data, ...more) => {
        const act = arrive("FileHandle.writeFile", args[0]);
        if (act === undefined) return original(data, ...more);
        if (act.mode === "fail") throw failure(act.errno, "write", args[0]);
        await original(act.mode === "half" ? halfOf(data) : data, ...more);
        die();
      };
    }
    return handle;
  };

  const send = net.Socket.prototype.write;
  net.Socket.prototype.write = function (data, ...more) {
    const op = /"(?:op|method|event|type)":"?([a-z-]+)/.exec(String(data).slice(0, 200))?.[1] ?? "bytes";
    const act = arrive("send", op);
    if (act === undefined || act.mode === "fail") return send.call(this, data, ...more);
    send.call(this, act.mode === "half" ? halfOf(data) : data, ...more);
    return die();
  };

  const kill = process.kill;
  process.kill = (pid, signal) => {
    if (pid === process.pid || signal === 0) return kill.call(process, pid, signal);
    const act = arrive("kill");
    const result = kill.call(process, pid, signal);
    if (act !== undefined && act.mode !== "fail") die();
    return result;
  };

  /** The addon's functions, and the argument that names the step. */
  const native = {
    spawn: (args) => basename(args[0].file) + (args[0].argv?.includes("--adopt") ? " --adopt" : ` ${args[0].argv?.[1] ?? ""}`.replace(/ --\S+/, "")),
    lock: (args) => args[0],
    lockWait: (args) => args[0],
    close: () => "",
    listenUnix: (args) => args[0],
    connectUnix: (args) => args[0],
    requestDescriptors: (args) => args[0],
    netlink: (args) => `${args[0] === "" ? "host" : "router"} ${[...new Set(args[1].map((r) => r.op))].filter((op) => !/-list|-read/.test(op)).join("+")}`,
    createNetns: (args) => args[0],
    removeNetns: (args) => args[0],
    signal: () => "",
    unmount: (args) => args[0],
    mount: (args) => args[0].target,
    renameNoReplace: (args) => args[1],
    removeTree: (args) => args[0],
  };
  const load = Module._extensions[".node"];
  Module._extensions[".node"] = (module, file) => {
    load(module, file);
    const wrapped = { ...module.exports };
    for (const [call, name] of Object.entries(native)) {
      const original = wrapped[call];
      wrapped[call] = (...args) => {
        const what = name(args);
        if (what.endsWith(" ") && call === "netlink") return original(...args); // only looks
        const act = arrive(call, what);
        if (act === undefined) return original(...args);
        if (act.mode === "fail" && call !== "close") {
          const error = failure(act.errno, call, what);
          if (["netlink", "createNetns", "removeNetns", "removeTree", "requestDescriptors"].includes(call)) return Promise.reject(error);
          throw error;
        }
        const result = original(...args);
        if (act.mode === "fail") return result;
        if (typeof result?.then !== "function") die();
        return result.finally(die);
      };
    }
    module.exports = wrapped;
  };
  void join;
};
