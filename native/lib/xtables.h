#pragma once
// The old iptables (xtables), where a host still filters with it: its kernel interface replaces a
// whole table at once. Nothing here makes a table: looking at one that does not exist would create
// it, so /proc is asked first. Sources: include/uapi/linux/netfilter_ipv4/ip_tables.h,
// netfilter_ipv6/ip6_tables.h, netfilter/x_tables.h.

#include <string>

#include "result.h"

namespace stack::xtables {

/// Does a forward filter of this family (AF_INET, AF_INET6) drop by policy? Then packets from the
/// link and to it get through from now on: two rules at the head of DOCKER-USER, where there is
/// one, else of FORWARD. True: they were added now. In the calling thread's network namespace.
Result<bool> let_through(int family, const std::string& link);
/// Takes these rules out again. True: there were some.
Result<bool> stop_letting_through(int family, const std::string& link);

}  // namespace stack::xtables
