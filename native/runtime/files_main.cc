// `stack-runtime files`: what is at a path of a container, or of the host. See native/PROTOCOL.md.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "container_view.h"
#include "fs.h"
#include "json.h"
#include "oci_args.h"
#include "pack_tree.h"
#include "unpack_stream.h"
#include "unpack_tar.h"
#include "unpack_tree.h"

namespace stack {

namespace {

const std::vector<OciOption> kOptions = {{"container", "", true},
                                         {"path", "", true},
                                         {"name", "", true},
                                         {"own-mount", "", false},
                                         {"owner", "", true}};

/** The container's root, or the host's. */
struct Place {
  std::optional<ContainerView> container;
  UniqueFd host;
  int root() const { return container ? container->root() : host.get(); }
};

Result<Place> open_place(const OciArgs& args) {
  Place place;
  if (args.has("container")) {
    place.container.emplace(TRY(ContainerView::open(args.get("container"))));
    return place;
  }
  place.host.reset(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place.host) return sys_fail("open root", "open", "/");
  return place;
}

int report(int fd, const Json& json, int status) {
  (void)write_all(fd, json.dump() + "\n");
  return status;
}

int report_failure(int fd, const Failure& failure) {
  return report(fd, Json::object().set("ok", false).set("error", failure_to_json(failure)), 1);
}

const char* type_name(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "directory";
    case S_IFREG:
      return "file";
    case S_IFLNK:
      return "symlink";
    default:
      return "other";
  }
}

/** The last component is not followed. */
Result<Json> describe(const OciArgs& args) {
  Place place = TRY(open_place(args));
  Json json = Json::object();
  json.set("ok", true);
  auto found = open_in_root(place.root(), args.get("path"), O_PATH | O_NOFOLLOW);
  if (!found) {
    const int err = found.failure().err;
    if (err == ENOENT || err == ENOTDIR) return json.set("type", "missing");
    return std::move(found).failure();
  }
  struct stat info {};
  if (::fstat(found->get(), &info) < 0) return sys_fail("stat", "fstat", args.get("path"));
  json.set("type", type_name(info.st_mode)).set("size", static_cast<uint64_t>(info.st_size));
  if (!S_ISLNK(info.st_mode)) return json;
  char target[4096];
  const ssize_t size = ::readlinkat(found->get(), "", target, sizeof target);
  if (size < 0) return sys_fail("stat", "readlinkat", args.get("path"));
  return json.set("target", std::string_view(target, static_cast<size_t>(size)));
}

Status pack(const OciArgs& args) {
  Place place = TRY(open_place(args));
  PackOptions options;
  options.name = args.get("name");
  options.one_mount = args.has("own-mount");
  return pack_tree(place.root(), args.get("path"), options, STDOUT_FILENO);
}

Result<layer::TreeOptions> tree_options(const OciArgs& args) {
  layer::TreeOptions options;
  options.plain = true;
  if (!args.has("owner")) return options;
  const std::string owner = args.get("owner");
  layer::TreeOptions::Owner parsed;
  const char* end = owner.data() + owner.size();
  auto [colon, error] = std::from_chars(owner.data(), end, parsed.uid);
  if (error == std::errc{} && colon != end && *colon == ':') {
    auto [rest, failed] = std::from_chars(colon + 1, end, parsed.gid);
    if (failed == std::errc{} && rest == end) {
      options.owner = parsed;
      return options;
    }
  }
  return fail("usage", "--owner takes UID:GID", EINVAL);
}

/** The directory becomes our root: no link in it, and no name in the archive, leads out of it. */
Result<Json> extract(const OciArgs& args) {
  layer::TreeOptions options = TRY(tree_options(args));
  Place place = TRY(open_place(args));
  UniqueFd directory = TRY(open_in_root(place.root(), args.get("path"), O_RDONLY | O_DIRECTORY));
  if (::fchdir(directory.get()) < 0) return sys_fail("unpack", "fchdir", args.get("path"));
  if (::chroot(".") < 0 && errno != EPERM) return sys_fail("unpack", "chroot", args.get("path"));
  ::umask(0);
  layer::Line line({});
  layer::Tree tree(std::move(directory), options);
  layer::TarReader tar(line);
  layer::TarEntry entry;
  while (TRY(tar.next(entry))) TRY(tree.add(entry, tar));
  TRY(tree.finish());
  line.drain();
  if (!line.status()) return Failure(line.status().failure());
  layer::TreeSummary summary = tree.take_summary();
  return Json::object().set("ok", true).set("bytes", summary.bytes).set("files", summary.files);
}

int usage() {
  return report_failure(
      STDERR_FILENO,
      fail("usage",
           "files stat|pack|unpack [--container DIR] --path P [--name N] [--own-mount] "
           "[--owner UID:GID]",
           EINVAL));
}

}  // namespace

}  // namespace stack

int files_main(int argc, char** argv) {
  using namespace stack;
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  if (argc < 2) return usage();
  const std::string_view verb = argv[1];
  auto args = OciArgs::parse({argv + 2, argv + argc}, kOptions);
  if (!args || !args->rest().empty() || !args->has("path")) return usage();
  if (verb == "pack") {
    Status packed = pack(*args);
    return packed ? 0 : report_failure(STDERR_FILENO, packed.failure());
  }
  if (verb != "stat" && verb != "unpack") return usage();
  auto done = verb == "stat" ? describe(*args) : extract(*args);
  // The threads that decompress may still wait for input that nobody wants any more.
  if (!done) ::_exit(report_failure(STDERR_FILENO, done.failure()));
  return report(STDOUT_FILENO, *done, 0);
}
