// Does by hand what a monitor does for a container's network, through the same functions.
//   network_probe attach NETNS ROUTER BRIDGE PEER NAME MAC ADDRESS[,ADDRESS] [GATEWAY4 [GATEWAY6]]
//   network_probe redirect-dns NETNS UDP-PORT TCP-PORT
//   network_probe publish|unpublish TABLE tcp|udp HOST-IP|any HOST-PORT CONTAINER-IP CONTAINER-PORT
//   …(five each) network_probe forget-udp PORT
#include <netinet/in.h>

#include <cstdio>
#include <cstring>
#include <cstdlib>
#include <sstream>

#include "netlink.h"
#include "nft.h"
#include "xtables.h"

using namespace stack;

namespace {

Status attach(int argc, char** argv) {
  if (argc < 9) return fail("usage", "attach", EINVAL);
  UniqueFd netns = TRY(net::open_netns(argv[2]));
  UniqueFd router = TRY(net::open_netns(argv[3]));
  net::ContainerInterface interface;
  interface.bridge = argv[4];
  interface.peer = argv[5];
  interface.name = argv[6];
  interface.mac = TRY(net::parse_mac(argv[7]));
  std::istringstream addresses(argv[8]);
  for (std::string address; std::getline(addresses, address, ',');)
    interface.addresses.push_back(TRY(net::parse_prefix(address)));
  if (argc > 9 && argv[9][0] != '\0') interface.gateway4 = TRY(net::parse_ip(argv[9]));
  if (argc > 10) interface.gateway6 = TRY(net::parse_ip(argv[10]));
  return net::attach_container(netns.get(), router.get(), std::span(&interface, 1));
}

Status ports(bool publish, int argc, char** argv) {
  if (argc < 8 || (argc - 3) % 5 != 0) return fail("usage", "publish", EINVAL);
  std::vector<nft::PublishedPort> list;
  for (int i = 3; i < argc; i += 5) {
    nft::PublishedPort port;
    port.protocol = std::string_view(argv[i]) == "udp" ? IPPROTO_UDP : IPPROTO_TCP;
    if (std::string_view(argv[i + 1]) != "any") port.host = TRY(net::parse_ip(argv[i + 1]));
    port.host_port = static_cast<uint16_t>(std::atoi(argv[i + 2]));
    port.container = TRY(net::parse_ip(argv[i + 3]));
    port.container_port = static_cast<uint16_t>(std::atoi(argv[i + 4]));
    list.push_back(port);
  }
  return publish ? nft::publish_ports(-1, argv[2], list) : nft::unpublish_ports(-1, argv[2], list);
}

Status run(int argc, char** argv) {
  std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "attach") return attach(argc, argv);
  if (verb == "publish" || verb == "unpublish") return ports(verb == "publish", argc, argv);
  if (verb == "redirect-dns" && argc == 5) {
    UniqueFd netns = TRY(net::open_netns(argv[2]));
    return nft::redirect_dns(netns.get(), static_cast<uint16_t>(std::atoi(argv[3])),
                             static_cast<uint16_t>(std::atoi(argv[4])));
  }
  if ((verb == "let-through" || verb == "stop-letting-through") && argc == 3) {
    for (int family : {AF_INET, AF_INET6})
      (void)TRY(verb == "let-through" ? xtables::let_through(family, argv[2])
                                      : xtables::stop_letting_through(family, argv[2]));
    return ok();
  }
  if (verb == "forget-udp" && argc == 3) {
    auto port = static_cast<uint16_t>(std::atoi(argv[2]));
    return nft::forget_udp(-1, std::span(&port, 1));
  }
  return fail("usage", "no such verb", EINVAL);
}

}  // namespace

int main(int argc, char** argv) {
  auto done = run(argc, argv);
  if (done.ok()) return 0;
  std::fprintf(stderr, "%s (%s)\n", done.failure().text().c_str(),
               strerrorname_np(done.failure().err));
  return 1;
}
