// Unit tests of the pieces below the OCI runtime; built with the address and undefined-behaviour
// sanitizers by test/integration/oci-core.test.ts. Prints the first thing that is wrong and ends
// with 1.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "../runtime/container_state.h"
#include "../runtime/oci_args.h"
#include "../runtime/oci_config.h"
#include "cgroup.h"
#include "cgroup_devices.h"
#include "fd.h"
#include "fs.h"
#include "json.h"
#include "mount.h"

using namespace stack;

#define CHECK(condition)                                          \
  do {                                                            \
    if (!(condition)) {                                           \
      std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                               \
    }                                                             \
  } while (0)

namespace {

bool parses(std::string_view text) { return Json::parse(text).ok(); }

void json_accepts_exactly_json() {
  for (const char* good :
       {"null", "true", " [1 , 2]\n", "{}", "-0", "1e5", "0.5E-3", "\"\\u00e9\\ud83d\\ude00\"",
        "[[],{}]", "18446744073709551615", "-9223372036854775808"}) {
    CHECK(parses(good));
  }
  for (const char* bad : {"",
                          " ",
                          "nul",
                          "[1,]",
                          "{\"a\":1,}",
                          "01",
                          "1.",
                          ".5",
                          "+1",
                          "\"\t\"",
                          "\"\\x\"",
                          "[1 2]",
                          "{1:2}",
                          "\"\\ud800\"",
                          "\"\\udc00\"",
                          "1 2",
                          "\"abc",
                          "[",
                          "{\"a\"",
                          "NaN",
                          "\xff",
                          "\"\xc0\xaf\"",
                          "\"\xed\xa0\x80\"",
                          "\"\xf5\x80\x80\x80\"",
                          "1e999",
                          "'a'",
                          "// c\n1"}) {
    CHECK(!parses(bad));
  }
  CHECK(!parses(std::string(200, '[') + std::string(200, ']')));
  CHECK(parses(std::string(100, '[') + std::string(100, ']')));
}

void json_keeps_values() {
  auto json = Json::parse(
      R"({"a":1,"b":[true,null,"x\n\u0000y"],"c":18446744073709551615,"d":-5,"e":2.0,"a":7})");
  CHECK(json.ok());
  CHECK((*json)["a"].as_int() == 7);
  CHECK((*json)["b"].items()[2].as_string() == std::string("x\n\0y", 4));
  CHECK((*json)["c"].as_uint() == UINT64_MAX && (*json)["c"].as_int() == INT64_MAX);
  CHECK((*json)["d"].as_int() == -5 && (*json)["d"].as_uint(3) == 3);
  CHECK((*json)["e"].as_int() == 2);
  CHECK((*json)["nosuch"]["deeper"].is_null() && (*json)["d"]["x"].items().empty());
  auto again = Json::parse(json->dump());
  CHECK(again.ok() && again->dump() == json->dump());
  std::string out;
  append_json_string(out, "a\xff\x01\"\\\n");
  CHECK(out == "\"a\xef\xbf\xbd\\u0001\\\"\\\\\\n\"" && parses(out));
  auto failure = Json::parse("{\n \"a\": x}");
  CHECK(failure.failure().message.find("line 2, column 7") != std::string::npos);
}

/** Damaged documents: no crash, and what is accepted can be written and read again. */
void json_survives_damage() {
  std::mt19937 random(12345);
  const std::string seed =
      R"({"a":[1,2.5e3,"x\u00e9\ud83d\ude00",{"b":null,"c":[true,false]}],"d":-12,"e":""})";
  for (int round = 0; round < 50000; round++) {
    std::string text = seed;
    for (unsigned n = random() % 6; n > 0; n--) {
      size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 5);
          break;
        case 2:
          text.insert(at, text.substr(random() % text.size(), random() % 9));
          break;
        default:
          text.insert(at, 1, "{}[]\",:\\u09"[random() % 11]);
      }
      if (text.empty()) text = "x";
    }
    auto json = Json::parse(text);
    if (json.ok()) {
      auto again = Json::parse(json->dump());
      CHECK(again.ok() && again->dump() == json->dump());
    }
    (void)parse_oci_config(text).ok();
  }
}

void configurations_survive_damage() {
  const std::string seed =
      R"({"ociVersion":"1.2.0","process":{"cwd":"/","args":["a"],"user":{"uid":1,"gid":2},"rlimits":[{"type":)"
      R"("RLIMIT_NOFILE","soft":1,"hard":2}],"capabilities":{"bounding":["CAP_KILL"]}},"root":{"path":"r"},"mounts":)"
      R"([{"destination":"/proc","type":"proc","source":"proc","options":["ro"]}],"linux":{"namespaces":[{"type":)"
      R"("pid"}],"devices":[{"path":"/dev/x","type":"c","major":1,"minor":3}],"resources":{"memory":{"limit":1}}}})";
  CHECK(parse_oci_config(seed).ok());
  std::mt19937 random(777);
  const char* values[] = {
      "null", "[]", "{}", "-1", "1e300", "\"\"", "true", "99999999999999999999", "\"\\u0000\""};
  for (int round = 0; round < 20000; round++) {
    std::string text = seed;
    size_t colon = text.find(':', random() % text.size());
    if (colon == std::string::npos) continue;
    size_t end = text.find_first_of(",}]", colon);
    text.replace(colon + 1, end - colon - 1, values[random() % 9]);
    auto config = parse_oci_config(text);
    if (!config.ok()) CHECK(!config.failure().message.empty());
  }
}

void paths_stay_in_their_root() {
  char name[] = "/tmp/stack-core-XXXXXX";
  CHECK(::mkdtemp(name) != nullptr);
  UniqueFd root(::open(name, O_PATH | O_DIRECTORY | O_CLOEXEC));
  CHECK(::symlinkat("/etc", root.get(), "absolute") == 0);
  CHECK(::symlinkat("../../../../etc", root.get(), "climbing") == 0);
  CHECK(!open_in_root(root.get(), "/absolute/passwd", O_RDONLY).ok());
  CHECK(!open_in_root(root.get(), "climbing/passwd", O_RDONLY).ok());
  CHECK(!open_in_root(root.get(), "/../../../etc/passwd", O_RDONLY).ok());
  CHECK(make_directories_in_root(root.get(), "/a/b/c").ok());
  CHECK(make_file_in_root(root.get(), "/a/b/file").ok() &&
        make_file_in_root(root.get(), "/a/b/file").ok());
  CHECK(::symlinkat("/nowhere", root.get(), "dangling") == 0);
  CHECK(make_file_in_root(root.get(), "/dangling").ok());
  CHECK(exists(std::string(name) + "/nowhere") && !exists("/nowhere"));
  CHECK(::symlinkat("../../up/../there", root.get(), "a/link") == 0);
  CHECK(make_directories_in_root(root.get(), "/a/link/x").ok());
  CHECK(exists(std::string(name) + "/there/x"));
  CHECK(::symlinkat("loop", root.get(), "loop") == 0);
  CHECK(!make_file_in_root(root.get(), "/loop/x").ok());
  CHECK(!open_in_root(root.get(), "/proc/self/root", O_PATH).ok());
  CHECK(clean_path("/a//b/../c/./") == "/a/c" && clean_path("..") == "/" &&
        clean_path("x") == "/x");
  CHECK(remove_tree(AT_FDCWD, name).ok() && !exists(name));
}

void a_tree_of_any_depth_is_removed() {
  char name[] = "/tmp/stack-deep-XXXXXX";
  CHECK(::mkdtemp(name) != nullptr);
  UniqueFd at(::open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int depth = 0; depth < 3000; depth++) {
    CHECK(::mkdirat(at.get(), "d", 0700) == 0 && ::mkdirat(at.get(), ".deep.1", 0700) == 0);
    CHECK(::symlinkat("/etc", at.get(), "link") == 0);
    at = UniqueFd(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK(at.get() >= 0);
  }
  CHECK(remove_tree(AT_FDCWD, name).ok() && !exists(name) && exists("/etc/passwd"));
}

void descriptors_travel() {
  FdPair pair = std::move(make_socketpair(SOCK_SEQPACKET)).take();
  int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  int fds[2] = {file, file};
  CHECK(send_fds(pair.first.get(), "hello", fds, 2).ok());
  auto got = recv_fds(pair.second.get());
  CHECK(got.ok() && got->data == "hello" && got->fds.size() == 2);
  CHECK((::fcntl(got->fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
  ::close(file);
  pair.first.reset();
  auto end = recv_fds(pair.second.get());
  CHECK(end.ok() && end->data.empty());
}

void weights_convert() {
  CHECK(limit_holds("memory.limit_in_bytes", "67110000", "67108864"));  // whole pages
  CHECK(!limit_holds("memory.limit_in_bytes", "67108864", "33554432"));
  CHECK(limit_holds("memory.memsw.limit_in_bytes", "-1", "9223372036854771712"));
  CHECK(limit_holds("cpuset.cpus", "0,1,2", "0-2") && !limit_holds("cpuset.cpus", "0-1", "0"));
  CHECK(limit_holds("cpu.max", "50000 100000", "50000 100000") &&
        limit_holds("cpu.max", "max", "max 100000") &&
        !limit_holds("cpu.max", "5000", "50000 100000"));
  CHECK(limit_holds("pids.max", "max", "max") && !limit_holds("pids.max", "max", "100"));
  CHECK(limit_holds("io.max", "8:0 rbps=1048576", "8:0 rbps=1048576 wbps=max riops=max wiops=max"));
  CHECK(!limit_holds("io.max", "8:0 rbps=1048576", "8:16 rbps=1048576 wbps=max"));
  CHECK(limit_holds("blkio.throttle.read_bps_device", "8:0 0", ""));
  CHECK(limit_holds("io.weight", "100", "default 100") &&
        !limit_holds("io.weight", "100", "default 1000"));
  CHECK(limit_holds("memory.oom_control", "1", "oom_kill_disable 1\nunder_oom 0\noom_kill 0"));
  CHECK(cpu_weight_of_shares(2) == 1 && cpu_weight_of_shares(1024) == 100 &&
        cpu_weight_of_shares(512) == 59);
  CHECK(cpu_weight_of_shares(2048) == 174 && cpu_weight_of_shares(262144) == 10000 &&
        cpu_weight_of_shares(0) == 0);
  for (uint64_t shares = 3; shares < 262144; shares++) {
    double l = std::log2(static_cast<double>(shares));
    double weight = std::ceil(std::pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0));
    CHECK(cpu_weight_of_shares(shares) == static_cast<uint64_t>(weight));
  }
  CHECK(io_weight_of_blkio(10) == 1 && io_weight_of_blkio(500) == 4950 &&
        io_weight_of_blkio(1000) == 10000);
}

void mount_options_mean_what_mount_says() {
  auto options = parse_mount_options(
      {"rbind", "ro", "nosuid", "rprivate", "size=5k", "noatime", "rw", "rro", "relatime"});
  CHECK(options.bind && options.recursive && options.propagation == MS_PRIVATE &&
        options.propagation_recursive);
  CHECK((options.set & MOUNT_ATTR_RDONLY) == 0 && (options.clear & MOUNT_ATTR_RDONLY) != 0);
  CHECK((options.set & MOUNT_ATTR__ATIME) == 0 && (options.set & MOUNT_ATTR_NOSUID) != 0);
  CHECK((options.recursive_set & MOUNT_ATTR_RDONLY) != 0 && options.data == "size=5k");
}

void arguments_are_runcs() {
  std::vector<OciOption> options = {{"bundle", "b", true}, {"detach", "d", false}};
  std::vector<std::string> words = {"-b", "x", "--detach", "id", "--bundle", "y"};
  auto args = OciArgs::parse(words, options);
  CHECK(args.ok() && args->get("bundle") == "y" && args->has("detach") && args->rest().size() == 1);
  args = OciArgs::parse(words, options, OciArgs::Order::before_words);
  CHECK(args.ok() && args->get("bundle") == "x" && args->has("detach") && args->rest().size() == 3);
  CHECK(OciArgs::parse({"--bundle=z", "--", "-x"}, options)->rest()[0] == "-x");
  CHECK(!OciArgs::parse({"--nosuch"}, options).ok() && !OciArgs::parse({"-b"}, options).ok());
  CHECK(signal_number("SIGTERM") == 15 && signal_number("kill") == 9 &&
        signal_number("RTMIN+3") == 37);
  CHECK(signal_number("64") == 64 && signal_number("65") == 0 && signal_number("X") == 0 &&
        signal_number("") == 0);
  CHECK(capability_number("CAP_CHECKPOINT_RESTORE") == 40 && capability_number("CHOWN") == -1);
}

void users_come_from_the_image() {
  char name[] = "/tmp/stack-user-XXXXXX";
  CHECK(::mkdtemp(name) != nullptr);
  std::string root = name;
  CHECK(make_directories(root + "/etc").ok());
  CHECK(replace_file(root + "/etc/passwd",
                     "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/x\n1000:x:7:8::/n:/"
                     "x\nbad\nneg:x:-1:5::/:\nbig:x:4294967295:0::/:\n")
            .ok());
  CHECK(replace_file(root + "/etc/group",
                     "root:x:0:\nweb:x:34:\nextra:x:50:other,web\nmore:x:51:web\n")
            .ok());
  UniqueFd fd(::open(name, O_PATH | O_DIRECTORY | O_CLOEXEC));
  auto web = resolve_user(fd.get(), "web");
  CHECK(web.ok() && web->uid == 33 && web->gid == 34 && web->home == "/srv");
  CHECK(web->additional_gids == (std::vector<gid_t>{50, 51}));
  auto grouped = resolve_user(fd.get(), "web:extra");
  CHECK(grouped.ok() && grouped->gid == 50 && grouped->additional_gids.empty());
  CHECK(resolve_user(fd.get(), "")->uid == 0 && resolve_user(fd.get(), "33")->gid == 34);
  CHECK(resolve_user(fd.get(), "1000")->uid == 7 && resolve_user(fd.get(), "1001:5")->gid == 5);
  for (const char* bad :
       {"nobody", "web:nogroup", "2147483648", "-1", "0:99999999999", "neg", "big"}) {
    CHECK(!resolve_user(fd.get(), bad).ok());
  }
  CHECK(remove_tree(AT_FDCWD, name).ok());
}

/** Runs a device program as the kernel does: r1 points to {access << 16 | type, major, minor}. */
uint64_t decide(const std::vector<bpf_insn>& code, const uint32_t (&context)[3]) {
  uint64_t registers[11] = {};
  for (size_t at = 0; at < code.size(); at++) {
    const bpf_insn& op = code[at];
    uint64_t& target = registers[op.dst_reg];
    auto operand = static_cast<uint32_t>(op.imm);
    auto low = static_cast<uint32_t>(target);
    switch (op.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        CHECK(op.src_reg == 1 && op.off >= 0 && op.off % 4 == 0 && op.off < 12);
        target = context[op.off / 4];
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        target = low & operand;
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        target = low >> operand;
        break;
      case BPF_ALU | BPF_MOV | BPF_X:
        target = static_cast<uint32_t>(registers[op.src_reg]);
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        target = static_cast<uint64_t>(static_cast<int64_t>(op.imm));
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
        if (low != operand) at += static_cast<size_t>(op.off);
        break;
      case BPF_JMP32 | BPF_JEQ | BPF_K:
        if (low == operand) at += static_cast<size_t>(op.off);
        break;
      case BPF_JMP | BPF_EXIT:
        return registers[0];
      default:
        CHECK(!"an instruction that the test does not know");
    }
  }
  CHECK(!"the program ends without an answer");
  return 2;
}

/** Which of r, w, rw, m may be done to a device under these rules: "r w rw m" if all. */
std::string allowed(const char* rules, char type, uint32_t major, uint32_t minor) {
  auto code = compile_device_rules(*Json::parse(rules));
  CHECK(code.ok());
  const std::pair<const char*, uint32_t> wishes[] = {
      {"r", BPF_DEVCG_ACC_READ},
      {"w", BPF_DEVCG_ACC_WRITE},
      {"rw", BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE},
      {"m", BPF_DEVCG_ACC_MKNOD}};
  uint32_t kind = type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
  std::string out;
  for (const auto& [name, access] : wishes) {
    uint64_t answer = decide(*code, {access << 16 | kind, major, minor});
    CHECK(answer <= 1);
    if (answer == 1) out += (out.empty() ? "" : " ") + std::string(name);
  }
  return out;
}

void device_rules_of_the_same_devices_add_up() {
  const std::string device = R"("type":"c","major":10,"minor":200,"access":)";
  auto allow = [&](const char* access) {
    return R"({"allow":true,)" + device + '"' + access + "\"}";
  };
  auto deny = [&](const char* access) {
    return R"({"allow":false,)" + device + '"' + access + "\"}";
  };
  auto of = [](const std::string& rules) {
    return allowed(("[" + rules + "]").c_str(), 'c', 10, 200);
  };
  CHECK(of("") == "m");
  CHECK(of(allow("r")) == "r m" && of(allow("w")) == "w m" && of(allow("rw")) == "r w rw m");
  CHECK(of(allow("r") + "," + allow("w")) == "r w rw m");
  CHECK(of(allow("w") + "," + allow("r")) == "r w rw m");
  // Also with others' rules between them, and over more than two.
  const char* other = R"({"allow":false,"type":"c","major":10,"minor":201,"access":"rwm"})";
  CHECK(of(allow("r") + "," + other + "," + allow("m") + "," + allow("w")) == "r w rw m");
  // What is denied in between stays denied, what is denied later is so, what comes again is back.
  CHECK(of(allow("r") + "," + deny("r") + "," + allow("w")) == "w m");
  CHECK(of(allow("r") + "," + deny("w") + "," + allow("w")) == "r w rw m");
  CHECK(of(allow("r") + "," + allow("w") + "," + deny("w")) == "r m");
  CHECK(of(allow("r") + "," + deny("r") + "," + allow("w") + "," + allow("r")) == "r w rw m");
  const char* everything = R"({"allow":false,"access":"rwm"})";
  CHECK(of(allow("r") + "," + everything + "," + allow("w")) == "w m");
  // A denial of one device of many holds against what was allowed for all of them before it.
  const char* many = R"([{"allow":true,"type":"c","major":10,"access":"r"},)"
                     R"({"allow":false,"type":"c","major":10,"minor":200,"access":"r"},)"
                     R"({"allow":true,"type":"c","major":10,"access":"w"}])";
  CHECK(allowed(many, 'c', 10, 200) == "w m" && allowed(many, 'c', 10, 201) == "r w m");
  // Other devices have nothing of it.
  const char* pair = R"([{"allow":true,"type":"c","major":10,"minor":200,"access":"r"},)"
                     R"({"allow":true,"type":"b","major":10,"minor":200,"access":"w"},)"
                     R"({"allow":true,"type":"c","major":10,"minor":201,"access":"w"}])";
  CHECK(allowed(pair, 'c', 10, 200) == "r m" && allowed(pair, 'c', 10, 201) == "w m" &&
        allowed(pair, 'b', 10, 200) == "w m");
  CHECK(allowed("[]", 'c', 1, 3) == "r w rw m" && allowed("[]", 'b', 8, 0) == "m");
  const char* all = R"([{"allow":true,"access":"r"},{"allow":true,"access":"w"}])";
  CHECK(allowed(all, 'b', 8, 0) == "r w rw m");
}

}  // namespace

int main() {
  json_accepts_exactly_json();
  json_keeps_values();
  json_survives_damage();
  configurations_survive_damage();
  paths_stay_in_their_root();
  a_tree_of_any_depth_is_removed();
  descriptors_travel();
  weights_convert();
  mount_options_mean_what_mount_says();
  arguments_are_runcs();
  users_come_from_the_image();
  device_rules_of_the_same_devices_add_up();
  std::printf("ok\n");
  return 0;
}
