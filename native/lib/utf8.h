#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace stack {

/** Length of the valid UTF-8 sequence at the start of `s` (RFC 3629), 0 if there is none. */
size_t utf8_length(std::string_view s);

void append_utf8(std::string& out, uint32_t code);

}  // namespace stack
