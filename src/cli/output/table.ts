/** Go's tabwriter as Docker's tables use it: columns as wide as their widest cell (at least `minimum`), `gap` spaces between. */
export function renderTable(rows: readonly (readonly string[])[], { gap = 3, minimum = 0 }: { readonly gap?: number; readonly minimum?: number } = {}): string {
  const columns = Math.max(0, ...rows.map((r) => r.length));
  const widths = Array.from({ length: columns }, (_, c) => Math.max(minimum, ...rows.map((row) => displayWidth(row[c] ?? "") + gap)));
  return rows
    .map((row) => {
      const cells = row.map((cell, c) => (c === row.length - 1 ? cell : cell + " ".repeat((widths[c] ?? 0) - displayWidth(cell))));
      return `${cells.join("")}\n`;
    })
    .join("");
}

/** Characters as tabwriter counts them: code points. */
function displayWidth(text: string): number {
  return Array.from(text).length;
}

/** No control character of a foreign text (a name, a command) reaches the terminal. */
export function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (c) => (c === "\n" || c === "\t" ? " " : "\uFFFD"));
}
