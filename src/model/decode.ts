import type { Report } from "./report.ts";
import type { Shape, StructShape } from "./shapes.ts";
import { define, formatNumber, formatPath, scalarText, toPlain } from "./tree.ts";
import type { MapNode, Node, Path, ScalarNode } from "./tree.ts";
import { formatDuration, parseBytes, parseDuration, splitCommand } from "./units.ts";

/** Where Docker Compose's integers end, too. */
const LARGEST_INTEGER = 2n ** 63n - 1n;

/**
 * Reads a canonical tree as plain data: every member in the form in which it is printed, in the order of its
 * shape, what is empty left out. What cannot be read is reported at its place and left out.
 */
export function decode(shape: Shape, node: Node, path: Path, report: Report): unknown {
  return new Decoder(report).decode(shape, node, path);
}

class Decoder {
  readonly #report: Report;

  constructor(report: Report) {
    this.#report = report;
  }

  decode(shape: Shape, node: Node, path: Path): unknown {
    if (node.kind === "scalar" && node.broken === true) return undefined;
    switch (shape.kind) {
      case "any":
        return sortKeys(node);
      case "struct":
        return node.kind === "map" ? this.#struct(shape, node, path) : undefined;
      case "list": {
        const items = itemsOf(node).map((item, i) => this.decode(shape.item, item, [...path, `[${i}]`]));
        const present = items.filter((v) => v !== undefined);
        return present.length === 0 ? undefined : present;
      }
      case "map":
        return this.#map(shape.value, shape.nullable === true, node, path);
      case "texts": {
        const values = itemsOf(node).map((item) => (item.kind === "scalar" ? scalarText(item) : ""));
        return values.length === 0 ? undefined : values;
      }
      case "pairs":
        return this.#pairs(node, shape.mode, path);
      case "hosts":
        return this.#hosts(node, path);
      case "multi-options":
        return multiOptions(node);
      case "command":
        return this.#command(node, path);
      case "health-test": {
        if (node.kind === "seq")
          return node.items.length === 0 ? undefined : itemsOf(node).map((i) => (i.kind === "scalar" ? scalarText(i) : ""));
        return node.kind === "scalar" && node.value !== null ? ["CMD-SHELL", scalarText(node)] : undefined;
      }
      case "env-file":
        return envFile(node);
      case "ssh":
        return node.kind === "map"
          ? sortedObject([...node.entries].map(([k, v]) => [k, v.kind === "scalar" ? scalarText(v) : ""]))
          : undefined;
      case "ulimit":
        return this.#ulimit(node, path);
      default:
        return node.kind === "scalar" && node.value !== null ? this.#scalar(shape, node, path) : undefined;
    }
  }

  #struct(shape: StructShape, node: MapNode, path: Path): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    for (const [name, field] of shape.fields) {
      const value = node.entries.get(name);
      if (value === undefined) continue;
      const decoded = this.decode(field, value, [...path, name]);
      if (decoded !== undefined) result[name] = decoded;
    }
    if (shape.extensible) {
      const names = [...node.entries.keys()].filter((k) => k.startsWith("x-")).sort(compareText);
      for (const name of names) {
        const value = node.entries.get(name);
        if (value !== undefined) define(result, name, sortKeys(value));
      }
    }
    return result;
  }

  #map(shape: Shape, nullable: boolean, node: Node, path: Path): Record<string, unknown> | undefined {
    if (node.kind !== "map" || node.entries.size === 0) return undefined;
    const entries: [string, unknown][] = [];
    for (const [key, value] of node.entries) {
      const decoded = this.decode(shape, value, [...path, key]);
      if (decoded !== undefined) entries.push([key, decoded]);
      else if (nullable) entries.push([key, null]);
    }
    return sortedObject(entries);
  }

  #pairs(node: Node, mode: "variables" | "plain", path: Path): Record<string, string | null> | undefined {
    const entries = new Map<string, string | null>();
    if (node.kind === "map") {
      for (const [key, value] of node.entries) {
        if (value.kind !== "scalar") continue;
        entries.set(key, value.value === null ? (mode === "variables" ? null : "") : scalarText(value));
      }
    } else {
      for (const item of itemsOf(node)) {
        const entry = item.kind === "scalar" ? scalarText(item) : "";
        const equals = entry.indexOf("=");
        const key = equals === -1 ? entry : entry.slice(0, equals);
        if (mode === "variables" && /\s$/.test(key)) {
          this.#bad(
            item,
            path,
            `the name in ${JSON.stringify(entry)} ends with white space`,
            "Write NAME=VALUE without spaces around the equals sign.",
          );
          continue;
        }
        entries.set(key, equals === -1 ? (mode === "variables" ? null : "") : entry.slice(equals + 1));
      }
    }
    return entries.size === 0 ? undefined : (sortedObject([...entries]) as Record<string, string | null>);
  }

  #hosts(node: Node, path: Path): Record<string, readonly string[]> | undefined {
    const hosts = new Map<string, string[]>();
    const add = (host: string, addresses: readonly string[], at: Node): void => {
      if (host === "" || /[:=]/.test(host)) this.#bad(at, path, `bad host name "${host}"`, "Write HOST=ADDRESS.");
      else hosts.set(host, [...(hosts.get(host) ?? []), ...addresses.map((a) => (a.length > 2 ? a.replace(/^\[(.*)\]$/, "$1") : a))]);
    };
    if (node.kind === "map") {
      for (const [host, value] of node.entries) add(host, value.kind === "seq" ? itemsOf(value).map(textOf) : [textOf(value)], value);
    } else
      for (const item of itemsOf(node)) {
        const entry = textOf(item);
        const at = entry.includes("=") ? entry.indexOf("=") : entry.indexOf(":");
        if (at === -1) this.#bad(item, path, `"${entry}" lacks an address`, "Write HOST=ADDRESS.");
        else add(entry.slice(0, at), entry.slice(at + 1).split(","), item);
      }
    return hosts.size === 0 ? undefined : (sortedObject([...hosts]) as Record<string, readonly string[]>);
  }

  #command(node: Node, path: Path): readonly string[] | undefined {
    if (node.kind === "seq") return node.items.map(textOf);
    if (node.kind !== "scalar" || node.value === null) return undefined;
    const line = scalarText(node);
    const split = splitCommand(line);
    if (split === undefined) {
      this.#bad(node, path, "not a command line: a quote or parenthesis has no partner", "Write it as a list: [program, argument, …].");
      return undefined;
    }
    if (split.stoppedAt !== undefined)
      this.#report.warn(node, {
        rule: "command-without-shell",
        message: `${formatPath(path)}: everything from \`${line.slice(split.stoppedAt, split.stoppedAt + 20)}\` on is dropped, because no shell reads this line`,
        hint: `Ask for one: ["sh", "-c", ${JSON.stringify(line)}].`,
      });
    return split.words;
  }

  #ulimit(node: Node, path: Path): unknown {
    if (node.kind === "map") {
      const read = (name: string): number => {
        const value = node.entries.get(name);
        return value === undefined ? 0 : Number(this.#scalar({ kind: "integer", zero: true }, value, [...path, name]) ?? 0);
      };
      return { soft: read("soft"), hard: read("hard") };
    }
    if (node.kind === "seq" || node.value === null || typeof node.value === "boolean") return this.#bad(node, path, "neither a number nor `soft` and `hard`");
    return this.#scalar({ kind: "integer", zero: true }, node, path);
  }

  #scalar(shape: Shape, node: Node, path: Path): unknown {
    if (node.kind !== "scalar") return undefined;
    const { value } = node;
    switch (shape.kind) {
      case "text":
        return omit(scalarText(node), "");
      case "integer": {
        const number = typeof value === "string" && shape.bare !== true && /^[-+]?\d+$/.test(value) ? Number(value) : value;
        if (typeof number !== "number" || !Number.isInteger(number))
          return this.#bad(node, path, `${JSON.stringify(value)} is not a whole number`, shape.bare === true ? "Write it without quotes; permissions begin with 0: 01777." : undefined);
        return shape.zero === true ? number : omit(number, 0);
      }
      case "float": {
        const number = typeof value === "string" && /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/.test(value) ? Number(value) : value;
        // What single precision cannot hold would be printed as `.inf`, which nobody can carry out, nor JSON say.
        if (typeof number !== "number" || !Number.isFinite(Math.fround(number)))
          return this.#bad(node, path, `${scalarText(node)} is not a number${typeof number === "number" ? " that can be held" : ""}`);
        return omit(single(number), 0);
      }
      case "flag": {
        const yes = typeof value === "boolean" ? value : typeof value === "string" ? truth(value) : undefined;
        if (yes === undefined) return this.#bad(node, path, `${JSON.stringify(value)} is neither true nor false`);
        return shape.no === true ? yes : omit(yes, false);
      }
      case "bytes":
        return this.#bytes(node, path);
      case "duration":
        return this.#duration(node, path, shape.zero === true);
      case "mode":
        return this.#mode(node, path);
      case "device-count":
        if (typeof value === "string" && value.toLowerCase() === "all") return -1;
        return omit(
          /^[-+]?\d+$/.test(scalarText(node))
            ? Number(scalarText(node))
            : this.#bad(node, path, `${JSON.stringify(value)} is neither a number nor "all"`),
          0,
        );
      default:
        return undefined;
    }
  }

  #bytes(node: ScalarNode, path: Path): string | undefined {
    const text = scalarText(node);
    const bytes = typeof node.value !== "number" ? parseBytes(text) : Number.isSafeInteger(node.value) ? node.value : undefined;
    if (bytes === undefined)
      return this.#bad(node, path, `"${text}" is not a size`, 'Write a number of bytes, or one with a unit: "64m", "1.5g".');
    return bytes === 0 ? undefined : (node.text ?? formatNumber(bytes));
  }

  #duration(node: ScalarNode, path: Path, zero: boolean): string | undefined {
    const text = scalarText(node);
    const nanoseconds = parseDuration(text);
    if (nanoseconds === undefined)
      return this.#bad(
        node,
        path,
        `"${text}" is not a duration`,
        /^\d+$/.test(text) ? `Write the unit, for example ${text}s.` : "Write numbers with units: 500ms, 10s, 1m30s, 2h.",
      );
    return nanoseconds === 0 && !zero ? undefined : formatDuration(nanoseconds);
  }

  #mode(node: ScalarNode, path: Path): string | undefined {
    const text = scalarText(node);
    const digits = typeof node.value !== "number" ? (/^[0-7]{1,22}$/.test(text) ? `0o${text}` : "") : Number.isInteger(node.value) ? (node.text ?? node.value) : "";
    const bits = digits === "" ? -1n : BigInt(digits);
    if (bits < 0n || bits > LARGEST_INTEGER) return this.#bad(node, path, `"${text}" is not a file mode`, 'Write it in octal digits: "0440".');
    return `0${bits.toString(8)}`;
  }

  #bad(node: Node, path: Path, problem: string, hint?: string): undefined {
    this.#report.error(node, { rule: "invalid-value", message: `${formatPath(path)}: ${problem}`, hint });
    return undefined;
  }
}

function truth(text: string): boolean | undefined {
  return /^(?:true|y|yes|on)$/i.test(text) ? true : /^(?:false|n|no|off)$/i.test(text) ? false : undefined;
}

function omit<T>(value: T, zero: T): T | undefined {
  return value === zero ? undefined : value;
}

function textOf(node: Node): string {
  return node.kind === "scalar" ? scalarText(node) : "";
}

function itemsOf(node: Node): readonly Node[] {
  if (node.kind === "seq") return node.items;
  return node.kind === "scalar" && node.value !== null ? [node] : [];
}

function envFile(node: Node): Record<string, unknown> | undefined {
  if (node.kind !== "map") return undefined;
  const text = (name: string): string => {
    const value = node.entries.get(name);
    return value?.kind === "scalar" ? scalarText(value) : "";
  };
  const result: Record<string, unknown> = { path: text("path"), required: truth(text("required")) ?? true };
  if (text("format") !== "") result["format"] = text("format");
  return result;
}

function multiOptions(node: Node): Record<string, unknown> | undefined {
  if (node.kind !== "map" || node.entries.size === 0) return undefined;
  return sortedObject([...node.entries].map(([k, v]) => [k, itemsOf(v).map(textOf)]));
}

/** Free content: keys sorted, values as written. */
function sortKeys(node: Node): unknown {
  if (node.kind === "seq") return node.items.map(sortKeys);
  if (node.kind === "map") return sortedObject([...node.entries].map(([k, v]) => [k, sortKeys(v)]));
  return toPlain(node);
}

export function sortedObject(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [key, value] of [...entries].sort((a, b) => compareText(a[0], b[0]))) define(result, key, value);
  return result;
}

/** By code point, as Go sorts bytes. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The shortest decimal that is the same single-precision number: 0.1, not 0.10000000149011612. */
function single(value: number): number {
  const rounded = Math.fround(value);
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(rounded.toPrecision(digits));
    if (Math.fround(short) === rounded) return short;
  }
  return rounded;
}
