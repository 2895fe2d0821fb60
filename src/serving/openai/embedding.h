// One embeddings request while it is under way: all inputs to the engine, one answer when all are
// done. Threads as in generation.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "net/http_server.h"
#include "serving/engine/engine.h"

namespace longrun::serving {

struct EmbeddingPlan {
  std::vector<GenerationRequest> requests;  // one for each input
  std::string model;
  bool base64 = false;  // little-endian f32; else numbers
  net::Headers headers;
  std::function<void(const Usage&)> settled;  // once, when it is over
};

// Scaled to length 1, as clients that compare by dot product expect.
std::vector<float> Normalised(std::vector<float> vector);
std::string ToBase64(const std::vector<float>& vector);

class EmbeddingAnswer : public std::enable_shared_from_this<EmbeddingAnswer> {
 public:
  EmbeddingAnswer(Engine* engine, EmbeddingPlan plan, std::shared_ptr<net::Responder> responder);
  void Start();  // once

 private:
  void OnDelta(size_t input, Delta delta);
  void Over(const absl::Status& error);  // answers, once
  void CancelAll();
  net::Response Whole() const;

  Engine* const engine_;
  EmbeddingPlan plan_;
  const std::shared_ptr<net::Responder> responder_;
  std::vector<std::string> ids_;
  std::mutex mutex_;
  std::vector<std::string> vectors_;  // as JSON
  size_t held_bytes_ = 0;             // of the inputs and of those
  size_t running_ = 0;
  bool answered_ = false;
  bool settled_ = false;
  Usage usage_;
};

}  // namespace longrun::serving
