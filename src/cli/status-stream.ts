import type { Context } from "./context.ts";
import { isSet } from "./globals.ts";
import type { Sink } from "./sink.ts";

type Streams = Pick<Context, "env" | "stdout" | "stderr">;

/** Where it is told what is being done: standard error, since standard output is the command's result; with COMPOSE_STATUS_STDOUT there. */
export function statusStream(context: Streams): Sink {
  return isSet(context.env["COMPOSE_STATUS_STDOUT"]) ? context.stdout : context.stderr;
}
