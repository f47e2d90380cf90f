#pragma once

namespace stack {

/**
 * What a container has written lies in its FIFOs until a monitor has appended it to the log, and
 * goes with the last process that holds them. For PID 1 when all else has ended: where the monitor
 * that started it (`monitor`: a pidfd) was killed, waits until another one has taken every whole
 * line, a minute at most. Costs nothing while the monitor lives: it drains them itself.
 */
void await_log(int monitor);

}  // namespace stack
