/** What a Dockerfile says about the image that it makes. */
export interface Dockerfile {
  /** What the last stage is based on; absent: a variable, or `scratch`. */
  readonly base?: string;
  readonly port?: number;
}

export function dockerfileOf(text: string): Dockerfile {
  const stages = new Map<string, string>();
  let base: string | undefined;
  let port: number | undefined;
  for (const line of text.replace(/\\\r?\n/g, " ").split(/\r?\n/)) {
    const [, image = "", alias] = /^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?/i.exec(line) ?? [];
    if (image !== "") {
      base = stages.get(image.toLowerCase()) ?? image;
      port = undefined;
      if (alias !== undefined) stages.set(alias.toLowerCase(), base);
    }
    const exposed = /^\s*EXPOSE\s+(\d{1,5})/i.exec(line)?.[1];
    if (exposed !== undefined) port ??= Number(exposed);
  }
  const known = base === undefined || base === "scratch" || base.includes("$") ? undefined : base;
  return { ...(known === undefined ? {} : { base: known }), ...(port === undefined ? {} : { port }) };
}
