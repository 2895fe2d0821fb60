#include "serving/openai/chat_messages.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/strict_json.h"
#include "serving/openai/tools.h"

namespace longrun::serving {
namespace {

using nlohmann::json;

constexpr size_t kLongestCallId = 256;

class MessageReader {
 public:
  MessageReader(const RequestLimits& limits, BodyFields* fields)
      : limits_(limits), fields_(fields), argument_values_(limits.argument_values) {}

  ChatMessage Read(const json& message, const std::string& where) {
    ChatMessage read;
    if (!message.is_object()) {
      fields_->WrongType(where, "an object", message);
      return read;
    }
    const json role = message.value("role", json());
    if (role != "system" && role != "developer" && role != "user" && role != "assistant" &&
        role != "tool") {
      fields_->Fail(where + ".role", "Invalid '" + where +
                                         ".role': system, developer, user, assistant or tool is "
                                         "right.");
      return read;
    }
    // Templates know no developers: who speaks above the user is the system.
    read.role = role == "developer" ? "system" : role.get<std::string>();
    BodyFields own(message, where + ".");
    if (own.Find("function_call") != nullptr)
      own.Fail("function_call", "'function_call' is deprecated and not read here; 'tool_calls' is.",
               "unsupported_parameter");
    const json* calls = own.Find("tool_calls");
    if (calls != nullptr && !calls->empty()) ReadCalls(*calls, where + ".tool_calls", &read);
    own.String("name", &read.name);
    fields_->Take(own);
    if (read.tool_calls.empty() || own.Find("content") != nullptr)
      read.content = Content(message, where);
    if (read.role == "tool") ReadResult(message, where, &read);
    return read;
  }

 private:
  // Text, or an array of parts that are all text.
  std::string Content(const json& message, const std::string& where) {
    const BodyFields own(message);
    const json* content = own.Find("content");
    if (content == nullptr) {
      fields_->Missing(where + ".content");
      return "";
    }
    if (content->is_string()) return content->get<std::string>();
    if (!content->is_array()) {
      fields_->WrongType(where + ".content", "a string or an array of text parts", *content);
      return "";
    }
    std::string text;
    for (const json& part : *content) {
      if (!part.is_object() || part.value("type", json()) != "text" || !part.contains("text") ||
          !part["text"].is_string()) {
        fields_->Fail(where + ".content", "Invalid '" + where +
                                              ".content': this model reads parts of type \"text\" "
                                              "alone.");
        return "";
      }
      text += part["text"].get_ref<const std::string&>();
    }
    return text;
  }

  void ReadCalls(const json& calls, const std::string& where, ChatMessage* to) {
    if (to->role != "assistant")
      return fields_->Fail(where, "Invalid '" + where + "': an assistant alone calls tools.");
    if (!calls.is_array()) return fields_->WrongType(where, "an array", calls);
    if (static_cast<int64_t>(calls.size()) > limits_.tools)
      return fields_->Fail(where,
                           absl::StrCat("Invalid '", where, "': ", calls.size(), " calls; at most ",
                                        limits_.tools, " are read."),
                           "array_above_max_length");
    for (size_t i = 0; i < calls.size() && fields_->ok(); ++i)
      to->tool_calls.push_back(ReadCall(calls[i], absl::StrCat(where, "[", i, "]")));
  }

  ToolCall ReadCall(const json& call, const std::string& where) {
    ToolCall read;
    if (!call.is_object()) {
      fields_->WrongType(where, "an object", call);
      return read;
    }
    BodyFields own(call, where + ".");
    own.String("id", &read.id);
    if (read.id.empty()) own.Missing("id");
    if (read.id.size() > kLongestCallId)
      own.Fail("id", "Invalid '" + where + ".id': at most 256 bytes are right.",
               "string_above_max_length");
    if (call.value("type", json("function")) != "function")
      own.Fail("type", "Invalid '" + where + ".type': \"function\" is right.");
    const json* function = own.Find("function");
    if (function == nullptr) own.Missing("function");
    if (function != nullptr && !function->is_object())
      own.WrongType("function", "an object", *function);
    if (own.ok()) ReadFunction(*function, where + ".function.", &own, &read);
    fields_->Take(own);
    if (fields_->ok()) called_[read.id] = read.name;
    return read;
  }

  void ReadFunction(const json& function, const std::string& path, BodyFields* call, ToolCall* to) {
    BodyFields own(function, path);
    std::string arguments;
    own.String("name", &to->name);
    own.String("arguments", &arguments);
    CheckToolName("name", to->name, &own);
    to->bytes = to->id.size() + to->name.size() + arguments.size();
    to->arguments = nlohmann::ordered_json::object();
    // Some clients send nothing for a function without parameters.
    if (own.ok() && !arguments.empty()) {
      absl::StatusOr<nlohmann::ordered_json> parsed = model::ParseStrictOrderedJson(
          arguments, "the arguments", {.values = argument_values_, .keys = argument_values_});
      if (!parsed.ok() || !parsed->is_object()) {
        own.Fail(
            "arguments",
            absl::StrCat("Invalid '", path, "arguments': the text of a JSON object is right",
                         parsed.ok() ? "" : "; ", std::string(parsed.status().message()), "."));
      } else {
        to->arguments = *std::move(parsed);
        argument_values_ -= CountValues(to->arguments);
      }
    }
    call->Take(own);
  }

  // Some templates want to know which tool it was, though OpenAI's messages do not say.
  void ReadResult(const json& message, const std::string& where, ChatMessage* to) {
    BodyFields own(message, where + ".");
    own.String("tool_call_id", &to->tool_call_id);
    if (to->tool_call_id.empty()) own.Missing("tool_call_id");
    const auto call = called_.find(to->tool_call_id);
    if (call == called_.end()) {
      own.Fail("tool_call_id", "Invalid '" + where +
                                   ".tool_call_id': no message before it has a "
                                   "call with the id \"" +
                                   to->tool_call_id.substr(0, kLongestCallId) +
                                   "\" in its 'tool_calls'.");
    } else if (to->name.empty()) {
      to->name = call->second;
    }
    fields_->Take(own);
  }

  const RequestLimits& limits_;
  BodyFields* const fields_;
  int64_t argument_values_;                    // that calls may still have
  std::map<std::string, std::string> called_;  // the names of tools, by the calls' ids
};

}  // namespace

std::vector<ChatMessage> ReadMessages(const RequestLimits& limits, BodyFields* fields) {
  std::vector<ChatMessage> messages;
  const json* array = fields->Find("messages");
  if (array == nullptr) {
    fields->Missing("messages");
    return messages;
  }
  if (!fields->CheckArray("messages", *array, "messages", limits.messages)) return messages;
  MessageReader reader(limits, fields);
  size_t bytes = 0;
  for (size_t i = 0; i < array->size() && fields->ok(); ++i) {
    messages.push_back(reader.Read((*array)[i], absl::StrCat("messages[", i, "]")));
    const ChatMessage& read = messages.back();
    bytes += read.content.size() + read.name.size() + read.tool_call_id.size();
    for (const ToolCall& call : read.tool_calls) bytes += call.bytes;
  }
  if (static_cast<int64_t>(bytes) > limits.prompt_bytes)
    fields->Fail("messages",
                 absl::StrCat("Invalid 'messages': ", bytes, " bytes; at most ",
                              limits.prompt_bytes, " are read."),
                 "context_length_exceeded");
  return messages;
}

}  // namespace longrun::serving
