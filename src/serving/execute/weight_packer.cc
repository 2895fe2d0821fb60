#include "serving/execute/weight_packer.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/check.h"
#include "serving/execute/read_ahead.h"

namespace longrun::serving {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kCheckedPiece = 1 << 18;  // elements

}  // namespace

void WeightPacker::Add(LinearWeights* to, std::vector<WeightPart> parts, int64_t k, bool in_turn) {
  Job job = {.to = to, .parts = std::move(parts), .k = k, .in_turn = in_turn};
  int64_t rows = 0;
  for (const WeightPart& part : job.parts) rows += part.rows;
  const int64_t columns = in_turn ? rows / 2 : rows;
  const int64_t width = in_turn ? kernels_.lanes : kernels_.panel;
  job.panels = (columns + width - 1) / width;
  to->matrix.type = type_;
  to->matrix.n = rows;
  to->matrix.k = k;
  const int64_t element_bytes = type_ == WeightType::kF32 ? 4 : type_ == WeightType::kBF16 ? 2 : 1;
  to->matrix.panel_bytes = kernels_.panel * k * element_bytes;
  jobs_.push_back(std::move(job));
}

void WeightPacker::AddChecked(const std::string& name, const model::TensorView* view) {
  const int64_t n = static_cast<int64_t>(view->bytes.size()) / model::BytesOf(view->dtype);
  jobs_.push_back({.parts = {{.name = name, .view = view, .rows = n}},
                   .panels = (n + kCheckedPiece - 1) / kCheckedPiece});
}

WeightPacker::Place WeightPacker::PlaceOf(const Job& job, int64_t panel, int64_t column) const {
  if (job.in_turn) {
    const WeightPart& part = job.parts[static_cast<size_t>(column / kernels_.lanes)];
    const int64_t row = panel * kernels_.lanes + column % kernels_.lanes;
    return row < part.rows ? Place{&part, row} : Place{};
  }
  int64_t row = panel * kernels_.panel + column;
  for (const WeightPart& part : job.parts) {
    if (row < part.rows) return {&part, row};
    row -= part.rows;
  }
  return {};
}

const WeightPart* WeightPacker::Fill(const Job& job, int64_t panel, float* columns) const {
  const WeightPart* wrong = nullptr;
  for (int64_t c = 0; c < kernels_.panel;) {
    const auto [part, row] = PlaceOf(job, panel, c);
    if (part == nullptr) {
      std::fill_n(columns + c * job.k, job.k, 0.0f);
      ++c;
      continue;
    }
    const Convert convert = ConvertFrom(kernels_, part->view->dtype);
    const int64_t element = model::BytesOf(part->view->dtype);
    const std::byte* bytes = part->view->bytes.data();
    if (!part->transposed) {
      if (!convert(bytes + row * job.k * element, columns + c * job.k, job.k)) wrong = part;
      ++c;
      continue;
    }
    // As many neighbours as there are: they lie side by side in every row of the file.
    int64_t n = 1;
    while (c + n < kernels_.panel && PlaceOf(job, panel, c + n).part == part) ++n;
    float row_of_file[64];
    LR_CHECK_LE(n, 64);
    for (int64_t i = 0; i < job.k; ++i) {
      if (!convert(bytes + (i * part->rows + row) * element, row_of_file, n)) wrong = part;
      for (int64_t j = 0; j < n; ++j) columns[(c + j) * job.k + i] = row_of_file[j];
    }
    c += n;
  }
  return wrong;
}

void WeightPacker::PlaceBias(const Job& job) const {
  bool any = false;
  for (const WeightPart& part : job.parts) any = any || !part.bias.empty();
  if (!any) return;
  job.to->bias.assign(static_cast<size_t>(job.panels * kernels_.panel), 0.0f);
  for (int64_t i = 0; i < job.panels * kernels_.panel; ++i) {
    const auto [part, row] = PlaceOf(job, i / kernels_.panel, i % kernels_.panel);
    if (part == nullptr || part->bias.empty()) continue;
    job.to->bias[static_cast<size_t>(i)] = part->bias[static_cast<size_t>(row)];
  }
}

absl::Status WeightPacker::Pack(const TensorSource& source, ThreadPool& pool,
                                MappedMemory* memory) {
  int64_t bytes = 0, units = 0, longest = kCheckedPiece;
  for (Job& job : jobs_) {
    job.first_unit = units;
    units += job.panels;
    longest = std::max(longest, job.k * kernels_.panel);
    if (job.to == nullptr) continue;
    bytes += (job.panels * job.to->matrix.panel_bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  LR_ASSIGN_OR_RETURN(*memory, MappedMemory::Allocate(bytes, "the weights"));
  std::byte* next = memory->data();
  for (Job& job : jobs_) {
    if (job.to == nullptr) continue;
    job.to->matrix.data = next;
    next += (job.panels * job.to->matrix.panel_bytes + kAlignment - 1) / kAlignment * kAlignment;
    PlaceBias(job);
    if (type_ != WeightType::kInt8) continue;
    job.to->scales.assign(static_cast<size_t>(job.panels * kernels_.panel), 0.0f);
    job.to->matrix.scales = job.to->scales.data();
  }
  std::vector<std::vector<float>> columns(static_cast<size_t>(pool.threads()));
  std::atomic<const WeightPart*> wrong = nullptr;
  std::vector<std::span<const std::byte>> pages;
  for (Job& job : jobs_) {
    for (const WeightPart& part : job.parts) pages.push_back(part.view->bytes);
    job.pages_end = pages.size();
  }
  const ReadAhead ahead(std::move(pages));
  pool.ForEach(units, [&](int64_t unit, int thread) {
    auto job = std::upper_bound(jobs_.begin(), jobs_.end(), unit,
                                [](int64_t u, const Job& j) { return u < j.first_unit; });
    --job;
    ahead.Await(job->pages_end);
    std::vector<float>& buffer = columns[static_cast<size_t>(thread)];
    buffer.resize(static_cast<size_t>(longest));
    const int64_t panel = unit - job->first_unit;
    if (job->to == nullptr) {
      const WeightPart& part = job->parts[0];
      const int64_t begin = panel * kCheckedPiece;
      const int64_t n = std::min(kCheckedPiece, part.rows - begin);
      const std::byte* from = part.view->bytes.data() + begin * model::BytesOf(part.view->dtype);
      if (!ConvertFrom(kernels_, part.view->dtype)(from, buffer.data(), n)) wrong = &part;
      return;
    }
    if (const WeightPart* part = Fill(*job, panel, buffer.data())) {
      wrong = part;  // and is not packed: what is no number has no int8
      return;
    }
    PackedMatrix& matrix = job->to->matrix;
    kernels_.pack_panel(
        type_, buffer.data(), job->k, matrix.data + panel * matrix.panel_bytes,
        type_ == WeightType::kInt8 ? matrix.scales + panel * kernels_.panel : nullptr);
  });
  if (wrong != nullptr) return source.Fail(wrong.load()->name, "holds a value that is not finite");
  return absl::OkStatus();
}

}  // namespace longrun::serving
