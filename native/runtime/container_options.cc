
#include "container_state.h"

// Mount options: config.md "Mounts" (Linux), its table of options that the runtime must know.
