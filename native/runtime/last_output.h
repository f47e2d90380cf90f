#pragma once

namespace stack {

/**
 * What a container has written lies in its FIFOs until a monitor has appended it to the log, and
 * goes with the last process that holds them. For PID 1 when all else has ended: waits until every
 * whole line was taken. A monitor that lives does that at once; where it was killed, even in this
 * moment, it takes until the next one has come; a minute at most.
 */
void await_log();

}  // namespace stack
