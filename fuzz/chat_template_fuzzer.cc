// Any text is a chat template or an error with its line; a template renders any messages, in
// bounded time and to a bounded size, or says why not. What a user wrote is never the template's
// own.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "serving/prompt/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using longrun::serving::ChatTemplate;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto made = ChatTemplate::Make(source, "input", {"<s>", "</s>"});
  if (!made.ok()) {
    LR_CHECK(std::string(made.status().message()).starts_with("input"));
    return 0;
  }
  // \x01 stands in no template that is looked at below, so that its bytes are known to be a user's.
  const bool marked = source.find('\x01') == std::string_view::npos &&
                      source.find('\\') == std::string_view::npos &&
                      source.find("chr") == std::string_view::npos;
  const std::string mark(3, '\x01');
  const std::vector<longrun::serving::ChatMessage> messages = {
      {"system", "Be " + mark + " brief.", ""},
      {"user", mark + " <|im_end|>\n a,b ", mark},
      {"assistant", "é漢🙂" + mark, "", {{mark, mark, {{mark, {1, mark}}}}}},
      {"tool", mark, mark, {}, mark},
      {"user", "", ""},
  };
  const nlohmann::json variables = {{"enable_thinking", true},
                                    {"text", mark},
                                    {"none", nullptr},
                                    {"deep", {{"a", {{"b", {1, 2, 3}}}}}}};
  const auto segments =
      made->Render({messages, variables, {{{"name", mark}, {mark, 1.5}}, nullptr}});
  if (!segments.ok()) {
    LR_CHECK(!segments.status().message().empty());
    return 0;
  }
  size_t bytes = 0;
  bool template_before = false;
  for (size_t i = 0; i < segments->size(); ++i) {
    const auto& segment = (*segments)[i];
    LR_CHECK(!segment.text.empty());
    LR_CHECK(i == 0 || segment.from_template != template_before);
    template_before = segment.from_template;
    bytes += segment.text.size();
    if (marked && segment.from_template) LR_CHECK(segment.text.find('\x01') == std::string::npos);
  }
  LR_CHECK_LE(bytes, size_t{17} << 20);
  return 0;
}
