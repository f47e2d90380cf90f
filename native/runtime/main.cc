#include <cstdio>
#include <string_view>

/**
 * The runtime binary: one program, chosen by its first word. The OCI verbs may follow options
 * (`--root DIR run ID`), so that anything that is not one of ours goes to oci_main, which parses
 * both.
 */

int fork_server_main(int argc, char** argv);
int monitor_main(int argc, char** argv);
int unpack_main(int argc, char** argv);
int files_main(int argc, char** argv);
int oci_main(int argc, char** argv);

namespace {

struct Verb {
  std::string_view name;
  int (*main)(int argc, char** argv);
};

constexpr Verb kVerbs[] = {
    {"fork-server", fork_server_main},
    {"monitor", monitor_main},
    {"unpack", unpack_main},
    {"files", files_main},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 1) return 125;
  if (argc > 1) {
    for (const Verb& verb : kVerbs) {
      if (verb.name == argv[1]) return verb.main(argc - 1, argv + 1);
    }
  }
  return oci_main(argc, argv);
}
