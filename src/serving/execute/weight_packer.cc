#include "serving/execute/weight_packer.h"

#include <algorithm>
#include <functional>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "serving/execute/read_ahead.h"

namespace longrun::serving {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kPiece = 1 << 18;             // elements of a tensor that is not packed
constexpr size_t kPageBytes = size_t{8} << 20;  // of a tensor, read ahead at once
constexpr int64_t kMostLanes = 16;

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

void WeightPacker::AddWhole(const std::string& name, const model::TensorView* view, Job job) {
  const int64_t n = static_cast<int64_t>(view->bytes.size()) / model::BytesOf(view->dtype);
  job.parts = {{.name = name, .view = view, .rows = n}};
  job.panels = (n + kPiece - 1) / kPiece;
  jobs_.push_back(std::move(job));
}

void WeightPacker::AddVector(const std::string& name, const model::TensorView* view,
                             std::vector<float>* to) {
  AddWhole(name, view, {.vector = to});
}

void WeightPacker::AddChecked(const std::string& name, const model::TensorView* view) {
  AddWhole(name, view, {});
}

void WeightPacker::AddZeros(const std::string& name, const model::TensorView* view) {
  AddWhole(name, view, {.zeros = true});
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

std::optional<WeightPacker::Problem> WeightPacker::Fill(const Job& job, int64_t panel,
                                                        float* columns) const {
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
  if (wrong == nullptr) return std::nullopt;
  return Problem{wrong->name, kNotFinite};
}

const WeightPart* WeightPacker::InSteps(const Job& job, int64_t panel) const {
  if (job.in_turn || type_ == WeightType::kInt8) return nullptr;  // int8 wants a column's largest
  const WeightPart* part = PlaceOf(job, panel, 0).part;
  return part != nullptr && part->transposed && PlaceOf(job, panel, kernels_.panel - 1).part == part
             ? part
             : nullptr;
}

std::optional<WeightPacker::Problem> WeightPacker::CopySteps(const Job& job, int64_t panel,
                                                             const WeightPart& part) const {
  const Convert convert = ConvertFrom(kernels_, part.view->dtype);
  const int64_t element = model::BytesOf(part.view->dtype);
  const std::byte* from = part.view->bytes.data() + PlaceOf(job, panel, 0).row * element;
  const PackedMatrix& matrix = job.to->matrix;
  std::byte* to = matrix.data + panel * matrix.panel_bytes;
  const int64_t rows_of_step = job.k / matrix.steps();
  const int64_t step_bytes = matrix.panel_bytes / matrix.steps();
  float rows[2 * kMostLanes * 2];
  bool finite = true;
  for (int64_t s = 0; s < matrix.steps(); ++s) {
    for (int64_t i = 0; i < rows_of_step; ++i, from += part.rows * element) {
      finite &= convert(from, rows + i * kernels_.panel, kernels_.panel);
    }
    kernels_.pack_step(type_, rows, to + s * step_bytes);
  }
  if (finite) return std::nullopt;
  return Problem{part.name, kNotFinite};
}

std::optional<WeightPacker::Problem> WeightPacker::PlaceBias(const Job& job) const {
  std::vector<std::vector<float>> biases(job.parts.size());
  bool any = false;
  for (size_t i = 0; i < job.parts.size(); ++i) {
    const WeightPart& part = job.parts[i];
    if (part.bias == nullptr) continue;
    any = true;
    biases[i].resize(static_cast<size_t>(part.rows));
    if (!ConvertFrom(kernels_, part.bias->dtype)(part.bias->bytes.data(), biases[i].data(),
                                                 part.rows)) {
      return Problem{part.bias_name, kNotFinite};
    }
  }
  if (!any) return std::nullopt;
  job.to->bias.assign(static_cast<size_t>(job.panels * kernels_.panel), 0.0f);
  for (int64_t i = 0; i < job.panels * kernels_.panel; ++i) {
    const auto [part, row] = PlaceOf(job, i / kernels_.panel, i % kernels_.panel);
    if (part == nullptr || part->bias == nullptr) continue;
    job.to->bias[static_cast<size_t>(i)] =
        biases[static_cast<size_t>(part - job.parts.data())][static_cast<size_t>(row)];
  }
  return std::nullopt;
}

std::optional<WeightPacker::Problem> WeightPacker::RunPiece(const Job& job, int64_t piece,
                                                            float* buffer) const {
  const WeightPart& part = job.parts[0];
  const int64_t begin = piece * kPiece;
  const int64_t n = std::min(kPiece, part.rows - begin);
  const std::byte* from = part.view->bytes.data() + begin * model::BytesOf(part.view->dtype);
  float* to = job.vector == nullptr ? buffer : job.vector->data() + begin;
  if (!ConvertFrom(kernels_, part.view->dtype)(from, to, n)) return Problem{part.name, kNotFinite};
  if (job.zeros && std::any_of(to, to + n, [](float value) { return value != 0; })) {
    return Problem{part.name, kNotZero};
  }
  return std::nullopt;
}

std::optional<WeightPacker::Problem> WeightPacker::Run(const Job& job, int64_t unit,
                                                       float* buffer) const {
  if (job.to == nullptr) return RunPiece(job, unit, buffer);
  if (unit == 0) {
    if (auto problem = PlaceBias(job)) return problem;
  }
  if (const WeightPart* part = InSteps(job, unit)) return CopySteps(job, unit, *part);
  // What is no number is not packed: it has no int8.
  if (auto problem = Fill(job, unit, buffer)) return problem;
  PackedMatrix& matrix = job.to->matrix;
  kernels_.pack_panel(type_, buffer, job.k, matrix.data + unit * matrix.panel_bytes,
                      type_ == WeightType::kInt8 ? matrix.scales + unit * kernels_.panel : nullptr);
  return std::nullopt;
}

// In the order of Add, which is that of use.
absl::Status WeightPacker::Lay(MappedMemory* memory) {
  const auto bytes_of = [](const Job& job) {
    const int64_t bytes = job.to == nullptr ? 0 : job.panels * job.to->matrix.panel_bytes;
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  };
  int64_t bytes = 0;
  for (const Job& job : jobs_) bytes += bytes_of(job);
  LR_ASSIGN_OR_RETURN(*memory, MappedMemory::Allocate(bytes, "the weights"));
  std::byte* next = memory->data();
  for (const Job& job : jobs_) {
    if (job.vector != nullptr) job.vector->resize(static_cast<size_t>(job.parts[0].rows));
    if (job.to == nullptr) continue;
    job.to->matrix.data = next;
    next += bytes_of(job);
    if (type_ != WeightType::kInt8) continue;
    job.to->scales.assign(static_cast<size_t>(job.panels * kernels_.panel), 0.0f);
    job.to->matrix.scales = job.to->scales.data();
  }
  return absl::OkStatus();
}

// Sorts the jobs; returns the bytes that they need, in their order.
std::vector<std::span<const std::byte>> WeightPacker::InOrderOfFiles() {
  std::stable_sort(jobs_.begin(), jobs_.end(), [](const Job& a, const Job& b) {
    const std::less<const std::byte*> before;
    return before(a.parts[0].view->bytes.data(), b.parts[0].view->bytes.data());
  });
  std::vector<std::span<const std::byte>> pages;
  int64_t units = 0;
  for (Job& job : jobs_) {
    job.first_unit = units;
    units += job.panels;
    job.first_page = pages.size();
    for (const WeightPart& part : job.parts) {
      for (auto rest = part.view->bytes; !rest.empty();) {
        pages.push_back(rest.first(std::min(rest.size(), kPageBytes)));
        rest = rest.subspan(pages.back().size());
      }
      if (part.bias != nullptr) pages.push_back(part.bias->bytes);
    }
    job.pages_end = pages.size();
  }
  return pages;
}

size_t WeightPacker::PagesOf(const Job& job, int64_t unit) const {
  const WeightPart& part = job.parts[0];
  if (job.to == nullptr || job.parts.size() > 1 || part.transposed) return job.pages_end;
  const auto panel_bytes =
      static_cast<size_t>(kernels_.panel * job.k * model::BytesOf(part.view->dtype));
  const size_t end =
      std::min(part.view->bytes.size(), (static_cast<size_t>(unit) + 1) * panel_bytes);
  return job.first_page + (end + kPageBytes - 1) / kPageBytes;
}

absl::Status WeightPacker::Pack(const TensorSource& source, ThreadPool& pool,
                                MappedMemory* memory) {
  LR_RETURN_IF_ERROR(Lay(memory));
  const ReadAhead ahead(InOrderOfFiles());
  int64_t units = 0, longest = kPiece;
  for (const Job& job : jobs_) {
    units += job.panels;
    longest = std::max(longest, job.k * kernels_.panel);
  }
  std::vector<std::vector<float>> buffers(static_cast<size_t>(pool.threads()));
  std::mutex mutex;
  std::optional<Problem> problem;
  pool.ForEach(units, [&](int64_t unit, int thread) {
    auto job = std::upper_bound(jobs_.begin(), jobs_.end(), unit,
                                [](int64_t u, const Job& j) { return u < j.first_unit; });
    --job;
    ahead.Await(PagesOf(*job, unit - job->first_unit));
    std::vector<float>& buffer = buffers[static_cast<size_t>(thread)];
    buffer.resize(static_cast<size_t>(longest));
    if (auto found = Run(*job, unit - job->first_unit, buffer.data())) {
      const std::lock_guard lock(mutex);
      problem = std::move(found);
    }
  });
  if (problem) return source.Fail(problem->name, problem->what);
  return absl::OkStatus();
}

}  // namespace longrun::serving
