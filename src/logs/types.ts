/** One line of a container's output, its parts put together again. */
export interface LogEntry {
  readonly stream: "stdout" | "stderr";
  /** Of its first record, as written: RFC 3339 with nanoseconds. */
  readonly time: string;
  /** Microseconds since the epoch. */
  readonly at: number;
  /** Without the newline. */
  readonly text: string;
  /** False: the line goes on in the next entry of the same stream, or its process ended before the newline. */
  readonly complete: boolean;
  /** The supervised process that wrote it; absent: the container's own command. */
  readonly process?: string;
}

export interface ReadOptions {
  /** At most so many lines from the end. Absent: all. */
  readonly tail?: number;
  /** Microseconds since the epoch; lines at or after. */
  readonly since?: number;
  /** Microseconds since the epoch; lines before or at. */
  readonly until?: number;
  /** What this process alone wrote; "": the container's own command. Absent: everything. */
  readonly process?: string;
  /** Wait for more at the end. */
  readonly follow?: boolean;
  /** Aborted when nothing will be written any more: what is there is read, then reading ends. */
  readonly ended?: AbortSignal;
  /** Ends reading at once. */
  readonly signal: AbortSignal;
  /** With `follow`: called once, when everything that was there at the beginning has been read. */
  readonly onCaughtUp?: () => void;
  /** Called for each line that is no record. */
  readonly onDamaged?: (line: string) => void;
}
