// Masks that are made piece by piece.
#include <gtest/gtest.h>

#include "base/random.h"
#include "serving/grammar/constraint.h"
#include "serving/grammar/walks_for_tests.h"

namespace longrun::serving {
namespace {

// Also where all that is remembered is forgotten between two pieces, and where another choice of
// the request works beside it.
TEST(MaskPieces, AMaskIsTheSameInHoweverManyPieces) {
  const std::string hostile = R"({"type":"string","pattern":"^[ab]*a[ab]{40}$"})";
  const std::string readings = R"({"type":"string","pattern":"^(.?){120}[a-z]{30}$"})";
  int many = 0;
  for (const std::string& schema :
       {hostile, readings, std::string(R"({"type":"object","properties":{}})")}) {
    const Format format{FormatKind::kJsonSchema, schema};
    const auto roomy = ConstraintCompiler::Make(Trained());
    const auto tight = ConstraintCompiler::Make(Trained(), 1 << 18);
    const auto whole = (*roomy->Compile(format, ""))->Start();
    const auto constraint = *tight->Compile(format, "");
    const auto pieces = constraint->Start(), other = constraint->Start();
    Random random(7);
    for (int i = 0; i < 8 && !whole->complete(); ++i) {
      other->Prepare(random.Between(1, 5'000));
      for (int n = 0; !pieces->ready(); ++n) {
        const int64_t effort = random.Between(1, 5'000);
        const int64_t paid = pieces->Prepare(effort);
        ASSERT_TRUE(pieces->ready() ? paid <= effort : paid == effort);
        many += n > 0;
        if (n % 3 == 1) pieces->Clone()->Prepare(1'000);
      }
      EXPECT_EQ(pieces->Prepare(1'000), 0);
      const std::vector<TokenId> allowed = Allowed(whole.get(), Trained());
      ASSERT_EQ(Allowed(pieces.get(), Trained()), allowed) << schema;
      const TokenId token = allowed[random.Below(allowed.size())];
      ASSERT_EQ(whole->Accept(token), pieces->Accept(token));
    }
  }
  EXPECT_GT(many, 50);
}

}  // namespace
}  // namespace longrun::serving
