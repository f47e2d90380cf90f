// Terminals, as far as Node does not set them itself.
#include <termios.h>

#include <cerrno>

#include "convert.h"

namespace stack::addon {

namespace {

/// terminalOutput(fd, processed): Node's raw mode leaves ONLCR on, so a program with a terminal of
/// its own behind ours would have each newline it writes turned into two characters once more.
Napi::Value terminal_output(const Napi::CallbackInfo& info) {
  int fd = fd_argument(info, 0, "fd");
  bool processed = info.Length() > 1 && info[1].ToBoolean().Value();
  termios settings{};
  if (tcgetattr(fd, &settings) != 0)
    throw to_error(info.Env(), Failure{"terminal output", "tcgetattr", errno, "", ""});
  settings.c_oflag = processed ? settings.c_oflag | OPOST : settings.c_oflag & ~tcflag_t{OPOST};
  if (tcsetattr(fd, TCSANOW, &settings) != 0)
    throw to_error(info.Env(), Failure{"terminal output", "tcsetattr", errno, "", ""});
  return info.Env().Undefined();
}

}  // namespace

void register_terminal(Napi::Env env, Napi::Object exports) {
  exports.Set("terminalOutput", Napi::Function::New(env, terminal_output, "terminalOutput"));
}

}  // namespace stack::addon
