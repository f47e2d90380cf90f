// What runs in the containers of chaos tests. It keeps a book of its own, in memory that outlives it, of what it has
// written and how it ended, by which the logs and records are judged.
//   workload serve LINES_PER_SECOND   until SIGTERM
//   workload exit LINES MILLISECONDS CODE
// Without a book: what is beside the container's own process.
//   workload probe                    all is well
//   workload idle                     until SIGTERM
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

struct Book {
  char run[40];
  volatile uint32_t written;  // lines that the kernel has taken
  volatile uint32_t ended;    // 1: exits by itself with `code`
  volatile uint32_t code;
};

static struct Book *book;
static char run[40];


static void on_term(int signal) {
  (void)signal;
  book->code = 0;
  book->ended = 1;
  _exit(0);
}

static void line(uint32_t number) {
  char text[128];
  int length = snprintf(text, sizeof text, "%s %u ........................................\n", run, number);
  for (int at = 0; at < length;) {
    ssize_t done = write(1, text + at, length - at);
    if (done < 0) _exit(99);
    at += done;
  }
  book->written = number;
}

static void pause_ms(long ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&time, &time) != 0) {}
}

int main(int argc, char **argv) {
  if (argc < 2) return 64;
  if (strcmp(argv[1], "probe") == 0) return 0;
  if (strcmp(argv[1], "idle") == 0)
    for (;;) pause();
  struct timespec now;
  struct utsname host;
  clock_gettime(CLOCK_REALTIME, &now);
  uname(&host);
  snprintf(run, sizeof run, "%.12s-%llx", host.nodename, (unsigned long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
  char path[96];
  snprintf(path, sizeof path, "/book/%s", run);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, sizeof(struct Book)) != 0) return 98;
  book = mmap(NULL, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (book == MAP_FAILED) return 97;
  memcpy(book->run, run, sizeof run);
  signal(SIGTERM, on_term);
  if (strcmp(argv[1], "serve") == 0) {
    int rate = argc > 2 ? atoi(argv[2]) : 0;
    for (uint32_t n = 1;; ++n) {
      if (rate > 0 || n == 1) line(n);
      pause_ms(rate > 0 ? 1000 / rate : 60000);
    }
  }
  if (strcmp(argv[1], "exit") == 0 && argc == 5) {
    for (uint32_t n = 1; n <= (uint32_t)atoi(argv[2]); ++n) line(n);
    pause_ms(atoi(argv[3]));
    book->code = atoi(argv[4]);
    book->ended = 1;
    _exit(atoi(argv[4]));
  }
  return 64;
}
