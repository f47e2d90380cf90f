#include "standard_streams.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>

#include <atomic>
#include <utility>

namespace stack {

namespace {

constexpr size_t kChunk = 65536;  // a FIFO's capacity
constexpr size_t kBatch = 16384;  // raw bytes in one write to the log
constexpr size_t kTail = 4096;    // of each run's output, kept for who asks why it failed
constexpr int64_t kTerminalRetryMs = 10;
constexpr int64_t kRetryMs = 20;
constexpr int kDrainAttempts = 5;
constexpr int64_t kReportMs = 1000;  // between two records of what was dropped

uint64_t hash_of(std::string_view bytes) {  // FNV-1a
  uint64_t hash = 14695981039346656037u;
  for (char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
  return hash;
}

// One thread, and no handler needs it across a round: one buffer for all, touched only as far as
// used. The container's processes do not get a copy.
char* shared_buffer() {
  static char* buffer = [] {
    void* at = ::mmap(nullptr, kChunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) ::abort();
    ::madvise(at, kChunk, MADV_DONTFORK);
    return static_cast<char*>(at);
  }();
  return buffer;
}

}  // namespace

/** What is being done with the first `bytes` of a FIFO. Survives a kill of the monitor. */
struct Stdio::Mark {
  enum : uint32_t { idle, appending, appended };
  uint32_t state;
  uint32_t bytes;
  uint64_t hash;   // of these bytes
  uint64_t inode;  // of the log, and its size before
  uint64_t size;
};

Result<std::unique_ptr<Stdio>> Stdio::open(EventLoop& loop, int directory, const MonitorSpec& spec,
                                           const EventRecorder& events) {
  std::unique_ptr<Stdio> stdio(new Stdio(loop, spec.log, events));
  stdio->terminal_ = spec.tty;
  stdio->input_open_ = spec.stdin_open;
  stdio->interactive_ = spec.tty || spec.stdin_open;
  stdio->outputs_.resize(2);
  stdio->outputs_[0].name = "stdout";
  stdio->outputs_[1].name = "stderr";
  stdio->outputs_[1].stream = 2;
  stdio->outputs_[0].terminal = spec.tty;
  std::string attributes = encode_log_attributes(spec.log.attributes);
  for (Output& output : stdio->outputs_) output.attributes = attributes;
  if (spec.log.driver != LogSpec::Driver::none) {
    LogFile log = TRY(LogFile::open(spec.log));
    if (spec.log.blocking)
      stdio->log_ = std::move(log);
    else
      stdio->ring_ = TRY(LogRing::create(std::move(log), spec.log.buffer_size));
  }
  if (spec.supervision) stdio->add_processes(spec);
  if (!spec.tty || spec.supervision) TRY(stdio->open_fifos(directory, spec));
  return stdio;
}

Stdio::~Stdio() {
  for (Output& output : outputs_) {
    loop_.cancel(output.retry);
    if (output.fd) loop_.remove(output.fd.get());
  }
  if (input_) loop_.remove(input_.get());
  if (marks_ != nullptr) ::munmap(marks_, marks_size_);
}

// Their records say whose they are.
void Stdio::add_processes(const MonitorSpec& spec) {
  for (size_t i = 0; i < spec.supervision->processes.size(); ++i) {
    const ProcessSpec& process = spec.supervision->processes[i];
    if (process.main) continue;
    auto attributes = spec.log.attributes;
    std::erase_if(attributes, [](const auto& each) { return each.first == "process"; });
    attributes.emplace_back("process", process.name);
    for (int stream : {1, 2}) {
      Output& output = outputs_.emplace_back();
      output.stream = stream;
      output.name = process.name + (stream == 1 ? ".stdout" : ".stderr");
      output.attributes = encode_log_attributes(attributes);
      output.process = i;
    }
  }
}

Result<UniqueFd> Stdio::open_fifo(const std::string& name) {
  constexpr const char* kStage = "open fifo";
  if (::mkfifoat(directory_.get(), name.c_str(), 0600) < 0 && errno != EEXIST)
    return sys_fail(kStage, "mkfifoat", name);
  // Both ends: no end of file between runs, and none for the container while a monitor is
  // replaced.
  return open_end(name, O_RDWR | O_NONBLOCK);
}

Result<UniqueFd> Stdio::open_end(const std::string& name, int flags) {
  UniqueFd fd(::openat(directory_.get(), name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return sys_fail("open fifo", "openat", name);
  return fd;
}

Status Stdio::open_fifos(int directory, const MonitorSpec& spec) {
  constexpr const char* kStage = "open fifo";
  if (::mkdirat(directory, "fifo", 0700) < 0 && errno != EEXIST)
    return sys_fail(kStage, "mkdirat", "fifo");
  directory_.reset(::openat(directory, "fifo", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory_) return sys_fail(kStage, "openat", "fifo");
  for (size_t i = spec.tty ? 2 : 0; i < outputs_.size(); ++i)
    outputs_[i].fd = TRY(open_fifo(outputs_[i].name));
  if (spec.stdin_open && !spec.tty) input_ = TRY(open_fifo("stdin"));
  TRY(open_scratch());
  null_.reset(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (!null_) return sys_fail(kStage, "open", "/dev/null");
  TRY(open_mark(directory_.get()));
  for (Output& output : outputs_) {
    if (!output.fd) continue;
    recover(output);
    TRY(watch(output));
  }
  return ok();
}

Status Stdio::open_mark(int directory) {
  constexpr const char* kStage = "open fifo/mark";
  constexpr size_t kPage = 4096;
  marks_size_ = (outputs_.size() * sizeof(Mark) + kPage - 1) / kPage * kPage;
  UniqueFd file(::openat(directory, "mark", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return sys_fail(kStage, "openat", "fifo/mark");
  if (::ftruncate(file.get(), static_cast<off_t>(marks_size_)) < 0)
    return sys_fail(kStage, "ftruncate", "fifo/mark");
  void* at = ::mmap(nullptr, marks_size_, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (at == MAP_FAILED) return sys_fail(kStage, "mmap", "fifo/mark");
  marks_ = static_cast<Mark*>(at);
  for (size_t i = 0; i < outputs_.size(); ++i)
    if (!outputs_[i].terminal) outputs_[i].mark = &marks_[i];
  return ok();
}

// Finishes what a killed monitor had begun.
void Stdio::recover(Output& output) {
  Mark mark = *output.mark;
  output.mark->state = Mark::idle;
  if (mark.state == Mark::idle || mark.bytes > kChunk) return;
  if (mark.state == Mark::appending) {
    if (log_) log_->cut(mark.inode, mark.size);
    return;
  }
  ssize_t n = ::tee(output.fd.get(), scratch_write_.get(), mark.bytes, SPLICE_F_NONBLOCK);
  if (n < 0) return;
  std::string head(static_cast<size_t>(n), 0);
  ssize_t got = ::read(scratch_read_.get(), head.data(), head.size());
  // Else it had been taken out too, and these are other bytes.
  if (got == static_cast<ssize_t>(mark.bytes) && hash_of(head) == mark.hash)
    take(output, mark.bytes);
}

Status Stdio::watch(Output& output) {
  // Edge-triggered: an incomplete line stays in the FIFO and must not wake us again and again.
  uint32_t events = output.terminal ? EPOLLIN : EPOLLIN | EPOLLET;
  return loop_.add(output.fd.get(), events, [this, &output](uint32_t) {
    // A few rounds, then the others' turn; an edge is not repeated, so ask for the rest.
    for (int i = 0; i < 4; ++i) {
      Pumped pumped = pump(output, false);
      if (pumped == Pumped::failed) retry(output);
      if (pumped != Pumped::some) return;
    }
    if (!output.terminal) ask_again(output);
  });
}

void Stdio::ask_again(const Output& output) {
  if (output.fd) (void)loop_.modify(output.fd.get(), EPOLLIN | EPOLLET);
}

// A moment without memory or a descriptor: what is there already is no edge, and would wait for
// whatever is written next.
void Stdio::retry(Output& output) {
  if (output.terminal || output.retry != 0) return;
  output.retry = loop_.after(kRetryMs, [this, &output] {
    output.retry = 0;
    ask_again(output);
  });
}

Result<Stdio::Ends> Stdio::container_ends(bool init) {
  Ends ends;
  if (terminal_) return ends;
  ends.output = TRY(open_end("stdout", init ? O_WRONLY : O_RDWR));
  ends.error = TRY(open_end("stderr", init ? O_WRONLY : O_RDWR));
  if (init) {
    ends.output_reader = TRY(open_end("stdout", O_RDONLY | O_NONBLOCK));
    ends.error_reader = TRY(open_end("stderr", O_RDONLY | O_NONBLOCK));
  }
  if (input_) {
    ends.input = TRY(open_end("stdin", O_RDONLY | O_NONBLOCK));
    TRY(set_nonblocking(ends.input.get(), false));
  }
  return ends;
}

Result<Stdio::Ends> Stdio::process_ends(size_t process) {
  Ends ends;
  for (size_t i = 2; i < outputs_.size(); ++i) {
    if (outputs_[i].process != process) continue;
    bool first = outputs_[i].stream == 1;
    (first ? ends.output : ends.error) = TRY(open_end(outputs_[i].name, O_WRONLY));
    (first ? ends.output_reader : ends.error_reader) =
        TRY(open_end(outputs_[i].name, O_RDONLY | O_NONBLOCK));
  }
  return ends;
}

Status Stdio::use_terminal(UniqueFd master) {
  if (outputs_[0].fd) loop_.remove(outputs_[0].fd.get());
  TRY(set_nonblocking(master.get(), true));
  outputs_[0].fd = std::move(master);
  outputs_[0].heard = 0;
  return watch(outputs_[0]);
}

bool Stdio::append(Output& output, std::string_view raw, std::string& encoded) {
  if (output.mark != nullptr) {
    Mark& mark = *output.mark;
    mark.bytes = static_cast<uint32_t>(raw.size());
    mark.hash = hash_of(raw);
    mark.inode = log_->inode();
    mark.size = log_->size();
    std::atomic_signal_fence(std::memory_order_seq_cst);
    mark.state = Mark::appending;
  }
  bool written = log_->append(encoded).ok();
  encoded.clear();
  if (output.mark != nullptr) output.mark->state = Mark::appended;
  return written;
}

void Stdio::take(Output& output, size_t bytes) {
  while (bytes > 0) {
    ssize_t n = ::splice(output.fd.get(), nullptr, null_.get(), nullptr, bytes, SPLICE_F_NONBLOCK);
    if (n < 0 && errno == EINTR) continue;
    // What stays there would be logged twice.
    char away[4096];
    if (n < 0) n = ::read(output.fd.get(), away, std::min(bytes, sizeof away));
    if (n <= 0) break;
    bytes -= static_cast<size_t>(n);
  }
  if (output.mark != nullptr) output.mark->state = Mark::idle;
}

void Stdio::tell(int stream, std::string_view bytes) {
  if (keep_replay_) {
    std::string& kept = replay_[stream - 1];
    kept.append(bytes);
    if (kept.size() > kChunk) kept.erase(0, kept.size() - kChunk);
  }
  // Not at each read: moving the rest costs more than a little room.
  tail_.append(bytes.size() > kTail ? bytes.substr(bytes.size() - kTail) : bytes);
  if (tail_.size() > 4 * kTail) trim_tail();
  if (listener_) listener_(stream, bytes);
}

void Stdio::trim_tail() {
  if (tail_.size() > kTail) tail_.erase(0, tail_.size() - kTail);
}

void Stdio::begin_run() {
  keep_replay_ = interactive_;
  tail_.clear();
  for (std::string& kept : replay_) kept.clear();
}

std::string Stdio::take_replay(int stream) {
  keep_replay_ = false;
  return std::exchange(replay_[stream - 1], {});
}

void Stdio::lost(size_t bytes) {
  lost_ += bytes;
  if (monotonic_ms() - lost_reported_ms_ >= kReportMs) report_lost();
}

void Stdio::report_lost() {
  if (lost_ == lost_reported_) return;
  lost_reported_ = lost_;
  lost_reported_ms_ = monotonic_ms();
  events_.add("log-dropped", Json::object().set("bytes", lost_));
}

// Writes what is complete in `pending` to the log, batch by batch, and takes it out of the FIFO.
// Returns how much that was.
size_t Stdio::record(Output& output, std::string_view pending, bool final) {
  const char* stream = output.stream == 1 ? "stdout" : "stderr";
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  size_t done = 0, batch = 0;
  std::string encoded;
  auto flush = [&] {
    std::string_view raw = pending.substr(done, batch);
    if (batch > 0 && log_ && !append(output, raw, encoded)) lost(batch);
    if (batch > 0 && !output.terminal) take(output, batch);
    done += batch;
    batch = 0;
  };
  std::string one;
  while (size_t length = next_log_record(pending.substr(done + batch), final)) {
    if (log_) {
      one.clear();
      append_log_record(one, pending.substr(done + batch, length), stream, output.attributes, now);
      if (log_spec_.max_size > 0 &&
          log_->size() + encoded.size() + one.size() > log_spec_.max_size) {
        flush();
        (void)log_->make_room(one.size());
      }
      encoded += one;
    }
    if (ring_) {
      one.clear();
      append_log_record(one, pending.substr(done + batch, length), stream, output.attributes, now);
      if (!ring_->add(one)) lost(length);
    }
    batch += length;
    if (batch >= kBatch) flush();
    if (done + batch == pending.size()) break;
  }
  flush();
  return done;
}

Status Stdio::open_scratch() {
  auto scratch = TRY(make_pipe(O_NONBLOCK));
  scratch_read_ = std::move(scratch.first);
  scratch_write_ = std::move(scratch.second);
  return ok();
}

// Copies what is in a FIFO to the shared buffer; it stays there. How much; -1: it could not be had.
ssize_t Stdio::look_at(const Output& output) {
  if (!scratch_read_ && !open_scratch()) return -1;
  ssize_t n;
  do {
    n = ::tee(output.fd.get(), scratch_write_.get(), kChunk, SPLICE_F_NONBLOCK);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EAGAIN ? 0 : -1;
  for (ssize_t got = 0; got < n;) {
    ssize_t r = ::read(scratch_read_.get(), shared_buffer() + got, static_cast<size_t>(n - got));
    if (r < 0 && errno == EINTR) continue;
    if (r <= 0) {  // what stays in there would be taken for the next copy
      scratch_read_.reset();
      scratch_write_.reset();
      return -1;
    }
    got += r;
  }
  return n;
}

Stdio::Pumped Stdio::pump_fifo(Output& output, bool final) {
  ssize_t there = look_at(output);
  if (there <= 0) return there < 0 ? Pumped::failed : Pumped::nothing;
  auto got = static_cast<size_t>(there);
  std::string_view pending(shared_buffer(), got);
  bool news = got > output.heard;
  if (news) tell(output.stream, pending.substr(output.heard));
  size_t done = record(output, pending, final);
  output.heard = got - done;
  return news || done > 0 ? Pumped::some : Pumped::nothing;
}

Stdio::Pumped Stdio::pump_terminal(Output& output, bool final) {
  if (!output.fd) return Pumped::nothing;
  ssize_t n = ::read(output.fd.get(), shared_buffer(), kLogLine);
  if (n < 0 && errno != EAGAIN && errno != EINTR) {  // EIO: nobody has the terminal open
    loop_.remove(output.fd.get());
    output.fd.reset();
  }
  if (n > 0) {
    std::string_view bytes(shared_buffer(), static_cast<size_t>(n));
    tell(1, bytes);
    output.partial.append(bytes);
  }
  size_t done = record(output, output.partial, final);
  output.partial.erase(0, done);
  return n > 0 ? Pumped::some : Pumped::nothing;
}

void Stdio::drain(Output& output, bool final) {
  for (int failures = 0; failures < kDrainAttempts;) {
    Pumped pumped = pump(output, final);
    if (pumped == Pumped::nothing || (final && pumped == Pumped::some)) return;
    if (pumped == Pumped::failed) ++failures;
  }
}

void Stdio::drain() {
  for (Output& output : outputs_) {
    if (!output.fd) continue;
    drain(output, false);
    drain(output, true);
    output.heard = 0;
  }
  if (ring_) ring_->flush();
  trim_tail();
  report_lost();
  if (terminal_ && outputs_[0].fd) {
    loop_.remove(outputs_[0].fd.get());
    outputs_[0].fd.reset();
  }
}

size_t Stdio::write_input(std::string_view bytes) {
  int fd = terminal_ ? outputs_[0].fd.get() : input_.get();
  if (fd < 0 || !input_open_) return bytes.size();  // nobody will ever read it
  ssize_t n = ::write(fd, bytes.data(), bytes.size());
  if (n >= 0) return static_cast<size_t>(n);
  return errno == EAGAIN || errno == EINTR ? 0 : bytes.size();
}

void Stdio::when_input_ready(std::function<void()> task) {
  int fd = terminal_ ? outputs_[0].fd.get() : input_.get();
  if (fd < 0) return;
  input_waiters_.push_back(std::move(task));
  if (input_waiters_.size() > 1) return;  // somebody waits already
  if (terminal_) {                        // its master is watched for output already
    loop_.after(kTerminalRetryMs, [this] { wake_input_waiters(); });
    return;
  }
  (void)loop_.add(fd, EPOLLOUT, [this, fd](uint32_t) {
    loop_.remove(fd);
    wake_input_waiters();
  });
}

void Stdio::wake_input_waiters() {
  for (auto& task : std::exchange(input_waiters_, {})) task();
}

void Stdio::close_input() {
  if (terminal_) {
    (void)write_input(std::string_view("\x04", 1));  // the line discipline's end of file
    return;
  }
  if (input_) loop_.remove(input_.get());
  input_.reset();
  input_open_ = false;
}

Status Stdio::resize(uint16_t rows, uint16_t columns) {
  if (!terminal_ || !outputs_[0].fd) return fail("resize", "the container has no terminal", ENOTTY);
  winsize size{};
  size.ws_row = rows;
  size.ws_col = columns;
  if (::ioctl(outputs_[0].fd.get(), TIOCSWINSZ, &size) < 0)
    return sys_fail("resize", "ioctl TIOCSWINSZ");
  return ok();
}

}  // namespace stack
