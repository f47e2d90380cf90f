#pragma once

#include "monitor_spec.h"
#include "result.h"

namespace stack {

/**
 * Copies the directory `target` of the root into the volume directory `source`, if that is empty: a
 * named volume begins with the image's content. Owner, mode, times, extended attributes and hard
 * links are kept; the target is resolved inside the root; nothing is copied if it is missing or no
 * directory. Two containers with the same volume wait for each other.
 */
Status populate_volume(int root, const PopulateSpec& spec);

}  // namespace stack
