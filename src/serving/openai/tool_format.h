// How a family of models writes the calls of tools in its answers. Plain values and pure functions.
//
//   hermes   <tool_call>\n{"name": "f", "arguments": {…}}\n</tool_call>, anywhere, several
//   llama3   {"name": "f", "parameters": {…}}, the whole answer; <|python_tag|> may stand before it
//   mistral  [TOOL_CALLS][{"name": "f", "arguments": {…}}, …]
//   none     calls are not looked for; where one is asked for it is written as llama3's
//
// Sources: NousResearch's Hermes-Function-Calling (and Qwen 2.5, which follows it); Meta's prompt
// format of Llama 3.1; Mistral's tokenizer v3.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "serving/openai/tools.h"
#include "serving/request.h"

namespace longrun::serving {

enum class ToolFormat { kNone, kHermes, kLlama3, kMistral };

// InvalidArgument names those that there are.
absl::StatusOr<ToolFormat> ParseToolFormat(const std::string& name);
// The one that a chat template asks of its model; kNone where it cannot be told.
ToolFormat ToolFormatOf(std::string_view template_source);

// What stands before a call ("" where nothing does) and after it.
std::string_view MarkerBefore(ToolFormat format);
std::string_view MarkerAfter(ToolFormat format);
// Special tokens without which a call could not be told from other text.
std::vector<std::string_view> MarkerTokens(ToolFormat format);
// Mistral's templates want nine letters and digits.
std::string NewCallId(ToolFormat format);

// The text must be calls of these tools, `most` of them where several are allowed. `otherwise`:
// JSON that it may be instead; of a text without a format it may not.
Format CallsAlone(ToolFormat format, const ToolFields& tools, int64_t most,
                  const Format& otherwise = {});

}  // namespace longrun::serving
