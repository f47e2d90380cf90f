#pragma once

#include <initializer_list>
#include <string_view>

namespace stack {

/** Notes where the kernel finds the command line and the environment that ps and /proc show. Call
 * in main, once. */
void remember_title(char** argv);
/** Empties the environment that /proc/PID/environ shows: it may hold its starter's secrets. environ
 * is empty afterwards. */
void forget_environment();
/**
 * What ps shows for this process from now on, cut to the room that there is. PID 1 of a container
 * is a fork of its monitor, whose command line names paths of the host.
 */
void set_title(const char* title);
/** What /proc/PID/cmdline shows, word by word, as if the program had been started so. */
void set_arguments(std::initializer_list<std::string_view> words);

}  // namespace stack
