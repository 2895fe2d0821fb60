#include "serving/openai/peer_fields.h"

#include <nlohmann/json.hpp>
#include <string>

namespace longrun::serving {
namespace {

constexpr const char* kFormats[] = {"guided_json",    "guided_regex",       "guided_choice",
                                    "guided_grammar", "structured_outputs", "grammar",
                                    "json_schema"};
constexpr const char* kOthers[] = {"allowed_token_ids", "bad_words",       "continue_final_message",
                                   "logits_processors", "prompt_logprobs", "truncate_prompt_tokens",
                                   "use_beam_search"};

// Values that ask for nothing.
bool Asks(const nlohmann::json* value) {
  return value != nullptr && *value != false && *value != 0 && *value != "" &&
         !(value->is_structured() && value->empty());
}

void Refuse(const std::string& key, const std::string& instead, BodyFields* fields) {
  fields->Fail(key, "'" + key + "' is not supported" + instead + ".", "unsupported_parameter");
}

}  // namespace

void RefusePeerFields(BodyFields* fields) {
  for (const char* key : kFormats) {
    if (Asks(fields->Find(key))) {
      Refuse(key, "; 'response_format' with a JSON schema is", fields);
    }
  }
  for (const char* key : kOthers) {
    if (Asks(fields->Find(key))) Refuse(key, "", fields);
  }
  const nlohmann::json* prompt = fields->Find("add_generation_prompt");
  if (prompt != nullptr && *prompt == false) {
    fields->Fail("add_generation_prompt",
                 "'add_generation_prompt' is not supported other than true.",
                 "unsupported_parameter");
  }
  // Benchmarks send it together with ignore_eos, by which no answer ends early.
  const nlohmann::json* endless = fields->Find("ignore_eos");
  if (Asks(fields->Find("min_tokens")) && (endless == nullptr || *endless != true)) {
    Refuse("min_tokens", " without 'ignore_eos'", fields);
  }
}

}  // namespace longrun::serving
