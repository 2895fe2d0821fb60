#include "serving/openai/generation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/log.h"

namespace longrun::serving {
namespace {

constexpr size_t kWorthTellingBytes = 4 << 10;

}  // namespace

size_t HeldBytesOf(const GenerationRequest& request) {
  size_t each = 2 * sizeof(TokenId);  // in the request and in its sequence
  if (request.prompt_logprobs) {
    const auto top = static_cast<size_t>(std::max<int64_t>(0, request.sampling.top_logprobs));
    each += sizeof(Logprobs) + top * sizeof(TokenLogprob);
  }
  return request.prompt.size() * each +
         request.sampling.logit_bias.size() * sizeof(request.sampling.logit_bias[0]);
}

absl::Status HoldsTooMuch() {
  return absl::ResourceExhaustedError(
      "your requests under way hold more memory than they leave to others; try again when some of "
      "them have ended");
}

Generation::Generation(Engine* engine, GenerationPlan plan,
                       std::shared_ptr<net::Responder> responder)
    : engine_(engine),
      plan_(std::move(plan)),
      responder_(std::move(responder)),
      choices_each_(plan_.requests.front().choices) {
  for (const GenerationRequest& request : plan_.requests) ids_.push_back(request.id);
  const size_t choices = plan_.requests.size() * static_cast<size_t>(choices_each_);
  replies_.resize(choices);
  for (ChoiceReply& reply : replies_) {
    reply.logprobs = plan_.format->NewLogprobs();
    if (plan_.tools != nullptr) reply.reader = std::make_unique<ToolCallReader>(plan_.tools);
  }
  spoken_.resize(choices);
  echoed_.resize(plan_.requests.size());
}

void Generation::Start() {
  const auto self = shared_from_this();
  std::vector<GenerationRequest> requests = std::move(plan_.requests);
  absl::Status refused;
  size_t submitted = 0, bytes = 0;
  for (const GenerationRequest& request : requests) bytes += HeldBytesOf(request);
  {
    const std::lock_guard lock(mutex_);
    if (!Hold(bytes)) refused = HoldsTooMuch();
  }
  for (; refused.ok() && submitted < requests.size(); ++submitted) {
    refused = engine_->Submit(std::move(requests[submitted]),
                              [self, submitted](const std::string&, Delta delta) {
                                self->OnDelta(submitted, std::move(delta));
                              });
    if (!refused.ok()) break;
  }
  {
    const std::lock_guard lock(mutex_);
    running_ = submitted;
    open_ = true;
    if (!refused.ok()) {
      Fail(refused);
      ids_.resize(submitted);
      if (running_ == 0) plan_.settled(usage_);
    }
    for (auto& [prompt, delta] : std::exchange(early_, {})) Take(prompt, std::move(delta));
  }
  CancelIfWanted();
  responder_->OnClosed([weak = weak_from_this()] {
    if (const auto alive = weak.lock()) alive->Abandon();
  });
}

// False: it is too much; small steps are not told.
bool Generation::Hold(size_t more_bytes) {
  held_bytes_ += more_bytes;
  if (held_bytes_ - told_bytes_ < kWorthTellingBytes) return true;
  told_bytes_ = held_bytes_;
  return responder_->Hold(static_cast<int64_t>(held_bytes_));
}

void Generation::OnDelta(size_t prompt, Delta delta) {
  {
    const std::lock_guard lock(mutex_);
    if (!open_) {
      early_.emplace_back(prompt, std::move(delta));
      return;
    }
    Take(prompt, std::move(delta));
  }
  CancelIfWanted();
}

// A client that left needs no answer, and its blocks are wanted by others.
void Generation::Abandon() {
  {
    const std::lock_guard lock(mutex_);
    if (answered_) return;
    answered_ = true;
    cancel_wanted_ = true;
  }
  CancelIfWanted();
}

void Generation::CancelIfWanted() {
  {
    const std::lock_guard lock(mutex_);
    if (!cancel_wanted_) return;
    cancel_wanted_ = false;
  }
  for (const std::string& id : ids_) engine_->Cancel(id);
}

void Generation::Take(size_t prompt, Delta delta) {
  const bool last = delta.last;
  if (last) {
    usage_.prompt_tokens += delta.usage.prompt_tokens;
    usage_.cached_tokens += delta.usage.cached_tokens;
    usage_.completion_tokens += plan_.discard_generated ? 0 : delta.usage.completion_tokens;
    --running_;
  }
  if (!answered_) {
    if (delta.finish == FinishReason::kError) {
      Fail(delta.error.ok() ? absl::InternalError("no reason given") : delta.error);
    } else if (delta.finish == FinishReason::kCancelled) {
      Fail(absl::UnavailableError("the server is stopping and could not finish this answer"));
    } else {
      delta.choice += static_cast<int64_t>(prompt) * choices_each_;
      const size_t bytes_before = replies_[static_cast<size_t>(delta.choice)].bytes();
      Prepare(prompt, &delta);
      const CallsSaid calls = TakeCalls(&delta);
      if (plan_.stream) {
        Stream(delta, calls);
      } else {
        Gather(delta, calls, bytes_before);
      }
    }
  }
  if (last && running_ == 0) {
    if (!answered_) Finish();
    plan_.settled(usage_);
  }
}

// Puts what is echoed before a choice's first text, takes away what was not asked for, and writes
// down the logprobs: each token's as it comes, so that a long answer's end keeps nobody waiting.
void Generation::Prepare(size_t prompt, Delta* delta) {
  const auto choice = static_cast<size_t>(delta->choice);
  if (plan_.discard_generated) {
    delta->text.clear();
    delta->tokens.clear();
    delta->logprobs.clear();
    if (delta->finish != FinishReason::kNone) delta->finish = FinishReason::kLength;
  }
  LogprobsText* const logprobs = replies_[choice].logprobs.get();
  if (!spoken_[choice] && prompt < plan_.echo.size()) {
    delta->text = plan_.echo[prompt] + delta->text;
    if (!delta->prompt_logprobs.empty()) {
      echoed_[prompt] = std::move(delta->prompt_logprobs);
      echoed_[prompt][0].chosen.logprob = std::numeric_limits<float>::quiet_NaN();
    }
    if (logprobs != nullptr) logprobs->AddEcho(plan_.echo[prompt], echoed_[prompt]);
  }
  if (logprobs != nullptr) logprobs->Add(delta->logprobs);
}

// Takes the calls of tools out of a delta's text.
CallsSaid Generation::TakeCalls(Delta* delta) {
  ToolCallReader* const reader = replies_[static_cast<size_t>(delta->choice)].reader.get();
  if (reader == nullptr) return {};
  Spoken said = reader->Push(delta->text);
  if (delta->finish != FinishReason::kNone) said.content += reader->Finish().content;
  delta->text = std::move(said.content);
  return {.pieces = std::move(said.calls), .any = reader->any()};
}

void Generation::Stream(const Delta& delta, const CallsSaid& calls) {
  const auto choice = static_cast<size_t>(delta.choice);
  std::string events = plan_.format->Chunk(delta.choice, delta, !spoken_[choice],
                                           replies_[choice].logprobs.get(), calls);
  spoken_[choice] = true;
  if (!begun_) {
    begun_ = true;
    plan_.accepted();
    net::Response head;
    head.content_type = "text/event-stream";
    head.headers = plan_.headers;
    head.headers.emplace_back("Cache-Control", "no-cache");
    head.headers.emplace_back("X-Accel-Buffering", "no");
    responder_->Begin(std::move(head));
  }
  if (events.empty() || responder_->Write(std::move(events))) return;
  answered_ = true;
  cancel_wanted_ = true;
}

void Generation::Gather(const Delta& delta, const CallsSaid& calls, size_t bytes_before) {
  ChoiceReply& reply = replies_[static_cast<size_t>(delta.choice)];
  spoken_[static_cast<size_t>(delta.choice)] = true;
  reply.text += delta.text;
  for (const CallPiece& piece : calls.pieces) {
    if (!piece.name.empty()) {
      reply.calls.push_back(piece);
    } else {
      reply.calls.back().arguments += piece.arguments;
    }
  }
  if (delta.finish != FinishReason::kNone) reply.finish = delta.finish;
  if (!Hold(reply.bytes() - bytes_before)) Fail(HoldsTooMuch());
}

void Generation::Finish() {
  answered_ = true;
  if (plan_.stream) {
    if (plan_.usage_chunk) responder_->Write(plan_.format->UsageChunk(usage_));
    responder_->Write("data: [DONE]\n\n");
    responder_->End();
    return;
  }
  plan_.accepted();
  net::Response response;
  response.headers = plan_.headers;
  response.body = plan_.format->Whole(replies_, usage_);
  replies_.clear();  // while it is sent it is there twice at most
  responder_->Send(std::move(response));
}

void Generation::Fail(const absl::Status& status) {
  answered_ = true;
  ApiError error = FromStatus(status);
  if (error.status == 400) error.param = plan_.blamed_param;
  if (error.status == 500) {
    log::error("request {}: {}", ids_.empty() ? "" : ids_[0], std::string(status.message()));
  }
  if (begun_) {
    responder_->Write("event: error\ndata: " + ErrorBody(error) + "\n\n");
    responder_->End();
  } else {
    net::Response response = ToResponse(error);
    response.headers.insert(response.headers.end(), plan_.headers.begin(), plan_.headers.end());
    responder_->Send(std::move(response));
  }
  cancel_wanted_ = running_ > 0;
}

}  // namespace longrun::serving
