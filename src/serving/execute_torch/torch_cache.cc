#include "serving/execute_torch/torch_cache.h"

#include <fmt/core.h>

#include <cstring>

namespace longrun::serving {
namespace {

constexpr double kLargestInt8 = 127;

int64_t BytesOf(const at::Tensor& t) { return t.numel() * static_cast<int64_t>(t.element_size()); }

}  // namespace

TorchCache::TorchCache(const ModelShape& shape, CacheSize size, KvType type, at::Device device)
    : layers_(shape.layers), kv_heads_(shape.kv_heads), head_dim_(shape.head_dim), size_(size) {
  keys_ = Allocate(type, device);
  values_ = Allocate(type, device);
}

TorchCache::Vectors TorchCache::Allocate(KvType type, at::Device device) const {
  const at::ScalarType element = type == KvType::kF32    ? at::kFloat
                                 : type == KvType::kBF16 ? at::kBFloat16
                                                         : at::kChar;
  const int64_t rows = size_.blocks * kv_heads_;
  const auto options = at::TensorOptions().device(device);
  Vectors vectors;
  vectors.data = at::zeros({layers_, rows, size_.block_tokens * head_dim_}, options.dtype(element));
  if (type == KvType::kInt8) {
    vectors.scales = at::zeros({layers_, rows, size_.block_tokens}, options.dtype(at::kFloat));
  }
  return vectors;
}

std::vector<at::Tensor> TorchCache::Parts() const {
  std::vector<at::Tensor> parts = {keys_.data, values_.data};
  if (keys_.scales.defined()) parts.insert(parts.end(), {keys_.scales, values_.scales});
  return parts;
}

void TorchCache::Copy(BlockCopy copy) {
  for (const at::Tensor& part : Parts()) {
    part.narrow(1, copy.to * kv_heads_, kv_heads_)
        .copy_(part.narrow(1, copy.from * kv_heads_, kv_heads_));
  }
}

void TorchCache::PutVectors(Vectors& to, int64_t layer, const at::Tensor& slots,
                            const at::Tensor& x) const {
  const at::Tensor data = to.data.select(0, layer).view({-1, head_dim_});
  if (!to.scales.defined()) {
    data.index_put_({slots}, x.to(data.scalar_type()));
    return;
  }
  const at::Tensor scales = x.abs().amax({1}, true) / kLargestInt8;  // [vectors, 1]
  to.scales.select(0, layer).view({-1}).index_put_({slots}, scales.squeeze(1));
  // A vector of zeros has scale 0, and stays zeros.
  data.index_put_({slots}, (x / scales.clamp_min(1e-30)).round().to(at::kChar));
}

void TorchCache::Put(int64_t layer, const at::Tensor& slots, const at::Tensor& keys,
                     const at::Tensor& values) {
  PutVectors(keys_, layer, slots, keys);
  PutVectors(values_, layer, slots, values);
}

at::Tensor TorchCache::Gather(const Vectors& from, int64_t layer, const at::Tensor& rows) const {
  const at::Tensor x = from.data.select(0, layer)
                           .index_select(0, rows)
                           .view({-1, size_.block_tokens, head_dim_})
                           .to(at::kFloat);
  if (!from.scales.defined()) return x;
  return x * from.scales.select(0, layer).index_select(0, rows).unsqueeze(2);
}

at::Tensor TorchCache::Keys(int64_t layer, const at::Tensor& rows) const {
  return Gather(keys_, layer, rows);
}

at::Tensor TorchCache::Values(int64_t layer, const at::Tensor& rows) const {
  return Gather(values_, layer, rows);
}

at::Tensor TorchCache::RowsOf(std::span<const BlockId> blocks) const {
  std::vector<int64_t> rows;
  for (const BlockId block : blocks) {
    for (int64_t h = 0; h < kv_heads_; ++h) rows.push_back(block * kv_heads_ + h);
  }
  return at::tensor(rows, at::kLong).to(keys_.data.device());
}

void TorchCache::Read(std::span<const BlockId> blocks, std::vector<std::byte>* to) const {
  const at::Tensor rows = RowsOf(blocks);
  to->clear();
  for (const at::Tensor& part : Parts()) {
    const at::Tensor host = part.index_select(1, rows).to(at::kCPU);
    const auto* data = static_cast<const std::byte*>(host.data_ptr());
    to->insert(to->end(), data, data + BytesOf(host));
  }
}

absl::Status TorchCache::Write(std::span<const std::byte> from, std::span<const BlockId> blocks) {
  int64_t wanted = 0;
  for (const at::Tensor& part : Parts()) {
    wanted += BytesOf(part) / size_.blocks * static_cast<int64_t>(blocks.size());
  }
  if (static_cast<int64_t>(from.size()) != wanted) {
    return absl::InvalidArgumentError(
        fmt::format("{} bytes for {} blocks; {} are right", from.size(), blocks.size(), wanted));
  }
  const at::Tensor rows = RowsOf(blocks);
  for (const at::Tensor& part : Parts()) {
    at::Tensor host = at::empty({layers_, rows.size(0), part.size(2)}, part.scalar_type());
    std::memcpy(host.data_ptr(), from.data(), static_cast<size_t>(BytesOf(host)));
    from = from.subspan(static_cast<size_t>(BytesOf(host)));
    at::Tensor(part).index_copy_(1, rows, host.to(part.device()));
  }
  return absl::OkStatus();
}

}  // namespace longrun::serving
