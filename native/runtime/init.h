#pragma once

#include <cstdint>

#include "container.h"

namespace stack {

/** LaunchOptions::init_data for container_init. Copied by PID 1 before it gives its memory back. */
struct InitData {
  /** events.log, opened for appending; -1: no record. */
  int events_fd = -1;
  /** Which run this is, for the record: ContainerRecord::restarts. */
  int64_t run = 0;
  /** A socket over which the terminal's master comes, to be held: else a killed monitor would hang
   * it up. -1: none. */
  int terminal_socket = -1;
};

/**
 * Our PID 1. Forks the main process, forwards every signal to it, reaps everything, and ends with
 * the main process, whose exit it appends to events.log itself: a killed monitor loses nothing.
 * What is left in the pid namespace ends with it by the kernel's hand.
 *
 *     fork main ──▶ wait for signals ──main ended──▶ record ──▶ exit (128+n for a signal)
 *
 * It allocates nothing after the fork, and returns its heap to the kernel.
 */
int container_init(const InitPlan& plan);

}  // namespace stack
