#include "serving/grammar/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serving/grammar/schema_validator_for_tests.h"
#include "serving/grammar/walks_for_tests.h"

namespace longrun::serving {
namespace {

using Json = nlohmann::ordered_json;

TEST(Schema, ReadsWhatTheSchemaSays) {
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

// Two lots of 750 properties, 240 times over.
std::string ManyLargeMerges() {
  Json schema = {
      {"$defs",
       {{"a", {{"properties", Json::object()}}}, {"b", {{"properties", Json::object()}}}}}};
  for (int i = 0; i < 1'500; ++i) {
    schema["$defs"][i % 2 == 0 ? "a" : "b"]["properties"]["p" + std::to_string(i)] = true;
  }
  for (int i = 0; i < 240; ++i) {
    schema["allOf"].push_back({{"$ref", i % 2 == 0 ? "#/$defs/a" : "#/$defs/b"}});
  }
  return schema.dump();
}

TEST(Schema, StatesThatMerelyLeadOnAreNotKept) {
  const auto states = [](const char* pattern) {
    const auto grammar = CompileSchema(Json({{"type", "string"}, {"pattern", pattern}}).dump());
    EXPECT_TRUE(grammar.ok()) << pattern << ": " << grammar.status();
    return grammar.ok() ? grammar->states.size() : 0;
  };
  for (const char* pattern :
       {"^(.((){1000}){6}){3}$", "^(.((|){1000}){3}){3}$", "^(.(()*){1000}([]?){1000}){3}$"}) {
    EXPECT_EQ(states(pattern), states("^...$")) << pattern;
  }
}

TEST(Schema, WhatIsNotReadIsRefusedByItsPlace) {
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
      {ManyLargeMerges(), "too large together"},
      {"\"" + std::string(70'000, ' ') + "\"", "at most 65536"},
  };
  for (const auto& [schema, message] : cases) {
    const auto compiled = compiler->Compile({FormatKind::kJsonSchema, schema}, "");
    ASSERT_FALSE(compiled.ok()) << schema.substr(0, 200);
    EXPECT_EQ(compiled.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(compiled.status().message()), ::testing::HasSubstr(message))
        << schema.substr(0, 200);
  }
}

}  // namespace
}  // namespace longrun::serving
