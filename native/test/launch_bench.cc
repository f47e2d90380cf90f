// How long from "start" to the user's execve, as a monitor sees it: launch() and start() of one
// bundle, again and again in the same cgroup (a restart in place). Prints minimum, median and 90th
// percentile in microseconds.
//   launch_bench BUNDLE [RUNS]
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "../runtime/container.h"
#include "proc.h"

using namespace stack;

namespace {
double now() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

void print(const char* what, std::vector<double> times) {
  std::sort(times.begin(), times.end());
  // In microseconds: the runtime's own printf, which is linked here, has no fractions.
  auto us = [](double ms) { return static_cast<long>(ms * 1e3); };
  std::printf("%s min %ld p50 %ld p90 %ld us\n", what, us(times[0]), us(times[times.size() / 2]),
              us(times[times.size() * 9 / 10]));
}
}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  std::string bundle = argv[1];
  auto config = load_oci_config(bundle + "/config.json");
  if (!config.ok()) return std::puts(config.failure().text().c_str()), 1;
  auto cgroup = Cgroup::create("/stack-launch-bench", config->resources);
  if (!cgroup.ok()) return std::puts(cgroup.failure().text().c_str()), 1;
  std::vector<double> launched_at, executed_at, ended_at;
  for (int i = 0, runs = argc > 2 ? std::atoi(argv[2]) : 200; i < runs; i++) {
    double start_time = now();
    LaunchOptions options;
    options.id = "bench";
    options.bundle = bundle;
    options.cgroup = &*cgroup;
    auto launched = launch(*config, options);
    if (!launched.ok()) return std::puts(launched.failure().text().c_str()), 1;
    launched_at.push_back(now() - start_time);
    auto started = start(*launched);
    if (!started.ok()) return std::puts(started.failure().text().c_str()), 1;
    executed_at.push_back(now() - start_time);
    (void)wait_pidfd(launched->pidfd.get()).ok();
    ended_at.push_back(now() - start_time);
  }
  print("set up  ", launched_at);
  print("executed", executed_at);
  print("ended   ", ended_at);
  return cgroup->remove().ok() ? 0 : 1;
}
