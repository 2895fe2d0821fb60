#include "agent/environment.h"

#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace longrun::agent {

std::vector<std::string> RankEnvironment(const std::map<std::string, std::string>& inherited,
                                         const fleet::RunSpec& spec,
                                         const fleet::DesiredMember& member, const NodeFacts& facts,
                                         const std::string& run_folder) {
  std::map<std::string, std::string> all;
  for (const auto& [name, value] : inherited) {
    if (!absl::StartsWith(name, "LONGRUN_")) all[name] = value;
  }
  for (const char* name :
       {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}) {
    all.erase(name);
  }
  for (const auto& [name, value] : spec.env) all[name] = value;
  if (member.rank >= 0) {
    all["RANK"] = absl::StrCat(member.rank);
    all["WORLD_SIZE"] = absl::StrCat(member.world);
    all["LOCAL_RANK"] = absl::StrCat(member.local_rank);
    all["LOCAL_WORLD_SIZE"] = absl::StrCat(member.local_world);
    all["MASTER_ADDR"] = member.master_address;
    all["MASTER_PORT"] = absl::StrCat(member.master_port);
  }
  all["LONGRUN_RUN"] = member.run.text;
  all["LONGRUN_MEMBER"] = absl::StrCat(member.member);
  all["LONGRUN_INCARNATION"] = absl::StrCat(member.incarnation);
  all["LONGRUN_ROLE"] = member.rank >= 0 ? "rank" : "spare";
  all["LONGRUN_NODE"] = facts.node;
  all["LONGRUN_ACCELERATORS"] = absl::StrJoin(member.accelerators, ",");
  all["LONGRUN_RUN_DIR"] = run_folder;
  all["LONGRUN_SOCKET"] = facts.socket_path;
  const fleet::CheckpointSpec& checkpoint = spec.checkpoint;
  if (!checkpoint.automatic) {
    all["LONGRUN_CHECKPOINT_EVERY"] = checkpoint.every_steps > 0
                                          ? absl::StrCat(checkpoint.every_steps)
                                          : absl::StrCat(checkpoint.every.us / 1000, "ms");
  }
  if (facts.nvidia) all["CUDA_VISIBLE_DEVICES"] = all["LONGRUN_ACCELERATORS"];
  std::string& path = all["PATH"];
  if (path.empty()) path = "/usr/local/bin:/usr/bin:/bin";
  if (!facts.program_folder.empty()) absl::StrAppend(&path, ":", facts.program_folder);
  std::vector<std::string> entries;
  for (const auto& [name, value] : all) entries.push_back(absl::StrCat(name, "=", value));
  return entries;
}

std::map<std::string, std::string> OwnEnvironment() {
  std::map<std::string, std::string> own;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string::npos) own[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return own;
}

std::string SocketMark(const std::string& socket_path) {
  return absl::StrCat("LONGRUN_SOCKET=", socket_path);
}

}  // namespace longrun::agent
