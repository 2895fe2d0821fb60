// JSON schemas to grammar. What a schema's keywords mean here, where that is narrower than JSON
// schema (draft 2020-12) has it:
//  - properties come in the schema's order; without additionalProperties there are no others,
//    unless no properties are named at all;
//  - oneOf is anyOf; allOf is read where its parts can be laid side by side;
//  - texts are written as json_rules.h says.
// What is not read is refused, never left out: a text that is accepted is valid.
#pragma once

#include <string_view>

#include "base/status.h"
#include "serving/grammar/grammar.h"
#include "serving/request.h"

namespace longrun::serving {

// InvalidArgument names the place as a JSON pointer ("#/properties/a/not: …"). Time and memory are
// bounded, whatever the schema: it has at most 64 KiB, 10,000 parts and 50,000 states.
absl::StatusOr<Grammar> CompileSchema(std::string_view schema);
// Calls of tools: `schemas` as Format has them, within the same bounds.
absl::StatusOr<Grammar> CompileCalls(std::string_view schemas, const CallSyntax& syntax);

// Any JSON object.
Grammar ObjectGrammar();

}  // namespace longrun::serving
