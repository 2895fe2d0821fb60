// The program's log, for operators: what it did and what it met, one line each, to standard error
// or a file. What users read (progress, results, errors) is printed by the command line, not
// logged.
#pragma once

#include <string>

#include "spdlog/spdlog.h"

namespace longrun {

// `where`: a file to append to (rotated at 10 MiB, 3 kept), or "" for standard error.
// `level`: trace, debug, info, warning, error, off.
void SetUpLog(const std::string& program, const std::string& where, const std::string& level);

namespace log = spdlog;

}  // namespace longrun
