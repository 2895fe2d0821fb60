// The messages of a chat, checked: who said what, which tools were called and what they gave.
#pragma once

#include <vector>

#include "serving/openai/body_fields.h"
#include "serving/openai/request_limits.h"
#include "serving/prompt/chat_template.h"

namespace longrun::serving {

std::vector<ChatMessage> ReadMessages(const RequestLimits& limits, BodyFields* fields);

}  // namespace longrun::serving
