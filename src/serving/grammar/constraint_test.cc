#include "serving/grammar/constraint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "serving/grammar/machine.h"
#include "serving/grammar/schema.h"
#include "serving/grammar/schema_validator_for_tests.h"
#include "serving/grammar/walks_for_tests.h"

namespace longrun::serving {
namespace {

using Json = nlohmann::ordered_json;
using model::Tokenizer;

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
  EXPECT_EQ(*compiler->Compile({FormatKind::kText}, ""), nullptr);
  const auto constraint = *compiler->Compile({FormatKind::kJsonObject}, "");
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
    const auto constraint = compiler->Compile({FormatKind::kJsonSchema, schema.dump()}, "");
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
    const auto constraint = compiler->Compile({FormatKind::kJsonSchema, schema.dump()}, "");
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
  const auto constraint = *compiler->Compile({FormatKind::kJsonObject}, "");
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
  const auto state = (*compiler->Compile({FormatKind::kJsonObject}, ""))->Start();
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

std::string SchemaOfManyReadings() {
  std::string many = "a";
  for (int i = 1; i < 130; ++i) many += "|a";
  return R"({"anyOf":[{"type":"string","pattern":"^.()" + many + R"()$"},{"type":"string"},
    {"type":"string","maxLength":7}]})";
}

// One reading has more ways on than are kept. What a free string may hold is allowed unread, so
// that reading must not be the one that is given up.
TEST(Constraint, AFreeStringOutlivesAPatternWithTooManyReadings) {
  const auto state = Start(Trained(), SchemaOfManyReadings());
  Random random(4);
  ASSERT_TRUE(state->Accept(Trained().ByteToken('"')));
  for (int i = 0; i < 12; ++i) {
    ExpectMaskOfAccepted(state.get(), Trained());
    const auto allowed = Allowed(state.get(), Trained());
    ASSERT_FALSE(allowed.empty());
    ASSERT_TRUE(state->Accept(allowed[random.Below(allowed.size())]));
    if (state->complete()) break;
  }
  EXPECT_TRUE(Accepts(SchemaOfManyReadings(), "\"xylophones and é\""));
}

// Which readings are given up is a matter of the text alone, not of what the machine was asked
// before: or one choice of a request would change another.
TEST(Constraint, WhatIsGivenUpDoesNotDependOnOthers) {
  std::string alternatives;  // each with three readings from its second character on
  for (int i = 1; i < 99; ++i) {
    const std::string end = (i % 2 == 0 ? "b{" : "e{") + std::to_string(i) + "}";
    alternatives += R"({"type":"string","pattern":"^)" + std::string(i % 2 == 0 ? "[xy]" : "[xz]") +
                    "([a-m]" + end + "!|[a-n]" + end + "#|[a-o]" + end + R"(;)$"},)";
  }
  const std::string schema = R"({"anyOf":[)" + alternatives + R"({"type":"null"}]})";
  const auto compiler = ConstraintCompiler::Make(Trained());
  const auto fresh = compiler->Compile({FormatKind::kJsonSchema, schema}, "");
  const auto used = compiler->Compile({FormatKind::kJsonSchema, schema}, "");
  ASSERT_TRUE(fresh.ok()) << fresh.status();
  for (const char* before : {"\"yab", "\"ya"}) {
    const auto state = (*used)->Start();
    for (const char c : std::string(before)) {
      ASSERT_TRUE(state->Accept(Trained().ByteToken(static_cast<uint8_t>(c)))) << before;
    }
  }
  const auto one = (*fresh)->Start(), other = (*used)->Start();
  for (const char c : std::string("\"xbbbabbbbbabababbbbbbbbbbbbbbb")) {
    ASSERT_EQ(Allowed(one.get(), Trained()), Allowed(other.get(), Trained()));
    ASSERT_EQ(one->Accept(Trained().ByteToken(static_cast<uint8_t>(c))),
              other->Accept(Trained().ByteToken(static_cast<uint8_t>(c))));
  }
}

// Of a mask's work only a part is bytes: what a state comes to without one counts as well.
TEST(Constraint, AMaskIsBoundedWorkWhateverTheGrammar) {
  GrammarBuilder builder;
  const auto root = builder.NewRule();
  // Each byte leads to the next of twelve ladders of empty edges, of which none can be spared.
  constexpr int kLadders = 12, kRungs = 4'000;
  std::vector<StateId> ladders = {root.start};
  for (int i = 1; i < kLadders; ++i) ladders.push_back(builder.NewState());
  for (int i = 0; i < kLadders; ++i) {
    const StateId any = builder.NewState();
    builder.Bytes(any, 0, 255, ladders[static_cast<size_t>((i + 1) % kLadders)]);
    StateId rung = ladders[static_cast<size_t>(i)];
    for (int n = 0; n < kRungs; ++n) {
      const StateId next = builder.NewState();
      builder.Empty(rung, any);
      builder.Empty(rung, next);
      rung = next;
    }
    builder.Bytes(rung, '!', '!', root.end);
  }
  const auto grammar = std::move(builder).Build(root.id);
  ASSERT_TRUE(grammar.ok());
  const TokenTree tokens(Trained());
  Machine machine(*grammar, tokens);
  Machine::Place place = machine.Step(machine.start(), 'a');
  ASSERT_NE(place, Machine::kNowhere);
  const int64_t before = machine.work();
  Machine::Mask mask = machine.Begin(place);
  machine.Continue(ConstraintState::kAllEffort, &mask);
  EXPECT_TRUE(mask.done);
  EXPECT_LT(machine.work() - before, 2'500'000);
}

constexpr int64_t kLeast = ConstraintCompiler::kLeastMachineBytes;

TEST(Constraint, WhatWaitsHoldsBoundedMemory) {
  const Format format{FormatKind::kJsonSchema, R"({"type":"string","maxLength":10000})"};
  const int64_t bytes = CompileSchema(format.json_schema)->bytes();
  EXPECT_GT(bytes, 300'000);
  EXPECT_LT(bytes, 1'000'000);
  const auto compiler = ConstraintCompiler::Make(Trained(), 4 * (bytes + kLeast));
  auto one = compiler->Compile(format, ""), two = compiler->Compile(format, "");
  EXPECT_TRUE(one.ok());
  EXPECT_TRUE(two.ok());
  const auto three = compiler->Compile(format, "");
  EXPECT_EQ(three.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(three.status().message()), ::testing::HasSubstr("ask for JSON"));
  // Before it is looked at.
  EXPECT_EQ(compiler->Compile({FormatKind::kJsonSchema, "{"}, "").status().code(),
            absl::StatusCode::kResourceExhausted);
  const auto state = (*one)->Start();  // a choice under way holds it as well
  one = absl::CancelledError();
  EXPECT_FALSE(compiler->Compile(format, "").ok());
  two = absl::CancelledError();
  EXPECT_TRUE(compiler->Compile(format, "").ok());
}

TEST(Constraint, NoTenantTakesAllMemory) {
  constexpr int64_t kAll = 64;
  const Format object{FormatKind::kJsonObject};
  const auto compiler = ConstraintCompiler::Make(Trained(), kAll * kLeast);
  std::vector<std::shared_ptr<const Constraint>> held;
  const auto take_all = [&](const std::string& tenant) {
    int64_t taken = 0;
    for (auto one = compiler->Compile(object, tenant); one.ok();
         one = compiler->Compile(object, tenant)) {
      held.push_back(*one);
      ++taken;
    }
    return taken;
  };
  EXPECT_EQ(take_all("greedy"), kAll / 2);
  EXPECT_EQ(take_all("other"), kAll / 4);
  EXPECT_EQ(take_all("third"), kAll / 8);
  EXPECT_EQ(take_all("greedy"), 0);
  held.clear();
  EXPECT_EQ(compiler->bytes(), 0);
}

// What requests remember while they run is on the account, grows while there is room, and is
// forgotten where there is none: the masks stay the same.
TEST(Constraint, MachinesOfAllRequestsHoldBoundedMemoryTogether) {
  const Format hostile{FormatKind::kJsonSchema,
                       R"({"type":"string","pattern":"^[ab]*a[ab]{40}$"})"};
  constexpr int64_t kRoomy = 64 << 20, kTight = 1 << 20;
  constexpr int kRequests = 6;
  const auto roomy = ConstraintCompiler::Make(Trained(), kRoomy);
  const auto tight = ConstraintCompiler::Make(Trained(), kTight);
  const auto reference = (*roomy->Compile(hostile, ""))->Start();
  std::vector<std::unique_ptr<ConstraintState>> states;
  for (int i = 0; i < kRequests; ++i) {
    states.push_back((*tight->Compile(hostile, i % 2 == 0 ? "even" : "odd"))->Start());
  }
  Random random(3);
  const auto take = [&](char c) {
    const TokenId token = Trained().ByteToken(static_cast<uint8_t>(c));
    ASSERT_TRUE(reference->Accept(token));
    for (const auto& state : states) ASSERT_TRUE(state->Accept(token));
  };
  take('"');
  int64_t most = 0;
  for (int i = 0; i < 300; ++i) {
    take("ab"[random.Below(2)]);
    const std::vector<TokenId> allowed = Allowed(reference.get(), Trained());
    for (const auto& state : states) {
      ASSERT_EQ(Allowed(state.get(), Trained()), allowed);
      most = std::max(most, tight->bytes());
    }
  }
  EXPECT_GT(roomy->bytes(), kLeast) << "what there is room for is remembered";
  EXPECT_LE(roomy->bytes(), ConstraintCompiler::kMostMachineBytes + (1 << 20));
  EXPECT_GT(most, kRequests * kLeast);
  EXPECT_LE(most, kTight);
  states.clear();
  EXPECT_EQ(tight->bytes(), 0);
}

TEST(Constraint, RequestsInObjectModeShareNothingThatRemembers) {
  const auto compiler = ConstraintCompiler::Make(Trained());
  EXPECT_NE(*compiler->Compile({FormatKind::kJsonObject}, ""),
            *compiler->Compile({FormatKind::kJsonObject}, ""));
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
