// Text from files, cut into documents: a file is a document, and of a file in the format of fortune
// (lines of a lone % separate quotations) each quotation is one. Pure functions of any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace longrun::training {

// The text files that `inputs` name: files, folders (everything below, except hidden files and the
// .dat indexes beside fortune files) and shell patterns. Sorted within each input; a file that
// several names lead to stands once. NotFound names an input that leads to no file.
absl::StatusOr<std::vector<std::string>> FindTextFiles(const std::vector<std::string>& inputs);

// The text of one file. InvalidArgument, naming the file and what would be right, where it is empty
// or binary (holds a NUL byte).
absl::StatusOr<std::string> ReadText(const std::string& path);

// Calls `visit` with each document of a text, in order; blank ones are left out.
void ForEachDocument(std::string_view text, const std::function<void(std::string_view)>& visit);

}  // namespace longrun::training
