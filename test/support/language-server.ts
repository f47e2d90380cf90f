/** The YAML language server that editors start, spoken to as they do: JSON-RPC over its standard input and output. */
import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { repository } from "./machine.ts";

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

export interface Problem {
  readonly message: string;
  readonly range: { readonly start: { readonly line: number; readonly character: number } };
}

export class LanguageServer implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<void>;
  readonly #waiting = new Map<number, (message: Message) => void>();
  readonly #problems = new Map<string, (problems: readonly Problem[]) => void>();
  #received = Buffer.alloc(0);
  #next = 1;

  private constructor() {
    this.#child = spawn(process.execPath, [join(repository, "node_modules/yaml-language-server/bin/yaml-language-server"), "--stdio"], { stdio: "pipe" });
    this.#ended = new Promise((resolve) => this.#child.on("close", () => resolve()));
    this.#child.stdout.on("data", (part: Buffer) => this.#take(part));
    this.#child.stdin.on("error", () => undefined);
  }

  static async start(): Promise<LanguageServer> {
    const server = new LanguageServer();
    await server.#request("initialize", {
      processId: process.pid,
      rootUri: pathToFileURL(repository).href,
      capabilities: { textDocument: { completion: { completionItem: { snippetSupport: false } }, hover: { contentFormat: ["markdown"] } }, workspace: { configuration: true } },
    });
    server.#send({ method: "initialized", params: {} });
    return server;
  }

  /** Opens a text as if it were this file of the repository; answers what the server finds wrong. */
  async open(file: string, text: string): Promise<{ readonly uri: string; readonly problems: readonly Problem[] }> {
    const uri = pathToFileURL(join(repository, file)).href;
    const found = new Promise<readonly Problem[]>((resolve) => this.#problems.set(uri, resolve));
    this.#send({ method: "textDocument/didOpen", params: { textDocument: { uri, languageId: "yaml", version: 1, text } } });
    const problems = await found;
    return { uri, problems };
  }

  /** Labels that are offered at a place, from 0. */
  async complete(uri: string, line: number, character: number): Promise<readonly string[]> {
    const result = await this.#request("textDocument/completion", { textDocument: { uri }, position: { line, character } });
    const items = (result as { readonly items?: readonly { readonly label: string }[] } | null)?.items ?? [];
    return items.map((item) => item.label);
  }

  async hover(uri: string, line: number, character: number): Promise<string> {
    const result = await this.#request("textDocument/hover", { textDocument: { uri }, position: { line, character } });
    return JSON.stringify((result as { readonly contents?: unknown } | null)?.contents ?? "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  #request(method: string, params: unknown): Promise<unknown> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (message) => (message.error === undefined ? resolve(message.result) : reject(new Error(`${method}: ${message.error.message}`))));
      this.#send({ id, method, params });
    });
  }

  #send(message: Message): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#child.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  }

  #take(part: Buffer): void {
    this.#received = Buffer.concat([this.#received, part]);
    for (;;) {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end === -1) return;
      const length = Number(/Content-Length: (\d+)/i.exec(this.#received.subarray(0, end).toString())?.[1]);
      if (this.#received.length < end + 4 + length) return;
      const message = JSON.parse(this.#received.subarray(end + 4, end + 4 + length).toString()) as Message;
      this.#received = this.#received.subarray(end + 4 + length);
      this.#handle(message);
    }
  }

  #handle(message: Message): void {
    if (message.method === undefined) {
      if (message.id !== undefined) this.#waiting.get(message.id)?.(message);
      return;
    }
    if (message.method === "textDocument/publishDiagnostics") {
      const { uri, diagnostics } = message.params as { readonly uri: string; readonly diagnostics: readonly Problem[] };
      this.#problems.get(uri)?.(diagnostics);
    }
    if (message.id === undefined) return;
    // The editor's settings: no catalogue of schemas is fetched from anywhere.
    const settings = { validate: true, hover: true, completion: true, schemaStore: { enable: false } };
    const items = (message.params as { readonly items?: readonly { readonly section?: string }[] } | undefined)?.items ?? [];
    this.#send({ id: message.id, result: message.method === "workspace/configuration" ? items.map(({ section }) => (section === "yaml" ? settings : null)) : null });
  }
}
