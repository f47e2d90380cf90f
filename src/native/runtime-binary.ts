import { join } from "node:path";
import { distributionDirectory } from "./program.ts";

/**
 * The runtime binary that was built with this code. What runs containers is the content-addressed copy of it
 * in the data root (`installProgram`): this one may be replaced under our feet by the next installation.
 */
export function runtimeBinaryPath(): string {
  return join(distributionDirectory(), "native", "stack-runtime");
}
