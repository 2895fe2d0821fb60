#include "model/safetensors_header.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "model/view_hash.h"

namespace longrun::model {
namespace {

constexpr std::string_view kMetadata = "__metadata__";
constexpr size_t kMostDimensions = 64;
constexpr size_t kDataAlignment = 64;

// Takes the parser's events one by one: a header of 100 MB never becomes a tree of gigabytes. A
// method that returns false ends the parsing; error() then says why.
class HeaderReader : public nlohmann::json::json_sax_t {
 public:
  SafetensorsHeader Take() { return std::move(header_); }
  const std::string& error() const { return error_; }

  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { return Unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t& text) override {
    return Unexpected("the number " + text);
  }
  bool binary(binary_t&) override { return Unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (!in_array_) return Unexpected("a number");
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Fail(fmt::format("{} in {} is beyond 2^63", value, field_));
    }
    if (numbers_.size() == kMostDimensions) {
      return Fail(fmt::format("{} has over {} numbers", field_, kMostDimensions));
    }
    numbers_.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata_) {
      header_.metadata[field_] = value;
      return true;
    }
    if (depth_ != 2 || field_ != "dtype") return Unexpected("text");
    const absl::StatusOr<DType> dtype = ParseDType(value);
    if (!dtype.ok()) return Fail(std::string(dtype.status().message()));
    place_.dtype = *dtype;
    return true;
  }

  bool start_object(size_t) override {
    if (depth_ == 2 || in_array_) return Unexpected("an object");
    ++depth_;
    seen_.clear();
    place_ = {};
    return true;
  }

  bool key(string_t& name) override {
    if (depth_ == 1) {
      tensor_ = name;
      in_metadata_ = name == kMetadata;
      if (!names_.try_emplace(name).second) return Fail("it stands twice");
      return true;
    }
    field_ = name;
    if (std::find(seen_.begin(), seen_.end(), name) != seen_.end()) {
      return Fail(fmt::format("\"{}\" stands twice", name));
    }
    if (!in_metadata_ && name != "dtype" && name != "shape" && name != "data_offsets") {
      return Fail(fmt::format("unknown field \"{}\"", name));
    }
    seen_.push_back(name);
    return true;
  }

  bool end_object() override {
    if (--depth_ == 0 || in_metadata_) return true;
    if (seen_.size() != 3) return Fail("dtype, shape and data_offsets are needed");
    header_.tensors.emplace_back(tensor_, std::move(place_));
    return true;
  }

  bool start_array(size_t) override {
    if (depth_ != 2 || in_metadata_ || in_array_ || field_ == "dtype") return Unexpected("a list");
    in_array_ = true;
    numbers_.clear();
    return true;
  }

  bool end_array() override {
    in_array_ = false;
    if (field_ == "shape") {
      place_.shape = numbers_;
      return true;
    }
    if (numbers_.size() != 2) return Fail("data_offsets must be [begin, end]");
    place_.begin = numbers_[0];
    place_.end = numbers_[1];
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& e) override {
    error_ = fmt::format("the header is not valid JSON at byte {}: {}", position, e.what());
    return false;
  }

 private:
  bool Fail(const std::string& what) {
    error_ = tensor_.empty() ? what : fmt::format("tensor \"{}\": {}", tensor_, what);
    return false;
  }
  bool Unexpected(const std::string& what) {
    return Fail(fmt::format("{} stands where {} belongs", what,
                            depth_ == 0         ? "an object"
                            : depth_ == 1       ? "an object with dtype, shape and data_offsets"
                            : in_metadata_      ? "text"
                            : field_ == "dtype" ? "the name of a dtype"
                                                : "a list of whole numbers from 0"));
  }

  SafetensorsHeader header_;
  std::string error_;
  TextMap<bool> names_;
  int depth_ = 0;  // of objects
  bool in_array_ = false;
  bool in_metadata_ = false;
  std::string tensor_;
  std::string field_;
  std::vector<std::string> seen_;  // fields of the object that is open
  std::vector<int64_t> numbers_;
  TensorPlace place_;
};

// What is wrong with a tensor by itself, or nothing.
std::optional<std::string> Mistake(const TensorPlace& place, int64_t data_bytes) {
  if (place.begin > place.end || place.end > data_bytes) {
    return fmt::format("its offsets {} to {} are not within the data of {} bytes", place.begin,
                       place.end, data_bytes);
  }
  const int64_t bytes = TensorBytes(place.dtype, place.shape);
  if (bytes != place.end - place.begin) {
    return fmt::format("{} [{}] takes {} bytes, but its offsets span {}", NameOf(place.dtype),
                       fmt::join(place.shape, ", "),
                       bytes < 0 ? "over 2^63" : std::to_string(bytes), place.end - place.begin);
  }
  return std::nullopt;
}

// What is wrong with the tensors together, or nothing.
std::optional<std::string> Misfit(const SafetensorsHeader& header, int64_t data_bytes) {
  std::vector<const std::pair<std::string, TensorPlace>*> order;
  for (const auto& tensor : header.tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  int64_t filled = 0;
  const std::string* before = nullptr;
  for (const auto* tensor : order) {
    const auto& [name, place] = *tensor;
    if (place.begin < filled) {
      return fmt::format("tensor \"{}\" at offset {} overlaps tensor \"{}\", which ends at {}",
                         name, place.begin, *before, filled);
    }
    if (place.begin > filled) {
      return fmt::format("offsets {} to {}, before tensor \"{}\", belong to no tensor", filled,
                         place.begin, name);
    }
    filled = place.end;
    before = &name;
  }
  if (filled == data_bytes) return std::nullopt;
  return fmt::format("the tensors end at offset {}, but the data has {} bytes", filled, data_bytes);
}

}  // namespace

int64_t TensorBytes(DType dtype, const std::vector<int64_t>& shape) {
  int64_t bytes = BytesOf(dtype);
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, size, &bytes)) return -1;
  }
  return bytes;
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json, int64_t data_bytes,
                                                         const std::string& path) {
  HeaderReader reader;
  bool whole = false;
  try {
    whole = nlohmann::json::sax_parse(json, &reader);
  } catch (const std::exception& e) {
    return absl::DataLossError(fmt::format("{}: {}", path, e.what()));
  }
  if (!whole) return absl::DataLossError(fmt::format("{}: {}", path, reader.error()));
  SafetensorsHeader header = reader.Take();
  for (const auto& [name, place] : header.tensors) {
    if (const auto mistake = Mistake(place, data_bytes)) {
      return absl::DataLossError(fmt::format("{}: tensor \"{}\": {}", path, name, *mistake));
    }
  }
  if (const auto misfit = Misfit(header, data_bytes)) {
    return absl::DataLossError(fmt::format("{}: {}", path, *misfit));
  }
  return header;
}

absl::StatusOr<std::string> FormatSafetensorsHeader(const SafetensorsHeader& header) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!header.metadata.empty()) json[std::string(kMetadata)] = header.metadata;
  for (const auto& [name, place] : header.tensors) {
    json.push_back({name,
                    {{"dtype", NameOf(place.dtype)},
                     {"shape", place.shape},
                     {"data_offsets", {place.begin, place.end}}}});
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(
        fmt::format("a tensor's name or the metadata is not UTF-8: {}", e.what()));
  }
  while ((sizeof(uint64_t) + text.size()) % kDataAlignment != 0) text.push_back(' ');
  return text;
}

}  // namespace longrun::model
