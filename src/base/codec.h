// One description of a struct, three uses: bytes for the journal, a hash for replay tests, equality
// of what the bytes say.
//
// A struct takes part by naming its fields once, in an order that never changes:
//
//   template <class A> void Visit(A& a) { a("run", run); a("step", step); }
//
// The bytes of a struct are prefixed with their length. A reader that meets the end leaves the
// fields after it at their defaults, and skips bytes beyond the fields it knows: so new fields are
// added at the end, and old and new programs read each other's journals. Fields are never removed
// or reordered.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace longrun {

class BinaryWriter;
class BinaryReader;

template <class T, class A>
concept Visitable = requires(T& t, A& a) {
  t.Visit(a);
};

namespace internal {
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class K, class V>
struct IsMap<std::map<K, V>> : std::true_type {};
template <class T>
struct IsSet : std::false_type {};
template <class T>
struct IsSet<std::set<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVariant : std::false_type {};
template <class... T>
struct IsVariant<std::variant<T...>> : std::true_type {};
}  // namespace internal

// Appends to `out`. Integers are zigzag varints, doubles their 8 bytes, little endian.
class BinaryWriter {
 public:
  explicit BinaryWriter(std::string* out) : out_(out) {}

  template <class T>
  void operator()(const char*, T& value) {
    Put(value);
  }

  template <class T>
  void Put(T& value) {
    using U = std::remove_const_t<T>;
    if constexpr (std::is_same_v<U, bool>) {
      out_->push_back(value ? 1 : 0);
    } else if constexpr (std::is_enum_v<U>) {
      Varint(static_cast<uint64_t>(value));
    } else if constexpr (std::is_integral_v<U> && std::is_signed_v<U>) {
      const int64_t v = value;
      Varint((static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63));
    } else if constexpr (std::is_integral_v<U>) {
      Varint(value);
    } else if constexpr (std::is_same_v<U, double>) {
      const uint64_t bits = std::bit_cast<uint64_t>(value);
      char bytes[8];
      for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(bits >> (8 * i));
      out_->append(bytes, 8);
    } else if constexpr (std::is_same_v<U, std::string>) {
      Varint(value.size());
      out_->append(value);
    } else if constexpr (internal::IsVector<U>::value || internal::IsSet<U>::value) {
      Varint(value.size());
      for (auto& item : value) Put(item);
    } else if constexpr (internal::IsMap<U>::value) {
      Varint(value.size());
      for (auto& [key, item] : value) {
        Put(key);
        Put(item);
      }
    } else if constexpr (internal::IsOptional<U>::value) {
      out_->push_back(value.has_value() ? 1 : 0);
      if (value) Put(*value);
    } else if constexpr (internal::IsVariant<U>::value) {
      Varint(value.index());
      std::visit([this](auto& alternative) { Put(alternative); }, value);
    } else {
      // The length comes first but is known last: most structs are short, so one byte is kept for
      // it.
      const size_t at = out_->size();
      out_->push_back(0);
      const_cast<U&>(value).Visit(*this);
      const size_t length = out_->size() - at - 1;
      if (length < 128) {
        (*out_)[at] = static_cast<char>(length);
      } else {
        std::string prefix;
        BinaryWriter(&prefix).Varint(length);
        out_->replace(at, 1, prefix);
      }
    }
  }

  void Varint(uint64_t v) {
    while (v >= 128) {
      out_->push_back(static_cast<char>(v | 128));
      v >>= 7;
    }
    out_->push_back(static_cast<char>(v));
  }

 private:
  std::string* out_;
};

// Reads what BinaryWriter wrote. Hostile bytes never crash it: they make ok() false.
class BinaryReader {
 public:
  explicit BinaryReader(std::string_view in) : in_(in) {}
  bool ok() const { return ok_; }
  bool at_end() const { return in_.empty(); }

  template <class T>
  void operator()(const char*, T& value) {
    if (in_.empty()) return;  // an older writer: the field keeps its default
    Get(value);
  }

  template <class T>
  void Get(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      value = Byte() != 0;
    } else if constexpr (std::is_enum_v<T>) {
      value = static_cast<T>(Varint());
    } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
      const uint64_t v = Varint();
      value = static_cast<T>(static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1));
    } else if constexpr (std::is_integral_v<T>) {
      value = static_cast<T>(Varint());
    } else if constexpr (std::is_same_v<T, double>) {
      uint64_t bits = 0;
      for (int i = 0; i < 8; ++i) bits |= static_cast<uint64_t>(Byte()) << (8 * i);
      value = std::bit_cast<double>(bits);
    } else if constexpr (std::is_same_v<T, std::string>) {
      value = std::string(Take(Varint()));
    } else if constexpr (internal::IsVector<T>::value) {
      const uint64_t n = Count();
      value.clear();
      for (uint64_t i = 0; i < n && ok_; ++i) Get(value.emplace_back());
    } else if constexpr (internal::IsSet<T>::value) {
      const uint64_t n = Count();
      value.clear();
      for (uint64_t i = 0; i < n && ok_; ++i) {
        typename T::key_type key{};
        Get(key);
        value.insert(std::move(key));
      }
    } else if constexpr (internal::IsMap<T>::value) {
      const uint64_t n = Count();
      value.clear();
      for (uint64_t i = 0; i < n && ok_; ++i) {
        typename T::key_type key{};
        Get(key);
        Get(value[std::move(key)]);
      }
    } else if constexpr (internal::IsOptional<T>::value) {
      if (Byte() != 0) {
        Get(value.emplace());
      } else {
        value.reset();
      }
    } else if constexpr (internal::IsVariant<T>::value) {
      GetVariant<0>(value, Varint());
    } else {
      const std::string_view body = Take(Varint());
      if (!ok_) return;
      const std::string_view rest = std::exchange(in_, body);
      value.Visit(*this);
      in_ = rest;
    }
  }

 private:
  template <size_t I, class V>
  void GetVariant(V& value, uint64_t index) {
    if constexpr (I < std::variant_size_v<V>) {
      if (index == I) {
        Get(value.template emplace<I>());
      } else {
        GetVariant<I + 1>(value, index);
      }
    } else {
      ok_ = false;
    }
  }

  uint8_t Byte() {
    if (in_.empty()) {
      ok_ = false;
      return 0;
    }
    const uint8_t b = static_cast<uint8_t>(in_.front());
    in_.remove_prefix(1);
    return b;
  }

  uint64_t Varint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t b = Byte();
      v |= static_cast<uint64_t>(b & 127) << shift;
      if (b < 128) return v;
    }
    ok_ = false;
    return 0;
  }

  // A count of items, each of at least one byte.
  uint64_t Count() {
    const uint64_t n = Varint();
    if (n > in_.size()) {
      ok_ = false;
      return 0;
    }
    return n;
  }

  std::string_view Take(uint64_t n) {
    if (n > in_.size()) {
      ok_ = false;
      in_ = {};
      return {};
    }
    const std::string_view bytes = in_.substr(0, n);
    in_.remove_prefix(n);
    return bytes;
  }

  std::string_view in_;
  bool ok_ = true;
};

template <class T>
std::string EncodeBinary(const T& value) {
  std::string out;
  BinaryWriter(&out).Put(value);
  return out;
}

// False when `bytes` are not a whole T.
template <class T>
bool DecodeBinary(std::string_view bytes, T& value) {
  BinaryReader reader(bytes);
  reader.Get(value);
  return reader.ok() && reader.at_end();
}

// FNV-1a over the encoded bytes: equal state, equal hash, on every machine.
template <class T>
uint64_t HashOf(const T& value) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : EncodeBinary(value)) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  }
  return hash;
}

}  // namespace longrun
