// `stack-runtime unpack`: one layer from standard input into one directory. See native/PROTOCOL.md.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>

#include "json.h"
#include "oci_args.h"
#include "unpack_stream.h"
#include "unpack_tar.h"
#include "unpack_tree.h"

namespace stack::layer {
namespace {

struct Options {
  std::string into;
  LineOptions line;
  TreeOptions tree;
};

const std::vector<OciOption> kOptions = {{"into", "", true},
                                         {"compression", "", true},
                                         {"max-bytes", "", true},
                                         {"userxattr", "", false}};

struct CompressionName {
  std::string_view name;
  Compression compression;
};
constexpr CompressionName kCompressions[] = {{"auto", Compression::detect},
                                             {"none", Compression::none},
                                             {"gzip", Compression::gzip},
                                             {"zstd", Compression::zstd}};

Result<Compression> parse_compression(std::string_view wanted) {
  for (const CompressionName& entry : kCompressions)
    if (entry.name == wanted) return entry.compression;
  return fail("usage", "--compression is none, gzip, zstd or auto", EINVAL);
}

Result<Options> parse(int argc, char** argv) {
  auto args = OciArgs::parse({argv + 1, argv + argc}, kOptions, OciArgs::Order::before_words);
  if (!args.ok() || !args->rest().empty())
    return fail(
        "usage",
        "unpack --into DIR [--compression none|gzip|zstd|auto] [--max-bytes N] [--userxattr]",
        EINVAL);
  Options options;
  options.into = args->get("into");
  options.tree.user_xattrs = args->has("userxattr");
  if (args->has("compression"))
    options.line.compression = TRY(parse_compression(args->get("compression")));
  if (args->has("max-bytes")) {
    const std::string value = args->get("max-bytes");
    uint64_t bytes = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), bytes);
    if (error != std::errc{} || *end != '\0')
      return fail("usage", "--max-bytes takes a number", EINVAL);
    options.line.max_bytes = options.tree.max_bytes = bytes;
  }
  if (options.into.empty()) return fail("usage", "--into is missing", EINVAL);
  return options;
}

/// The directory becomes our root where we may (root): then not even a mistake of ours reaches the
/// host.
Result<UniqueFd> enter(const std::string& directory) {
  UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return sys_fail("open the target", "open", directory);
  if (fchdir(fd.get()) != 0) return sys_fail("open the target", "chdir", directory);
  if (chroot(".") != 0 && errno != EPERM) return sys_fail("open the target", "chroot", directory);
  umask(0);
  // New entries would take the group of a set-group-id directory.
  if (fchmod(fd.get(), 0700) != 0) return sys_fail("open the target", "chmod", directory);
  // A file as large as the file-size limit must be an error, not the end of us.
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  return fd;
}

Status extract(Line& line, Tree& tree) {
  TarReader tar(line);
  TarEntry entry;
  while (TRY(tar.next(entry))) TRY(tree.add(entry, tar));
  return tree.finish();
}

/// The host's fault (no space, no right), not the layer's: no use in reading on.
bool is_hosts(const Failure& failure) { return !failure.call.empty(); }

Json list(std::vector<std::string>& values) {
  std::sort(values.begin(), values.end());
  Json json = Json::array();
  for (std::string& value : values) json.push(std::move(value));
  return json;
}

int report(Json json, int status) {
  const std::string line = json.dump() + "\n";
  (void)write_all(STDOUT_FILENO, line);
  return status;
}

int report_failure(const Failure& failure, const std::string& digest) {
  Json json = Json::object();
  json.set("ok", false).set("error", failure_to_json(failure));
  if (!digest.empty()) json.set("digest", digest);
  return report(std::move(json), 1);
}

int run(const Options& options) {
  Result<UniqueFd> root = enter(options.into);
  if (!root.ok()) return report_failure(root.failure(), "");
  Line line(options.line);
  Tree tree(std::move(root).take(), options.tree);
  Status extracted = extract(line, tree);
  if (!extracted.ok()) {
    if (is_hosts(extracted.failure())) _exit(report_failure(extracted.failure(), ""));
    line.abandon();
  }
  line.drain();
  // What made the stream end too early says more than that it did.
  if (!line.status().ok()) return report_failure(line.status().failure(), line.digest());
  if (!extracted.ok()) return report_failure(extracted.failure(), line.digest());
  TreeSummary summary = tree.take_summary();
  Json json = Json::object();
  json.set("ok", true).set("digest", line.digest()).set("diffId", line.diff_id());
  json.set("bytes", summary.bytes).set("files", summary.files);
  json.set("implicit", list(summary.implicit)).set("opaque", list(summary.opaque));
  return report(std::move(json), 0);
}

}  // namespace
}  // namespace stack::layer

int unpack_main(int argc, char** argv) {
  stack::Result<stack::layer::Options> options = stack::layer::parse(argc, argv);
  if (!options.ok()) return stack::layer::report_failure(options.failure(), "");
  return stack::layer::run(*options);
}
