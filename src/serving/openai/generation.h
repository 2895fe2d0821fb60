// One HTTP request for text while it is under way: hands its prompts to the engine, gathers what
// comes back and answers, whole or as a stream.
//
// Deltas come on a thread of the engine's, the client's leaving on the server's; a mutex orders
// them. It lives as long as the engine or the server still has something to tell it. The engine
// outlives the server.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/http_server.h"
#include "serving/engine/engine.h"
#include "serving/openai/api_error.h"
#include "serving/openai/reply_format.h"

namespace longrun::serving {

struct GenerationPlan {
  std::vector<GenerationRequest> requests;  // one for each prompt, with as many choices each
  std::unique_ptr<ReplyFormat> format;
  bool stream = false;
  bool usage_chunk = false;
  // Completions that only ask for what stands in the prompt (echo, max_tokens 0): what is generated
  // is left out.
  bool discard_generated = false;
  std::vector<std::string> echo;             // text to begin each prompt's choices with, if any
  std::shared_ptr<const ToolReading> tools;  // that may be called; null: none
  std::string blamed_param;  // of the request, where the engine calls it invalid; "": none
  net::Headers headers;
  // Called once, when it is over, however it ended.
  std::function<void(const Usage&)> settled;
  // Called once before the first byte of a good answer.
  std::function<void()> accepted;
};

class Generation : public std::enable_shared_from_this<Generation> {
 public:
  Generation(Engine* engine, GenerationPlan plan, std::shared_ptr<net::Responder> responder);

  // Submits all or none; answers the error where the engine refuses. Once.
  void Start();

 private:
  void OnDelta(size_t prompt, Delta delta);
  void Take(size_t prompt, Delta delta);  // with the mutex held, as those below
  void Stream(const Delta& delta, const CallsSaid& calls);
  void Gather(const Delta& delta, const CallsSaid& calls, size_t bytes_before);
  void Finish();
  void Fail(const absl::Status& error);
  bool Hold(size_t more_bytes);
  void Abandon();
  void CancelIfWanted();  // without the mutex: the engine has one of its own
  void Prepare(size_t prompt, Delta* delta);
  CallsSaid TakeCalls(Delta* delta);

  Engine* const engine_;
  GenerationPlan plan_;
  const std::shared_ptr<net::Responder> responder_;
  std::vector<std::string> ids_;
  const int64_t choices_each_;

  std::mutex mutex_;
  bool open_ = false;                            // all prompts are submitted
  bool begun_ = false;                           // the head of a stream is sent
  bool answered_ = false;                        // nothing more is to be sent
  std::vector<std::pair<size_t, Delta>> early_;  // came before all prompts were submitted
  std::vector<ChoiceReply> replies_;             // for a stream: what is not sent yet
  std::vector<bool> spoken_;                     // choices whose first delta came
  std::vector<std::vector<Logprobs>> echoed_;    // of each prompt: they come with choice 0 alone
  size_t running_ = 0;
  bool cancel_wanted_ = false;
  size_t held_bytes_ = 0, told_bytes_ = 0;  // here and in the engine; as the responder knows
  Usage usage_;
};

// What a request holds while it waits and runs, beside its answer.
size_t HeldBytesOf(const GenerationRequest& request);
// Its tenant's requests hold more than they leave to others.
absl::Status HoldsTooMuch();

}  // namespace longrun::serving
