// The first byte chooses how a model writes calls, the second where its answer is cut; the rest is
// the answer. However it is cut the same is read of it; calls are of the tools that there are, no
// more than there may be, and what is held back stays small.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "serving/openai/tool_call_reader.h"

namespace {

using longrun::serving::CallPiece;
using longrun::serving::Spoken;
using longrun::serving::ToolCallReader;
using longrun::serving::ToolFormat;
using longrun::serving::ToolReading;

constexpr int64_t kMost = 3;

struct Answer {
  std::string content;
  std::vector<CallPiece> calls;  // each whole

  void Add(Spoken said) {
    content += said.content;
    for (CallPiece& piece : said.calls) {
      if (!piece.name.empty()) {
        LR_CHECK_EQ(piece.index, static_cast<int64_t>(calls.size()));
        LR_CHECK(piece.name == "f" || piece.name == "get_weather");
        calls.push_back(std::move(piece));
      } else {
        LR_CHECK_EQ(piece.index + 1, static_cast<int64_t>(calls.size()));
        calls.back().arguments += piece.arguments;
      }
    }
  }
};

Answer Read(const std::shared_ptr<const ToolReading>& reading, std::string_view text,
            size_t piece_bytes) {
  ToolCallReader reader(reading);
  Answer answer;
  for (; !text.empty(); text.remove_prefix(std::min(piece_bytes, text.size()))) {
    answer.Add(reader.Push(text.substr(0, piece_bytes)));
    LR_CHECK_LE(reader.held_bytes(), size_t{80'000});
  }
  answer.Add(reader.Finish());
  return answer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  constexpr ToolFormat kFormats[] = {ToolFormat::kHermes, ToolFormat::kLlama3, ToolFormat::kMistral,
                                     ToolFormat::kNone};
  auto reading = std::make_shared<ToolReading>();
  reading->format = kFormats[data[0] % 4];
  reading->calls_alone = (data[0] & 4) != 0;
  reading->names = {"f", "get_weather"};
  reading->most = kMost;
  reading->new_id = [] { return "id"; };
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Answer whole = Read(reading, text, text.size());
  const Answer cut = Read(reading, text, 1 + data[1] % 16);
  LR_CHECK(whole.content == cut.content);
  LR_CHECK_LE(static_cast<int64_t>(whole.calls.size()), kMost);
  LR_CHECK_EQ(whole.calls.size(), cut.calls.size());
  for (size_t i = 0; i < cut.calls.size(); ++i) {
    LR_CHECK(whole.calls[i].name == cut.calls[i].name);
    LR_CHECK(whole.calls[i].arguments == cut.calls[i].arguments);
  }
  if (whole.calls.empty()) LR_CHECK(whole.content == text);
  return 0;
}
