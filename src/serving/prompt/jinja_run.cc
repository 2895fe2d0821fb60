#include "serving/prompt/jinja_run.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "serving/prompt/jinja_evaluate.h"
#include "serving/prompt/jinja_lexer.h"

namespace longrun::serving::jinja {
namespace {

// Blocks and macros nested in each other: each costs some hundred bytes of stack.
constexpr int kDeepest = 150;

class Runner : public MacroCaller {
 public:
  Runner(const Variables& variables, const RunLimits& limits, Time now)
      : limits_(limits),
        budget_(limits.work, limits.parts),
        evaluator_(&scopes_, &budget_, this, now) {
    scopes_.emplace_back(variables);
  }

  absl::StatusOr<MarkedText> Run(const Block& block) {
    MarkedText out;
    LR_RETURN_IF_ERROR(Do(block, &out).status());
    return out;
  }

  absl::StatusOr<Value> CallMacro(const Statement& macro, const Arguments& arguments) override {
    if (arguments.positional.size() > macro.names.size())
      return absl::InvalidArgumentError(absl::StrCat(macro.text, ": too many arguments"));
    // A macro sees the template's own variables and its parameters, not its caller's.
    LR_RETURN_IF_ERROR(budget_.Spend(static_cast<int64_t>(scopes_.front().size())));
    Scopes inner{scopes_.front(), {}};
    std::swap(scopes_, inner);
    absl::StatusOr<MarkedText> made = MacroBody(macro, arguments);
    std::swap(scopes_, inner);
    if (!made.ok()) return made.status();
    return Value::Text(*std::move(made));
  }

 private:
  enum class Flow { kOn, kBreak, kContinue };

  absl::StatusOr<MarkedText> MacroBody(const Statement& macro, const Arguments& arguments) {
    for (size_t i = 0; i < macro.names.size(); ++i) {
      const Value* given = arguments.Get(i, macro.names[i]);
      Value value{Undefined{macro.names[i]}};
      if (given != nullptr) {
        value = *given;
      } else if (macro.expressions[i]) {
        LR_ASSIGN_OR_RETURN(value, evaluator_.Evaluate(*macro.expressions[i]));
      }
      scopes_.back().emplace_back(macro.names[i], std::move(value));
    }
    MarkedText out;
    LR_RETURN_IF_ERROR(Do(macro.bodies[0], &out).status());
    return out;
  }

  absl::StatusOr<Flow> Do(const Block& block, MarkedText* out) {
    if (depth_ >= kDeepest) return absl::ResourceExhaustedError("nested over 150 deep");
    ++depth_;
    Flow flow = Flow::kOn;
    for (const auto& statement : block) {
      LR_RETURN_IF_ERROR(budget_.Spend(1));
      absl::StatusOr<Flow> done = One(*statement, out);
      if (!done.ok()) return done.status();
      flow = *done;
      if (flow != Flow::kOn) break;
    }
    --depth_;
    return flow;
  }

  absl::StatusOr<Flow> One(const Statement& statement, MarkedText* out) {
    using Kind = Statement::Kind;
    switch (statement.kind) {
      case Kind::kData:
        LR_RETURN_IF_ERROR(Write({statement.text, Origin::kTemplate}, out));
        return Flow::kOn;
      case Kind::kPrint: {
        LR_ASSIGN_OR_RETURN(const Value value, evaluator_.Evaluate(*statement.expressions[0]));
        absl::StatusOr<MarkedText> text = Printed(value);
        if (!text.ok()) return AtLine(statement.line, text.status());
        LR_RETURN_IF_ERROR(Write(*text, out));
        return Flow::kOn;
      }
      case Kind::kSet: {
        LR_ASSIGN_OR_RETURN(Value value, evaluator_.Evaluate(*statement.expressions[0]));
        absl::Status set = Set(statement, std::move(value));
        if (!set.ok()) return AtLine(statement.line, set);
        return Flow::kOn;
      }
      case Kind::kSetBlock: {
        MarkedText text;
        LR_ASSIGN_OR_RETURN(const Flow flow, Do(statement.bodies[0], &text));
        Assign(statement.names[0], Value::Text(std::move(text)));
        return flow;
      }
      case Kind::kIf:
        return If(statement, out);
      case Kind::kFor:
        return For(statement, out);
      case Kind::kMacro:
        Assign(statement.text, Value{&statement});
        return Flow::kOn;
      case Kind::kBreak:
        return Flow::kBreak;
      case Kind::kContinue:
        return Flow::kContinue;
      case Kind::kBlock:
        return Do(statement.bodies[0], out);
    }
    return Flow::kOn;
  }

  absl::Status Write(const MarkedText& text, MarkedText* out) {
    LR_RETURN_IF_ERROR(budget_.SpendText(text.size()));
    if (static_cast<int64_t>(out->size() + text.size()) > limits_.output_bytes)
      return absl::ResourceExhaustedError("the template writes too much");
    out->Append(text);
    return absl::OkStatus();
  }

  void Assign(const std::string& name, Value value) {
    for (auto& [known, held] : scopes_.back()) {
      if (known == name) {
        held = std::move(value);
        return;
      }
    }
    scopes_.back().emplace_back(name, std::move(value));
  }

  absl::Status Set(const Statement& statement, Value value) {
    if (!statement.attribute.empty()) {
      const Value* target = Lookup(scopes_, statement.names[0]);
      const auto* held = target ? std::get_if<std::shared_ptr<Namespace>>(&target->of) : nullptr;
      if (held == nullptr)
        return absl::InvalidArgumentError(absl::StrCat(statement.names[0], " is no namespace"));
      if (value.depth >= Value::kDeepest)
        return absl::InvalidArgumentError("a namespace holds no namespace and no lists 64 deep");
      for (auto& [key, entry] : (*held)->entries) {
        if (key == statement.attribute) {
          entry = std::move(value);
          return absl::OkStatus();
        }
      }
      (*held)->entries.emplace_back(statement.attribute, std::move(value));
      return absl::OkStatus();
    }
    return Unpack(statement.names, std::move(value));
  }

  absl::Status Unpack(const std::vector<std::string>& names, Value value) {
    if (names.size() == 1) {
      Assign(names[0], std::move(value));
      return absl::OkStatus();
    }
    const List* list = value.list();
    if (list == nullptr || list->size() != names.size())
      return absl::InvalidArgumentError(absl::StrCat(names.size(), " values are needed"));
    for (size_t i = 0; i < names.size(); ++i) Assign(names[i], (*list)[i]);
    return absl::OkStatus();
  }

  absl::StatusOr<Flow> If(const Statement& statement, MarkedText* out) {
    for (size_t i = 0; i < statement.expressions.size(); ++i) {
      LR_ASSIGN_OR_RETURN(const Value value, evaluator_.Evaluate(*statement.expressions[i]));
      if (value.Truth()) return Do(statement.bodies[i], out);
    }
    if (statement.bodies.size() > statement.expressions.size())
      return Do(statement.bodies.back(), out);
    return Flow::kOn;
  }

  static Value LoopVariable(const List& items, size_t i) {
    const auto size = static_cast<int64_t>(items.size()), at = static_cast<int64_t>(i);
    const auto key = [](const char* name) { return MarkedText(name, Origin::kTemplate); };
    return Value::OfMap({
        {key("index"), {at + 1}},
        {key("index0"), {at}},
        {key("first"), {i == 0}},
        {key("last"), {at + 1 == size}},
        {key("length"), {size}},
        {key("revindex"), {size - at}},
        {key("revindex0"), {size - at - 1}},
        {key("previtem"), i == 0 ? Value{Undefined{"previtem"}} : items[i - 1]},
        {key("nextitem"), at + 1 == size ? Value{Undefined{"nextitem"}} : items[i + 1]},
    });
  }

  // The items for which the loop's condition holds.
  absl::Status Filter(const Statement& statement, List* items) {
    List chosen;
    for (const Value& item : *items) {
      scopes_.emplace_back();
      LR_RETURN_IF_ERROR(Unpack(statement.names, item));
      LR_ASSIGN_OR_RETURN(const Value value, evaluator_.Evaluate(*statement.expressions[1]));
      scopes_.pop_back();
      if (value.Truth()) chosen.push_back(item);
    }
    *items = std::move(chosen);
    return absl::OkStatus();
  }

  absl::StatusOr<Flow> For(const Statement& statement, MarkedText* out) {
    LR_ASSIGN_OR_RETURN(const Value over, evaluator_.Evaluate(*statement.expressions[0]));
    absl::StatusOr<List> items = Items(over, &budget_);
    if (!items.ok()) return AtLine(statement.line, items.status());
    if (statement.expressions.size() > 1) LR_RETURN_IF_ERROR(Filter(statement, &*items));
    if (items->empty() && statement.bodies.size() > 1) return Do(statement.bodies[1], out);
    for (size_t i = 0; i < items->size(); ++i) {
      LR_RETURN_IF_ERROR(budget_.Spend(10));
      scopes_.push_back({{"loop", LoopVariable(*items, i)}});
      absl::Status unpacked = Unpack(statement.names, (*items)[i]);
      if (!unpacked.ok()) return AtLine(statement.line, unpacked);
      LR_ASSIGN_OR_RETURN(const Flow flow, Do(statement.bodies[0], out));
      scopes_.pop_back();
      if (flow == Flow::kBreak) break;
    }
    return Flow::kOn;
  }

  RunLimits limits_;
  Budget budget_;
  Scopes scopes_;
  Evaluator evaluator_;
  int depth_ = 0;
};

}  // namespace

absl::StatusOr<MarkedText> Run(const Block& block, const Variables& variables,
                               const RunLimits& limits, Time now) {
  return Runner(variables, limits, now).Run(block);
}

}  // namespace longrun::serving::jinja
