// Fields that other servers add to OpenAI's API. Most that are unknown here may be left unread;
// some would change what is answered, and a client that sends one would take the answer for what it
// is not. Pure.
#pragma once

#include "serving/openai/body_fields.h"

namespace longrun::serving {

// Refuses what vLLM and llama.cpp compute by such fields and this server does not: formats other
// than 'response_format', answers that continue the last message, beams, least lengths.
void RefusePeerFields(BodyFields* fields);

}  // namespace longrun::serving
