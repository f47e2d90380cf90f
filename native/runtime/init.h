#pragma once

#include <cstdint>
#include <vector>

#include "container.h"
#include "supervision.h"

namespace stack {

/** What the monitor has opened for one supervised process; the container sees none of it. */
struct ProcessFds {
  /** Its streams; -1: the container's own (main). */
  int output = -1, error = -1;
  /** Its own cgroup on the unified hierarchy: directory (-1: nobody may be cloned into it),
   * `cgroup.procs` for writing and for reading, `cgroup.freeze`. All -1: there is none. */
  int cgroup_dir = -1, cgroup_procs = -1, cgroup_list = -1, cgroup_freeze = -1;
};

/** LaunchOptions::init_data for container_init. Copied by PID 1 before it gives its memory back. */
struct InitData {
  /** events.log, opened for appending; -1: no record. */
  int events_fd = -1;
  /** Which run this is, for the record: ContainerRecord::restarts. */
  int64_t run = 0;
  /** A socket over which the terminal's master comes, to be held: else a killed monitor would hang
   * it up. -1: none. */
  int terminal_socket = -1;
  /** Null: there is but the main process, and what it makes of itself. */
  const SupervisionSpec* supervision = nullptr;
  /** As supervision's processes. */
  std::vector<ProcessFds> processes;
  /** Listening SOCK_SEQPACKET socket on which monitors ask (native/PROTOCOL.md "init.sock"). */
  int socket = -1;
  /** The host's /dev/null. */
  int null_fd = -1;
  /** What the monitor sends to have the container stop, besides SIGTERM and SIGINT. */
  int stop_signal = 15;
};

/**
 * Our PID 1. Forks the main process, forwards every signal to it, reaps everything, and ends with
 * the main process, whose exit it appends to events.log itself: a killed monitor loses nothing.
 * What is left in the pid namespace ends with it by the kernel's hand.
 *
 *     fork main ──▶ wait for signals ──main ended──▶ record ──▶ output taken ──▶ exit (128+n for a signal)
 *
 * It allocates nothing after the fork, and returns its heap to the kernel. Where processes are
 * declared or daemons are watched, it is a Supervisor instead.
 */
int container_init(const InitPlan& plan);

}  // namespace stack
