#include "serving/openai/embedding.h"

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "serving/openai/api_error.h"
#include "serving/openai/generation.h"
#include "serving/openai/json_text.h"

namespace longrun::serving {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "base64 embeddings are little-endian");

std::vector<float> Normalised(std::vector<float> vector) {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * x;
  if (squares > 0) {
    const double scale = 1 / std::sqrt(squares);
    for (float& x : vector) x = static_cast<float>(x * scale);
  }
  return vector;
}

std::string ToBase64(const std::vector<float>& vector) {
  return absl::Base64Escape(
      {reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)});
}

EmbeddingAnswer::EmbeddingAnswer(Engine* engine, EmbeddingPlan plan,
                                 std::shared_ptr<net::Responder> responder)
    : engine_(engine), plan_(std::move(plan)), responder_(std::move(responder)) {
  for (const GenerationRequest& request : plan_.requests) ids_.push_back(request.id);
  vectors_.resize(ids_.size());
  running_ = ids_.size();
}

void EmbeddingAnswer::Start() {
  const auto self = shared_from_this();
  std::vector<GenerationRequest> requests = std::move(plan_.requests);
  for (const GenerationRequest& request : requests) held_bytes_ += HeldBytesOf(request);
  const bool held = responder_->Hold(static_cast<int64_t>(held_bytes_));
  for (size_t i = 0; i < requests.size(); ++i) {
    const absl::Status refused =
        !held ? HoldsTooMuch()
              : engine_->Submit(std::move(requests[i]), [self, i](const std::string&, Delta delta) {
                  self->OnDelta(i, std::move(delta));
                });
    if (refused.ok()) continue;
    bool settle = false;
    {
      const std::lock_guard lock(mutex_);
      running_ -= requests.size() - i;
      settle = running_ == 0 && !std::exchange(settled_, true);
    }
    Over(refused);
    if (settle) plan_.settled(usage_);
    break;
  }
  responder_->OnClosed([weak = weak_from_this()] {
    const auto alive = weak.lock();
    if (alive == nullptr) return;
    {
      const std::lock_guard lock(alive->mutex_);
      if (std::exchange(alive->answered_, true)) return;
    }
    alive->CancelAll();
  });
}

void EmbeddingAnswer::CancelAll() {
  for (const std::string& id : ids_) engine_->Cancel(id);
}

void EmbeddingAnswer::OnDelta(size_t input, Delta delta) {
  absl::Status error;
  bool over = false;
  {
    const std::lock_guard lock(mutex_);
    // Each is written as it comes: all at the end would keep the engine from its next step.
    if (!delta.embedding.empty()) {
      const std::vector<float> vector = Normalised(std::move(delta.embedding));
      vectors_[input] = plan_.base64 ? "\"" + ToBase64(vector) + "\"" : NumbersText(vector);
      held_bytes_ += vectors_[input].size();
      if (!answered_ && !responder_->Hold(static_cast<int64_t>(held_bytes_)))
        error = HoldsTooMuch();
    }
    if (delta.finish == FinishReason::kError)
      error = delta.error.ok() ? absl::InternalError("no reason given") : delta.error;
    if (delta.finish == FinishReason::kCancelled)
      error = absl::UnavailableError("the server is stopping and could not finish this answer");
    if (delta.last) {
      usage_.prompt_tokens += delta.usage.prompt_tokens;
      over = --running_ == 0 && !std::exchange(settled_, true);
    }
  }
  if (!error.ok() || over) Over(error);
  if (over) plan_.settled(usage_);
}

void EmbeddingAnswer::Over(const absl::Status& error) {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(answered_, true)) return;
  }
  const ApiError refusal = FromStatus(error);
  if (!error.ok() && refusal.status == 500)
    log::error("request {}: {}", ids_[0], std::string(error.message()));
  net::Response response = error.ok() ? Whole() : ToResponse(refusal);
  response.headers.insert(response.headers.end(), plan_.headers.begin(), plan_.headers.end());
  responder_->Send(std::move(response));
  if (!error.ok()) CancelAll();
}

net::Response EmbeddingAnswer::Whole() const {
  const json usage = {{"prompt_tokens", usage_.prompt_tokens},
                      {"total_tokens", usage_.prompt_tokens}};
  net::Response response;
  response.body = "{\"object\":\"list\",\"data\":[";
  for (size_t i = 0; i < vectors_.size(); ++i) {
    absl::StrAppend(&response.body, i == 0 ? "" : ",", "{\"object\":\"embedding\",\"index\":", i,
                    ",\"embedding\":", vectors_[i].empty() ? "[]" : vectors_[i], "}");
  }
  absl::StrAppend(&response.body, "],\"model\":", json(plan_.model).dump(),
                  ",\"usage\":", usage.dump(), "}");
  return response;
}

}  // namespace longrun::serving
