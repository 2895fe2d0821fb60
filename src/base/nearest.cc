#include "base/nearest.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace longrun {
namespace {

// A word this long is no slip of any field or command, and the distance is quadratic.
constexpr size_t kLongestWord = 64;

std::string Plain(std::string_view word) {
  std::string out;
  for (const char c : word) {
    if (c != '-' && c != '_') out.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

// Optimal string alignment: the fewest letters added, left out, changed or swapped with a
// neighbour.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string NearestWord(std::string_view word, const std::vector<std::string>& choices) {
  const std::string plain = Plain(word);
  if (plain.empty() || plain.size() > kLongestWord) return "";
  std::string nearest;
  size_t least = std::max<size_t>(1, plain.size() / 3) + 1;
  for (const std::string& choice : choices) {
    const std::string other = Plain(choice);
    if (other.size() > kLongestWord) continue;
    const size_t distance = Distance(plain, other);
    // A word of which nothing would remain is no slip ("a" for "go").
    if (distance < least && distance < other.size()) {
      least = distance;
      nearest = choice;
    }
  }
  return nearest;
}

std::string DidYouMean(std::string_view word, const std::vector<std::string>& choices) {
  const std::string nearest = NearestWord(word, choices);
  return nearest.empty() ? "" : absl::StrCat("; did you mean \"", nearest, "\"?");
}

}  // namespace longrun
