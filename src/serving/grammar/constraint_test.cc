#include "serving/grammar/constraint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "model/bpe_trainer.h"
#include "model/text_samples.h"
#include "serving/grammar/schema_validator_for_tests.h"

namespace longrun::serving {
namespace {

using Json = nlohmann::ordered_json;
using model::Tokenizer;

// JSON, so that tokens span its borders: `":"`, `"},{"`, `, "` and the like.
const Tokenizer& Trained() {
  static const Tokenizer tokenizer = [] {
    std::string text = model::MixedScripts(1, 1 << 15);
    for (int i = 0; i < 300; ++i) {
      text += R"({"name":"x","a":1,"b":[true,false,null],"list":[{"a":-12.5e3},{"c":""}]})";
      text +=
          "\n{\n  \"name\": \"the\",\n  \"list\": [\n    1,\n    2\n  ]\n}, \"k\": \"\\u00e9\\n\"";
    }
    return *model::TrainBpe(text, 1200);
  }();
  return tokenizer;
}

std::vector<TokenId> Allowed(ConstraintState* state, const Tokenizer& tokenizer) {
  std::vector<uint32_t> mask(static_cast<size_t>((tokenizer.vocab_size() + 31) / 32));
  state->Mask(mask);
  std::vector<TokenId> tokens;
  for (TokenId t = 0; t < tokenizer.vocab_size(); ++t) {
    if (mask[static_cast<size_t>(t) / 32] >> (t % 32) & 1) tokens.push_back(t);
  }
  return tokens;
}

std::unique_ptr<ConstraintState> Start(const Tokenizer& tokenizer, const std::string& schema) {
  const auto compiler = ConstraintCompiler::Make(tokenizer);
  const auto constraint = compiler->Compile({FormatKind::kJsonSchema, schema});
  EXPECT_TRUE(constraint.ok()) << schema << ": " << constraint.status();
  return constraint.ok() ? (*constraint)->Start() : nullptr;
}

// Whether the text's tokens are accepted one by one and the text may end there.
bool Accepts(ConstraintState* state, const Tokenizer& tokenizer, const std::string& text) {
  for (const TokenId token : tokenizer.Encode(text)) {
    if (!state->Accept(token)) return false;
  }
  return state->Accept(*tokenizer.end_of_text());
}
bool Accepts(const std::string& schema, const std::string& text) {
  return Accepts(Start(Trained(), schema).get(), Trained(), text);
}

TEST(Constraint, ReadsWhatTheSchemaSays) {
  struct Case {
    const char* schema;
    std::vector<const char*> right;
    std::vector<const char*> wrong;
  };
  const std::vector<Case> cases = {
      {R"({"type":"null"})", {"null"}, {"nul", "nulll", "0", ""}},
      {R"({"type":"boolean"})", {"true", "false"}, {"True", "null"}},
      {R"({"type":"integer"})", {"0", "-1", "12345678901234"}, {"01", "1.0", "1e3", "-", "+1"}},
      {R"({"type":"number"})", {"0", "-1.50", "1e9", "2.5E-3"}, {".5", "1.", "1e", "0x1", "NaN"}},
      {R"({"type":"integer","minimum":-5,"maximum":12})",
       {"-5", "-1", "0", "7", "12"},
       {"-6", "13", "-0", "100", "012"}},
      {R"({"type":"integer","minimum":98,"exclusiveMaximum":1203})",
       {"98", "99", "100", "999", "1000", "1202"},
       {"97", "1203", "1204", "2000", "-98", "9"}},
      {R"({"type":"integer","exclusiveMaximum":-7.5})", {"-8", "-9", "-100"}, {"-7", "0", "8"}},
      {R"({"type":"integer","exclusiveMinimum":3})", {"4", "10"}, {"3", "2", "-4"}},
      {R"({"type":"number","minimum":0,"maximum":1})",
       {"0", "0.5", "0.999", "1", "1.0"},
       {"-0.5", "1.01", "2", "1e0"}},
      {R"({"type":"number","exclusiveMinimum":0,"exclusiveMaximum":2})",
       {"0.001", "1", "1.999"},
       {"0", "0.0", "2", "2.0", "-1"}},
      {R"({"type":"number","minimum":-2,"exclusiveMaximum":-1})",
       {"-2", "-2.0", "-1.5", "-1.001"},
       {"-1", "-1.0", "-2.1", "-0.5", "1.5"}},
      {R"({"type":"string"})",
       {R"("")", R"("é😀 x")", R"("\n\u00e9\/\ud83d\ude00")"},
       {"\"\n\"", "\"\x80\"", R"("\ud83d")", R"("\ude00")", R"("\x")", "\"", R"(")"}},
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", R"("😀é€")", R"("\n\u00e9")", R"("\ud83d\ude00x")"},
       {R"("a")", R"("abcd")", R"("")", R"("\u0061")"}},
      {R"({"enum":["a","ab",1,null,{"x":[1,2]}]})",
       {R"("a")", R"("ab")", "1", "null", R"({"x":[1,2]})"},
       {R"("abc")", "2", R"("b")", "{}"}},
      {R"({"const":"é\n"})", {"\"é\\n\""}, {"\"é\""}},
      {R"({"type":["string","null"],"enum":["a",null,3]})", {"null", "\"a\""}, {"3"}},
      {R"({"type":"array","items":{"type":"integer"}})",
       {"[]", "[1]", "[1,2]", "[1, 2]", "[\n  1,\n  2\n]", "[ 1 ]"},
       {"[1,]", "[,1]", "[1 ,2]", "[1  , 2]", "[\"a\"]", "[1"}},
      {R"({"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3})",
       {"[1,2]", "[1,2,3]"},
       {"[]", "[1]", "[1,2,3,4]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":false})",
       {"[]", "[1]", "[1,\"a\"]"},
       {"[\"a\"]", "[1,\"a\",1]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"null"},"minItems":2})",
       {"[1,null]", "[1,null,null]"},
       {"[1]", "[null,null]", "[1,2]"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},
           "required":["a"]})",
       {R"({"a":1})", R"({"a":1,"b":""})", R"({"a": 1, "b": "x"})", "{\n\t\"a\": 1\n}"},
       {R"({"b":""})", R"({"b":"","a":1})", "{}", R"({"a":1,})", R"({"a":1,"c":2})"}},
      {R"({"type":"object","properties":{"a":{},"b":{},"c":{}}})",
       {"{}", R"({"a":1})", R"({"b":1})", R"({"c":[]})", R"({"a":0,"c":1})", R"({"b":0,"c":1})"},
       {R"({,"a":1})", R"({"c":1,"a":1})", R"({"a":1"b":2})"}},
      {R"({"type":"object","properties":{"ab":{"type":"integer"}},"additionalProperties":
           {"type":"boolean"}})",
       {R"({"ab":1,"a":true})", R"({"abc":true,"é":false})", R"({"":true})", "{}"},
       {R"({"ab":true})", R"({"a":true,"ab":true})", R"({"a":1})", R"({"\u0061b":true})"}},
      {R"({"type":"object"})", {"{}", R"({"x":{"y":[1,{"z":null}]}})"}, {"[]", "{1:2}"}},
      {R"({"type":"object","required":["k"],"additionalProperties":{"type":"integer"}})",
       {R"({"k":1})", R"({"k":1,"z":2})"},
       {"{}", R"({"z":1})", R"({"k":""})"}},
      {R"({"anyOf":[{"type":"integer"},{"type":"array","items":{"type":"integer"}}]})",
       {"1", "[1]"},
       {"\"a\"", "[[1]]"}},
      {R"({"type":"object","properties":{"t":{"const":"x"}},"required":["t"],"anyOf":[
           {"properties":{"v":{"type":"integer"}},"required":["v"]},
           {"properties":{"w":{"type":"string"}}}]})",
       {R"({"t":"x","v":1})", R"({"t":"x"})", R"({"t":"x","w":""})"},
       {R"({"v":1})", R"({"t":"x","v":""})"}},
      {R"({"allOf":[{"$ref":"#/$defs/a"},{"properties":{"b":{"type":"null"}},"required":["b"]}],
           "$defs":{"a":{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}}})",
       {R"({"b":null,"a":1})", R"({"a":1,"b":null})"},
       {R"({"a":1})", R"({"b":null})"}},
      {R"({"$ref":"#/$defs/list","$defs":{"list":{"anyOf":[{"type":"null"},{"type":"object",
           "properties":{"v":{"type":"integer"},"next":{"$ref":"#/$defs/list"}},
           "required":["v","next"]}]}}})",
       {"null", R"({"v":1,"next":{"v":2,"next":null}})"},
       {R"({"v":1})", R"({"v":1,"next":1})"}},
      {R"({"type":"string","pattern":"^a+b?(c|de){2}$"})",
       {R"("acc")", R"("aabdec")"},
       {R"("ac")", R"("accc")", R"("xacc")", R"("abb")"}},
      {R"({"type":"string","pattern":"\\d{2,3}"})",
       {R"("12")", R"("a\"1234")", R"("é99\n")"},
       {R"("1a2")", R"("")"}},
      {R"({"type":"string","pattern":"^[^a-z\\]\\\\]*\\.$"})",
       {R"("A\"\n.")", R"(".")", R"("É.")"},
       {R"("a.")", R"("\\.")", R"("].")", R"("A")"}},
      {R"({"type":"string","format":"date"})",
       {R"("2024-02-29")", R"("2000-02-29")", R"("1999-12-31")"},
       {R"("2023-02-29")", R"("1900-02-29")", R"("2023-04-31")", R"("2023-13-01")"}},
      {R"({"type":"string","format":"date-time"})",
       {R"("2024-02-28T23:59:59Z")", R"("2024-02-28T00:00:00.25+05:30")"},
       {R"("2024-02-28 23:59:59Z")", R"("2024-02-28T24:00:00Z")"}},
      {R"({"type":"string","format":"uuid"})",
       {R"("123e4567-E89b-12d3-a456-426614174000")"},
       {R"("123e4567e89b12d3a456426614174000")"}},
      {R"({"title":"t","description":"d","default":1,"examples":[1],"x-y":2,"type":"integer"})",
       {"1"},
       {"\"\""}},
      {"true", {"1", "[{}]", "\"\"", "null"}, {"", "x"}},
  };
  for (const Case& c : cases) {
    for (const char* text : c.right) {
      // What standard order the text has, and what the validator thinks of it, agree.
      EXPECT_TRUE(SchemaValidator(Json::parse(c.schema)).Validates(Json::parse(text)))
          << c.schema << " by the validator: " << text;
      const bool reordered = std::string(text) == R"({"b":null,"a":1})";
      EXPECT_EQ(Accepts(c.schema, text), !reordered) << c.schema << ": " << text;
    }
    for (const char* text : c.wrong) EXPECT_FALSE(Accepts(c.schema, text)) << c.schema << text;
  }
}

TEST(Constraint, WhatIsNotReadIsRefusedByItsPlace) {
  const auto compiler = ConstraintCompiler::Make(Trained());
  std::string many = R"({"anyOf":[)";
  for (int i = 0; i < 101; ++i) many += std::string(i > 0 ? "," : "") + R"({"type":"null"})";
  const std::vector<std::pair<std::string, const char*>> cases = {
      {"{", "not the JSON"},
      {R"({"type":"int"})", "#/type: \"int\""},
      {R"({"type":5})", "#/type: 5"},
      {"[]", "#: a schema is"},
      {R"({"properties":{"a/b":{"not":{}}}})", "#/properties/a~1b/not: not is not supported"},
      {R"({"items":{"uniqueItems":true}})", "#/items/uniqueItems"},
      {R"({"patternProperties":{}})", "#/patternProperties"},
      {R"({"type":"number","multipleOf":2})", "#/multipleOf"},
      {R"({"type":"number","minimum":0.5})", "#/minimum"},
      {R"({"type":"number","minimum":"0"})", "#/minimum: a number"},
      {R"({"type":"integer","minimum":1e30})", "#/minimum: numbers of more than 18"},
      {R"({"type":"integer","minimum":5,"maximum":4})", "#: no text"},
      {R"({"enum":[]})", "#: no text"},
      {"false", "#: no text"},
      {R"({"type":"array","items":false,"minItems":1})", "#: no text"},
      {R"({"$ref":"#"})", "#: refers to itself"},
      {R"({"anyOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"anyOf":[{"$ref":"#"},{"type":"null"}]}}})",
       "refers to itself"},
      {R"({"allOf":[{"$ref":"#"}]})", "merges"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", "#: no text"},
      {R"({"$ref":"http://x/y"})", "#: $ref"},
      {R"({"$ref":"#/a~"})", "#: $ref"},
      {R"({"$ref":"#/nope"})", "#: $ref"},
      {R"({"$ref":7})", "the schema:"},
      {R"({"type":"string","minLength":3,"maxLength":2})", "#: minLength"},
      {R"({"type":"string","minLength":-1})", "#/minLength"},
      {R"({"type":"string","maxLength":1e9})", "#/maxLength"},
      {R"({"type":"string","format":"email"})", "#/format: \"email\""},
      {R"s({"type":"string","pattern":"a","maxLength":3})s", "#: of pattern"},
      {R"s({"type":"string","pattern":"a(?=b)"})s", "#/pattern: at character"},
      {R"s({"type":"string","pattern":"(a"})s", "#/pattern: at character 2"},
      {R"s({"type":"string","pattern":"a)"})s", "#/pattern: at character 1"},
      {R"s({"type":"string","pattern":"a**"})s", "#/pattern: at character 2"},
      {R"s({"type":"string","pattern":"a{2,1}"})s", "#/pattern: at character"},
      {R"s({"type":"string","pattern":"a{1001}"})s", "#/pattern: at character"},
      {R"s({"type":"string","pattern":"[z-a]"})s", "#/pattern: at character"},
      {R"s({"type":"string","pattern":"[a"})s", "#/pattern: at character"},
      {R"s({"type":"string","pattern":"\\bx"})s", "#/pattern: at character"},
      {R"s({"type":"string","pattern":"(a)\\1"})s", "#/pattern: at character"},
      {R"s({"type":"string","pattern":"a^"})s", "#/pattern: at character"},
      {R"s({"type":"string","pattern":"\\"})s", "#/pattern: at character"},
      {R"s({"type":"string","pattern":"((((a{1000}){1000}){1000}){1000})"})s", "#: too large"},
      {R"s({"type":"string","pattern":"((((){1000}){1000}){1000}){1000}"})s", "#: too large"},
      {R"({"type":"array","maxItems":99999,"items":{}})", "#: too large"},
      {R"({"type":"object","properties":{},"additionalProperties":false,"required":["a"]})",
       "#/required: \"a\""},
      {R"s({"allOf":[{"pattern":"a"},{"pattern":"b"}]})s", "#/allOf/1: two different"},
      {R"({"allOf":[{"properties":{"a":{}},"additionalProperties":false},{"properties":{"b":{}}}]})",
       "#/allOf/1: schemas with additionalProperties"},
      {R"({"enum":["a"],"minLength":2})", "#/minLength: not supported beside"},
      {many + "]}", "#/anyOf: more than 100"},
      {"\"" + std::string(70'000, ' ') + "\"", "at most 65536"},
  };
  for (const auto& [schema, message] : cases) {
    const auto compiled = compiler->Compile({FormatKind::kJsonSchema, schema});
    ASSERT_FALSE(compiled.ok()) << schema.substr(0, 200);
    EXPECT_EQ(compiled.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(compiled.status().message()), ::testing::HasSubstr(message))
        << schema.substr(0, 200);
  }
}

// Of the allowed tokens one that closes what is open, where there is one.
TokenId Closing(const std::vector<TokenId>& allowed, const Tokenizer& tokenizer,
                TokenId otherwise) {
  const auto may = [&](char c) {
    return std::binary_search(allowed.begin(), allowed.end(),
                              tokenizer.ByteToken(static_cast<uint8_t>(c)));
  };
  if (std::binary_search(allowed.begin(), allowed.end(), *tokenizer.end_of_text())) {
    return *tokenizer.end_of_text();
  }
  const bool in_string = may('"') && may('}') && may('{');
  for (const char c : std::string(in_string ? "\"" : "}]\"")) {
    if (may(c)) return tokenizer.ByteToken(static_cast<uint8_t>(c));
  }
  return otherwise;
}

// A walk of random allowed tokens; towards its end it closes what is open.
std::string RandomWalk(ConstraintState* state, const Tokenizer& tokenizer, Random& random,
                       int longest) {
  std::string text;
  for (int i = 0; !state->complete(); ++i) {
    const std::vector<TokenId> allowed = Allowed(state, tokenizer);
    if (allowed.empty()) {
      ADD_FAILURE() << "nothing may follow " << text;
      return text;
    }
    TokenId token = allowed[random.Below(allowed.size())];
    if (i > longest && random.Chance(0.8)) token = Closing(allowed, tokenizer, token);
    if (i > longest + 3000) {
      ADD_FAILURE() << "no end to " << text.substr(0, 2000);
      return text;
    }
    if (!state->Accept(token)) {
      ADD_FAILURE() << "a token of the mask was refused after " << text;
      return text;
    }
    if (token == tokenizer.end_of_text()) break;
    text += tokenizer.TokenBytes(token);
  }
  return text;
}

TEST(Constraint, AnyWalkInObjectModeIsAnObject) {
  const auto compiler = ConstraintCompiler::Make(Trained());
  EXPECT_EQ(*compiler->Compile({FormatKind::kText}), nullptr);
  const auto constraint = *compiler->Compile({FormatKind::kJsonObject});
  Random random(1);
  for (int round = 0; round < 40; ++round) {
    const auto state = constraint->Start();
    const std::string text = RandomWalk(state.get(), Trained(), random, 120);
    const Json value = Json::parse(text, nullptr, false);
    ASSERT_TRUE(value.is_object()) << text;
    EXPECT_TRUE(state->complete());
    const auto again = constraint->Start();
    EXPECT_TRUE(Accepts(again.get(), Trained(), text));
  }
}

TEST(Constraint, NothingButTheEndFollowsACompleteText) {
  const auto state = Start(Trained(), R"({"type":"object","properties":{}})");
  for (const TokenId t : Trained().Encode("{}")) EXPECT_TRUE(state->Accept(t));
  EXPECT_TRUE(state->complete());
  EXPECT_THAT(Allowed(state.get(), Trained()), ::testing::ElementsAre(*Trained().end_of_text()));
  EXPECT_FALSE(state->Accept(Trained().ByteToken('}')));
  EXPECT_FALSE(state->Accept(-1));
  EXPECT_FALSE(state->Accept(1 << 20));
  EXPECT_TRUE(state->Accept(*Trained().end_of_text()));
  EXPECT_FALSE(state->Accept(Trained().ByteToken('}')));
  // A number may end and may go on.
  const auto number = Start(Trained(), R"({"type":"integer"})");
  EXPECT_FALSE(number->Accept(*Trained().end_of_text()));
  EXPECT_TRUE(number->Accept(Trained().ByteToken('4')));
  EXPECT_FALSE(number->complete());
  EXPECT_THAT(Allowed(number.get(), Trained()), ::testing::Contains(*Trained().end_of_text()));
}

TEST(Constraint, ACloneGoesItsOwnWay) {
  const auto state = Start(Trained(), R"({"enum":["ab","ac"]})");
  EXPECT_TRUE(state->Accept(Trained().ByteToken('"')));
  const auto clone = state->Clone();
  EXPECT_TRUE(clone->Accept(Trained().ByteToken('a')));
  EXPECT_FALSE(state->Accept(Trained().ByteToken('b')));
  EXPECT_TRUE(clone->Accept(Trained().ByteToken('c')));
  EXPECT_TRUE(state->Accept(Trained().ByteToken('a')));
}

// The mask by its definition: each token that a copy of the state accepts.
void ExpectMaskOfAccepted(ConstraintState* state, const Tokenizer& tokenizer) {
  const std::vector<TokenId> allowed = Allowed(state, tokenizer);
  std::vector<TokenId> right;
  for (TokenId t = 0; t < tokenizer.vocab_size(); ++t) {
    if (state->Clone()->Accept(t)) right.push_back(t);
  }
  ASSERT_EQ(allowed, right);
}

Json RandomSchema(Random& random, int depth);

Json RandomObject(Random& random, int depth) {
  static const std::vector<std::string> names = {"a", "b", "ab", "name", "é", "x\"y", "list"};
  Json schema = {{"type", "object"}, {"properties", Json::object()}, {"required", Json::array()}};
  for (const std::string& name : names) {
    if (!random.Chance(0.35)) continue;
    schema["properties"][name] = RandomSchema(random, depth - 1);
    if (random.Chance(0.5)) schema["required"].push_back(name);
  }
  if (random.Chance(0.3)) {
    schema["additionalProperties"] = random.Chance(0.5) ? Json(false) : RandomSchema(random, 0);
  }
  return schema;
}

Json RandomArray(Random& random, int depth) {
  Json schema = {{"type", "array"}, {"items", RandomSchema(random, depth - 1)}};
  const int64_t fewest = random.Between(0, 3);
  if (random.Chance(0.4)) schema["minItems"] = fewest;
  if (random.Chance(0.4)) schema["maxItems"] = fewest + random.Between(0, 3);
  if (random.Chance(0.3)) schema["prefixItems"] = {RandomSchema(random, 0)};
  return schema;
}

Json RandomSchema(Random& random, int depth) {
  switch (random.Below(depth > 0 ? 11 : 6)) {
    case 0:
      return {{"type", random.Chance(0.5) ? "boolean" : "null"}};
    case 1: {
      Json schema = {{"type", "integer"}};
      const int64_t low = random.Between(-2000, 2000);
      if (random.Chance(0.5)) schema[random.Chance(0.5) ? "minimum" : "exclusiveMinimum"] = low;
      if (random.Chance(0.5)) {
        schema[random.Chance(0.5) ? "maximum" : "exclusiveMaximum"] = low + random.Between(2, 3000);
      }
      return schema;
    }
    case 2: {
      Json schema = {{"type", "number"}};
      const int64_t low = random.Between(-20, 20);
      if (random.Chance(0.5)) schema[random.Chance(0.5) ? "minimum" : "exclusiveMinimum"] = low;
      if (random.Chance(0.5)) {
        schema[random.Chance(0.5) ? "maximum" : "exclusiveMaximum"] = low + random.Between(1, 30);
      }
      return schema;
    }
    case 3: {
      Json schema = {{"type", "string"}};
      const int64_t shortest = random.Between(0, 5);
      if (random.Chance(0.5)) schema["minLength"] = shortest;
      if (random.Chance(0.5)) schema["maxLength"] = shortest + random.Between(0, 20);
      return schema;
    }
    case 4: {
      static const std::vector<std::string> patterns = {
          "^[a-c]{1,4}$", "[a-m]|[n-z]", "^(ab|a)*c?$", "^[0-9]+-[0-9]$",
          "^[^\"]*$",     "^\\w+ \\w+$", "^\"+\\\\$"};
      return {{"type", "string"}, {"pattern", patterns[random.Below(patterns.size())]}};
    }
    case 5:
      return {{"enum", {"red", "green", 3, -1.5, true, nullptr, Json({{"k", "v"}})}}};
    case 6:
      return {{"anyOf", {RandomSchema(random, depth - 1), RandomSchema(random, depth - 1)}}};
    case 7:
      return {{"anyOf", {{{"type", "null"}}, {{"$ref", "#"}}}}};
    case 8:
      return RandomArray(random, depth);
    default:
      return RandomObject(random, depth);
  }
}

TEST(Constraint, AnyWalkThroughARandomSchemaIsValid) {
  int walks = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    Random random(seed);
    const Json schema = RandomObject(random, 3);  // at the root, so that "#" is no loop
    const auto compiler = ConstraintCompiler::Make(Trained());
    const auto constraint = compiler->Compile({FormatKind::kJsonSchema, schema.dump()});
    if (!constraint.ok()) {  // a bound that leaves nothing
      EXPECT_THAT(std::string(constraint.status().message()), ::testing::HasSubstr("no text"));
      continue;
    }
    for (int round = 0; round < 3; ++round, ++walks) {
      const auto state = (*constraint)->Start();
      const std::string text = RandomWalk(state.get(), Trained(), random, 60);
      const Json value = Json::parse(text, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << seed << " " << schema << "\n" << text;
      ASSERT_TRUE(SchemaValidator(schema).Validates(value)) << seed << " " << schema << "\n"
                                                            << text;
      // The same text, cut into tokens as the tokenizer would.
      EXPECT_TRUE(Accepts((*constraint)->Start().get(), Trained(), text)) << schema << "\n" << text;
    }
  }
  EXPECT_GT(walks, 300);
}

TEST(Constraint, MasksAreWhatIsAccepted) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    Random random(seed);
    const Json schema = RandomObject(random, 3);
    const auto compiler = ConstraintCompiler::Make(Trained());
    const auto constraint = compiler->Compile({FormatKind::kJsonSchema, schema.dump()});
    if (!constraint.ok()) continue;
    const auto state = (*constraint)->Start();
    for (int i = 0; i < 25 && !state->complete(); ++i) {
      ExpectMaskOfAccepted(state.get(), Trained());
      const auto allowed = Allowed(state.get(), Trained());
      ASSERT_TRUE(state->Accept(allowed[random.Below(allowed.size())]));
    }
  }
}

// What json.dumps and JSON.stringify write, of values that a walk found.
TEST(Constraint, EveryUsualWayOfWritingAValueIsRead) {
  const auto compiler = ConstraintCompiler::Make(Trained());
  const auto constraint = *compiler->Compile({FormatKind::kJsonObject});
  const Json value =
      Json::parse(R"({"a":[1,2.5,-3e-7,{"b":{}}],"c":"é\n😀","d":[],"e":{"f":null,"g":[[true]]}})");
  for (const int indent : {-1, 0, 1, 2, 4, 8}) {
    EXPECT_TRUE(Accepts(constraint->Start().get(), Trained(), value.dump(indent)));
    EXPECT_TRUE(Accepts(constraint->Start().get(), Trained(), value.dump(indent, ' ', true)));
  }
  EXPECT_TRUE(Accepts(constraint->Start().get(), Trained(), value.dump(1, '\t')));
  EXPECT_TRUE(Accepts(constraint->Start().get(), Trained(), R"({"a": [1, 2], "b": {"c": 3}})"));
}

TEST(Constraint, ValuesNestNoDeeperThanTheirBound) {
  const auto compiler = ConstraintCompiler::Make(Trained());
  const auto state = (*compiler->Compile({FormatKind::kJsonObject}))->Start();
  for (const TokenId t : Trained().Encode("{\"a\":")) ASSERT_TRUE(state->Accept(t));
  int depth = 0;
  while (state->Accept(Trained().ByteToken('['))) ASSERT_LT(++depth, 100);
  EXPECT_GE(depth, 60);
  for (; depth > 0; --depth) ASSERT_TRUE(state->Accept(Trained().ByteToken(']')));
  EXPECT_TRUE(state->Accept(Trained().ByteToken('}')));
  EXPECT_TRUE(state->complete());
}

// A pattern whose deterministic automaton would have 2^40 states, and long texts: what is
// remembered is thrown away again and again, and nothing changes for it.
TEST(Constraint, AHostilePatternIsReadInBoundedMemory) {
  const std::string schema = R"({"type":"string","pattern":"^[ab]*a[ab]{40}$"})";
  const auto state = Start(Trained(), schema);
  Random random(3);
  std::string text;
  EXPECT_TRUE(state->Accept(Trained().ByteToken('"')));
  for (int i = 0; i < 20'000; ++i) {
    text.push_back("ab"[random.Below(2)]);
    ASSERT_TRUE(state->Accept(Trained().ByteToken(static_cast<uint8_t>(text.back()))));
    if (i % 1000 != 0) continue;
    const bool ends = i >= 40 && text[text.size() - 41] == 'a';
    const auto allowed = Allowed(state.get(), Trained());
    EXPECT_EQ(std::count(allowed.begin(), allowed.end(), Trained().ByteToken('"')), ends ? 1 : 0);
    EXPECT_THAT(allowed, ::testing::Contains(Trained().ByteToken('a')));
  }
}

// Two ways for each step of a recursion: 2^depth readings, of which some are given up, and a text
// can still be ended.
TEST(Constraint, AnAmbiguousRecursionStaysBounded) {
  const std::string schema =
      R"({"$ref":"#/$defs/a","$defs":{"a":{"type":"object","properties":{"k":{"anyOf":[
         {"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"},{"type":"null"}]}}},
         "b":{"type":"object","properties":{"k":{"anyOf":[
         {"$ref":"#/$defs/b"},{"$ref":"#/$defs/a"},{"type":"null"}]}}}}})";
  const auto state = Start(Trained(), schema);
  std::string text;
  for (int i = 0; i < 20; ++i) {
    for (const TokenId t : Trained().Encode("{\"k\":")) ASSERT_TRUE(state->Accept(t));
  }
  for (const TokenId t : Trained().Encode("null")) ASSERT_TRUE(state->Accept(t));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(state->Accept(Trained().ByteToken('}')));
  EXPECT_TRUE(state->complete());
}

}  // namespace
}  // namespace longrun::serving
