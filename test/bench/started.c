// Says when it was executed, to the nanosecond: the first thing it does is to look at the clock.
//
//   started FILE            appends CLOCK_MONOTONIC, in nanoseconds, and waits for a signal
//   started FILE MS         the same, sleeps so many milliseconds, appends the time of its end, and ends with 0
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void say(const char *file, struct timespec at) {
  char line[32];
  int length = snprintf(line, sizeof line, "%lld\n", (long long)at.tv_sec * 1000000000 + at.tv_nsec);
  int fd = open(file, O_WRONLY | O_APPEND | O_CREAT, 0644);
  if (fd < 0 || write(fd, line, (size_t)length) != length) _exit(1);
  close(fd);
}

int main(int argc, char **argv) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (argc < 2) return 2;
  say(argv[1], now);
  if (argc < 3) {
    pause();
    return 0;
  }
  long ms = atol(argv[2]);
  struct timespec pause_for = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&pause_for, NULL);
  clock_gettime(CLOCK_MONOTONIC, &now);
  say(argv[1], now);
  return 0;
}
