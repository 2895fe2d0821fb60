// What `longrun` exits with; documented by `longrun --help`. Numbers from 64 on are sysexits.h's.
#pragma once

#include "base/status.h"

namespace longrun::cli {

inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;        // the run failed or was cancelled; the request was refused
inline constexpr int kUsage = 2;         // an unknown subcommand or flag, a value that cannot be
inline constexpr int kUnavailable = 69;  // no controller answers
inline constexpr int kInternal = 70;     // the machine refused (disk, memory, processes)
inline constexpr int kBusy = 75;         // another controller holds the state folder
inline constexpr int kBadInput = 78;     // the manifest, or a file it names
inline constexpr int kInterrupted = 130;  // Ctrl-C

// The exit code that fits an error of a controller or of the journal.
int ExitCodeOf(const absl::Status& status);

// Prints "longrun: message" to standard error, further lines as they are.
void PrintError(const absl::Status& status);

}  // namespace longrun::cli
