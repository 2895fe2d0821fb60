// How a server's figures look: lines for a terminal, an object for programs.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/units.h"
#include "cli/serving/serving_figures.h"
#include "nlohmann/json.hpp"

namespace longrun::cli {
namespace {

constexpr size_t kTenants = 8;
constexpr size_t kBarColumns = 20;
constexpr char kParts[] = "   ";  // between the parts of a line
const std::string kIndent(11, ' ');

std::string Whole(double n) { return FormatCount(std::llround(n)); }
std::string PercentOr(double part) {
  return part < 0 ? "–" : absl::StrFormat("%.0f%%", 100 * part);
}
std::string Millis(double seconds) {
  return seconds < 0 ? "–" : absl::StrFormat("%.*f ms", seconds < 0.1 ? 1 : 0, 1e3 * seconds);
}

// Cut to the width by letters (UTF-8), with no control character let through.
std::string Fitted(std::string_view text, size_t width) {
  std::string out;
  size_t columns = 0;
  for (const char c : text) {
    const bool begins = (c & 0xC0) != 0x80;
    if (begins && ++columns > width) break;
    out += (c >= 0 && c < 32) || c == 127 ? ' ' : c;
  }
  return out;
}

size_t ColumnsOf(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// As many of the parts of `rest` that `between` separates as fit, which it loses.
std::string TakeLine(std::string* rest, std::string_view between, size_t width) {
  size_t end = rest->size();
  while (end != std::string::npos && ColumnsOf(std::string_view(*rest).substr(0, end)) > width) {
    end = end == 0 ? std::string::npos : rest->rfind(between, end - 1);
  }
  // Behind the name or the indent comes a part at least; one that fits nowhere is cut.
  if (end == std::string::npos || end <= kIndent.size()) {
    end = std::min(rest->find(between, kIndent.size() + 1), rest->size());
  }
  std::string line = rest->substr(0, end);
  rest->erase(0, end == rest->size() ? end : end + between.size());
  return line;
}

std::string Bar(double part) {
  const size_t full = static_cast<size_t>(
      std::lround(std::clamp(part, 0.0, 1.0) * static_cast<double>(kBarColumns)));
  std::string bar;
  for (size_t i = 0; i < kBarColumns; ++i) bar += i < full ? "━" : "─";
  return bar;
}

const char* ColourOf(Binding binding) {
  if (binding == Binding::kStalled) return "31";
  if (binding == Binding::kIdle || binding == Binding::kNothing) return "32";
  return "33";
}

}  // namespace

std::vector<std::string> ServingPanel(const ServingFigures& f, size_t width, bool colour) {
  std::vector<std::string> lines;
  // What is too wide goes on in the next line.
  const auto add = [&](std::string text, std::string_view between, const char* code = "") {
    while (!text.empty()) {
      const std::string fitted = Fitted(TakeLine(&text, between, width), width);
      const bool coloured = colour && *code != '\0';
      lines.push_back(coloured ? absl::StrCat("\x1b[", code, "m", fitted, "\x1b[0m") : fitted);
      if (!text.empty()) text = kIndent + text;
    }
  };
  add(absl::StrCat(f.model.empty() ? "server" : f.model, "   ", Whole(f.running), " running   ",
                   Whole(f.waiting), " waiting",
                   f.predicted_wait > 0
                       ? absl::StrFormat("   a new one would wait %.1f s", f.predicted_wait)
                       : ""),
      kParts, "1");
  add(absl::StrCat("KV cache   ", Bar(f.kv_used), " ", PercentOr(f.kv_used),
                   f.kv_tokens > 0 ? absl::StrCat(" of ", Whole(f.kv_tokens), " tokens") : "",
                   "   prefix hits ", PercentOr(f.prefix_hits), "   put back ",
                   Whole(f.preemptions), "   refused ", Whole(f.rejections)),
      kParts);
  add(absl::StrCat("tokens/s   in ", Whole(f.input_per_second), "   out ",
                   Whole(f.output_per_second), "   a step ",
                   f.tokens_per_step < 0 ? "–" : absl::StrFormat("%.1f", f.tokens_per_step),
                   "   steps/s ",
                   f.steps_per_second < 0 ? "–" : absl::StrFormat("%.1f", f.steps_per_second)),
      kParts);
  add(absl::StrCat("latency    first token ", Millis(f.ttft_p50), " (p99 ", Millis(f.ttft_p99),
                   ")   between tokens ", Millis(f.itl_p50), " (p99 ", Millis(f.itl_p99),
                   ")   queue ", Millis(f.queue_p50)),
      kParts);
  std::string machine =
      absl::StrCat("machine    MFU ", PercentOr(f.mfu), "   MBU ", PercentOr(f.mbu));
  if (f.intensity >= 0) absl::StrAppendFormat(&machine, "   %.1f FLOP/byte", f.intensity);
  if (f.balance > 0) absl::StrAppendFormat(&machine, " (balance %.0f)", f.balance);
  if (f.overhead >= 0) absl::StrAppend(&machine, "   beside arithmetic ", PercentOr(f.overhead));
  add(machine, kParts);
  const Judgement judgement = Judge(f);
  add(absl::StrCat("binds now  ", BindingName(judgement.binding), ": ", judgement.why), " ",
      ColourOf(judgement.binding));
  add("would help " + judgement.help, " ");
  for (size_t i = 0; i < f.tenants.size() && i < kTenants; ++i) {
    const TenantFigures& tenant = f.tenants[i];
    add(absl::StrFormat("tenant     %-20s %s running  %s waiting  %s tokens/s out",
                        tenant.name.empty() ? "(none)" : tenant.name, Whole(tenant.running),
                        Whole(tenant.waiting), Whole(tenant.output_per_second)),
        "  ");
  }
  return lines;
}

std::string ServingJson(const ServingFigures& f) {
  using Json = nlohmann::ordered_json;
  const auto known = [](double value) { return value < 0 ? Json() : Json(value); };
  const Judgement judgement = Judge(f);
  Json tenants = Json::array();
  for (const TenantFigures& tenant : f.tenants) {
    tenants.push_back({{"tenant", tenant.name},
                       {"running", tenant.running},
                       {"waiting", tenant.waiting},
                       {"output_tokens_per_second", tenant.output_per_second}});
  }
  const Json json = {{"model", f.model},
                     {"seconds", f.seconds},
                     {"running", f.running},
                     {"waiting", f.waiting},
                     {"kv_used", f.kv_used},
                     {"kv_tokens", known(f.kv_tokens)},
                     {"input_tokens_per_second", f.input_per_second},
                     {"output_tokens_per_second", f.output_per_second},
                     {"tokens_per_step", known(f.tokens_per_step)},
                     {"steps_per_second", known(f.steps_per_second)},
                     {"ttft_p50_seconds", known(f.ttft_p50)},
                     {"ttft_p99_seconds", known(f.ttft_p99)},
                     {"inter_token_p50_seconds", known(f.itl_p50)},
                     {"inter_token_p99_seconds", known(f.itl_p99)},
                     {"queue_p50_seconds", known(f.queue_p50)},
                     {"prefix_hits", known(f.prefix_hits)},
                     {"preemptions", f.preemptions},
                     {"rejections", f.rejections},
                     {"mfu", known(f.mfu)},
                     {"mbu", known(f.mbu)},
                     {"arithmetic_intensity", known(f.intensity)},
                     {"machine_balance", known(f.balance)},
                     {"overhead", known(f.overhead)},
                     {"predicted_wait_seconds", known(f.predicted_wait)},
                     {"stalled_seconds", f.stalled},
                     {"binds", BindingName(judgement.binding)},
                     {"why", judgement.why},
                     {"would_help", judgement.help},
                     {"tenants", tenants}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace longrun::cli
