#pragma once

namespace longrun::cli {

inline constexpr char kVersion[] = LONGRUN_VERSION;

}  // namespace longrun::cli
