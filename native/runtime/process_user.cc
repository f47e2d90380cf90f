#include "process_user.h"

#include <algorithm>

#include "container.h"
#include "supervision.h"

namespace stack {

void set_capabilities(OciProcess& process, bool privileged) {
  OciCapabilities sets = process.capabilities.value_or(OciCapabilities{});
  if (privileged) sets.bounding = (uint64_t{1} << capability_names().size()) - 1;
  sets.inheritable = sets.ambient = 0;
  sets.effective = sets.permitted = process.uid == 0 || privileged ? sets.bounding : 0;
  process.capabilities = sets;
}

Status take_user(OciProcess& process, int root, const std::string& user) {
  ResolvedUser resolved = TRY(resolve_user(root, user));
  process.uid = resolved.uid;
  process.gid = resolved.gid;
  process.additional_gids = resolved.additional_gids;
  // The primary group is among them too, so that dropping it by setgid gains nothing
  // (CVE-2022-36109).
  if (std::ranges::find(process.additional_gids, process.gid) == process.additional_gids.end())
    process.additional_gids.insert(process.additional_gids.begin(), process.gid);
  if (!has_variable(process.env, "HOME")) process.env.push_back("HOME=" + resolved.home);
  set_capabilities(process, false);
  return ok();
}

}  // namespace stack
