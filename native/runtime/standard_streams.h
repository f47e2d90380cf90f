#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fd.h"
#include "log_file.h"
#include "log_ring.h"
#include "loop.h"
#include "monitor_record.h"
#include "monitor_spec.h"
#include "result.h"

namespace stack {

/**
 * The container's standard input, output and error as the monitor sees them: output goes to the log
 * and to whoever listens (attach).
 *
 * Without a terminal they are FIFOs in `fifo/`, which outlive the monitor. Output is looked at with
 * tee(2), appended to the log, and only then taken out of the FIFO; a line that is not complete
 * stays in it. `fifo/mark`, a shared mapping, says how far that got, so that a monitor which takes
 * over neither loses a byte nor writes one twice.
 */
class Stdio {
 public:
  /** `stream`: 1 or 2. Raw bytes, as soon as they come. */
  using Listener = std::function<void(int stream, std::string_view bytes)>;

  static Result<std::unique_ptr<Stdio>> open(EventLoop& loop, int directory,
                                             const MonitorSpec& spec, const EventRecorder& events);
  ~Stdio();
  Stdio(const Stdio&) = delete;
  Stdio& operator=(const Stdio&) = delete;

  /** Descriptors for the container, made for each run; invalid: /dev/null or the terminal. */
  struct Ends {
    UniqueFd input, output, error;
    /** For init to hold, so that nobody gets SIGPIPE while no monitor lives. Where there is none of
     * ours, the container's own ends read too. */
    UniqueFd output_reader, error_reader, input_writer;
  };
  Result<Ends> container_ends(bool init);
  /** The same for a supervised process, by its place in the task; no input. */
  Result<Ends> process_ends(size_t process);
  /** The terminal of a new run. */
  Status use_terminal(UniqueFd master);
  void set_listener(Listener listener) { listener_ = std::move(listener); }
  /** Interactive containers: the output of this run so far, its last 64 KiB, for who attaches
   * first. Given once. */
  std::string take_replay(int stream);
  /** The last 4 KiB that this run wrote, both streams as they came; kept whatever the log driver
   * does. */
  const std::string& tail() const { return tail_; }
  /** A new run begins. */
  void begin_run();

  /** Takes everything that is there, also an incomplete line: the run has ended. */
  void drain();

  /** As much as fits now; the rest is the caller's. 0: try again when input_ready is called. */
  size_t write_input(std::string_view bytes);
  void when_input_ready(std::function<void()> task);
  /** The end of input for this container. */
  void close_input();
  Status resize(uint16_t rows, uint16_t columns);
  bool terminal() const { return terminal_; }

 private:
  struct Mark;  // in the shared mapping
  struct Output {
    int stream = 1;
    UniqueFd fd;          // FIFO, both ends open; or the terminal's master
    size_t heard = 0;     // bytes at its head that listeners have got already
    std::string partial;  // terminal only: a line that is not complete
    Mark* mark = nullptr;
    bool terminal = false;
    std::string name;        // in fifo/
    std::string attributes;  // of its log records
    size_t process = 0;      // supervised: its place in the task; the container's own: not used
    EventLoop::TimerId retry = 0;
  };

  Stdio(EventLoop& loop, const LogSpec& log, const EventRecorder& events)
      : loop_(loop), log_spec_(log), events_(events) {}
  Status open_fifos(int directory, const MonitorSpec& spec);
  Result<UniqueFd> open_fifo(const std::string& name);
  Result<UniqueFd> open_end(const std::string& name, int flags);
  void add_processes(const MonitorSpec& spec);
  Status open_mark(int directory);
  void recover(Output& output);
  Status watch(Output& output);
  void ask_again(const Output& output);
  void retry(Output& output);
  Status open_scratch();
  ssize_t look_at(const Output& output);
  void drain(Output& output, bool final);
  /** What one round has come to. `failed`: what is there could not be looked at. */
  enum class Pumped { nothing, some, failed };
  Pumped pump_fifo(Output& output, bool final);
  Pumped pump_terminal(Output& output, bool final);
  Pumped pump(Output& output, bool final) {
    return output.terminal ? pump_terminal(output, final) : pump_fifo(output, final);
  }
  size_t record(Output& output, std::string_view pending, bool final);
  bool append(Output& output, std::string_view raw, std::string& encoded);
  void take(Output& output, size_t bytes);
  void lost(size_t bytes);
  void report_lost();
  void wake_input_waiters();
  void tell(int stream, std::string_view bytes);
  void trim_tail();

  EventLoop& loop_;
  const LogSpec& log_spec_;
  const EventRecorder& events_;
  bool terminal_ = false;
  std::optional<LogFile> log_;     // blocking mode
  std::unique_ptr<LogRing> ring_;  // non-blocking mode
  UniqueFd directory_;  // fifo/
  UniqueFd scratch_read_, scratch_write_, null_;
  Mark* marks_ = nullptr;
  size_t marks_size_ = 0;
  /** The container's two, then two for each supervised process. */
  std::deque<Output> outputs_;
  UniqueFd input_;
  bool input_open_ = false;
  Listener listener_;
  std::vector<std::function<void()>> input_waiters_;
  uint64_t lost_ = 0, lost_reported_ = 0;
  int64_t lost_reported_ms_ = 0;
  bool interactive_ = false;
  bool keep_replay_ = false;
  std::string replay_[2];
  std::string tail_;
};

}  // namespace stack
