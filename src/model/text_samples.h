// Text for tests: words of many scripts in random order with the white space, digits, contractions
// and symbols that splitting has to tell apart; the same for the same seed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/random.h"

namespace longrun::model {

inline std::string MixedScripts(uint64_t seed, size_t bytes) {
  static const std::vector<std::string> kPieces = {"the",
                                                   "of",
                                                   "and",
                                                   "network",
                                                   "Longrun",
                                                   "it's",
                                                   "we'll",
                                                   "they're",
                                                   "I'm",
                                                   "I've",
                                                   "he'd",
                                                   "DON'T",
                                                   "'s",
                                                   "''",
                                                   "'",
                                                   "naïve",
                                                   "Straße",
                                                   "e\u0301te\u0301",
                                                   "Привет",
                                                   "съел",
                                                   "объём",
                                                   "Ελληνικά",
                                                   "Ὀδυσσεύς",
                                                   "世界",
                                                   "漢字かな交じり文",
                                                   "カタカナ",
                                                   "한국어",
                                                   "العربية",
                                                   "مَرْحَبًا",
                                                   "עברית",
                                                   "हिन्दी",
                                                   "क्षत्रिय",
                                                   "ไทย",
                                                   "ქართული",
                                                   "አማርኛ",
                                                   "😀",
                                                   "👩‍👩‍👧",
                                                   "🇩🇪",
                                                   "❤️",
                                                   "𝔘𝔫𝔦",
                                                   "𠀀",
                                                   "0",
                                                   "42",
                                                   "1,234.56",
                                                   "٣٤",
                                                   "²³",
                                                   "Ⅷ",
                                                   "½",
                                                   "x2",
                                                   "--",
                                                   "...",
                                                   "?!",
                                                   "#include",
                                                   "a_b",
                                                   "http://x.y/?z=1",
                                                   "<|endoftext|>",
                                                   "€",
                                                   "…",
                                                   "\u00AD",
                                                   "\u180E",
                                                   "\u200B",
                                                   "\u00A0",
                                                   "\u0085",
                                                   "\u2003",
                                                   "\u3000",
                                                   "\u2028",
                                                   "\t",
                                                   "\n",
                                                   "\n\n",
                                                   "\r\n",
                                                   "\v",
                                                   "\f",
                                                   "  ",
                                                   "    ",
                                                   "\x1C",
                                                   "\x7F",
                                                   std::string(1, '\0')};
  Random random(seed);
  std::string text;
  while (text.size() < bytes) {
    text += kPieces[random.Below(kPieces.size())];
    if (random.Below(10) < 7) text += ' ';
  }
  return text;
}

// Mostly ASCII letters and white space in random order: the borders of splitting rather than words.
inline std::string RandomBytes(uint64_t seed, size_t bytes, bool any) {
  static constexpr char kCommon[] = "aest' \n\t.1";
  Random random(seed);
  std::string text;
  while (text.size() < bytes) {
    text.push_back(any ? static_cast<char>(random.Next())
                       : kCommon[random.Below(sizeof kCommon - 1)]);
  }
  return text;
}

// The quotations of Debian's fortunes where they are installed, else nothing.
inline std::string Fortunes() {
  namespace fs = std::filesystem;
  std::string all;
  std::error_code error;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator("/usr/share/games/fortunes", error)) {
    if (entry.is_regular_file() && !entry.path().has_extension()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& path : files) {
    std::ifstream in(path, std::ios::binary);
    all.append(std::istreambuf_iterator<char>(in), {});
  }
  return all;
}

}  // namespace longrun::model
