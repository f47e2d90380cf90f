#pragma once

#include <functional>
#include <string>

#include "json.h"
#include "monitor.h"

namespace stack {

/**
 * Connects from inside the container's network namespace, as a client there would: to 127.0.0.1,
 * ::1 and the container's addresses in this order, until one accepts. `done` gets the reply of the
 * operation `probe`.
 */
void probe(Monitor& monitor, const Json& request, std::function<void(Json)> done);

/** Is there a file of this path in the container, whatever it is? The reply of `probe` of kind
 * `file`: `errno` 0 if so. */
Json probe_file(Monitor& monitor, const std::string& path);

/** Status code of an HTTP response's first line; 0: it is none. */
int http_status(std::string_view response);
/** What follows the header; chunked transfer is decoded. */
std::string http_body(std::string_view response);

}  // namespace stack
