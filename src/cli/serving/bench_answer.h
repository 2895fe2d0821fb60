// Reads one streamed answer of an OpenAI-compatible server and takes its times. One thread.
#pragma once

#include <string>
#include <string_view>

#include "cli/serving/bench_report.h"
#include "net/http_client.h"

namespace longrun::cli {

class StreamedAnswer {
 public:
  // Bytes of the body that came at `seconds` of the load's clock.
  void Feed(std::string_view bytes, double seconds);
  // Fills in what is known now that the answer is over; `status` is the HTTP status.
  void Finish(int status, RequestOutcome& outcome) const;

 private:
  void OnEvent(std::string_view data, double seconds);

  net::EventStream events_;
  std::string begin_;  // of the body: what errors outside a stream say
  std::vector<double> chunks_;
  int64_t prompt_tokens_ = 0;
  int64_t output_tokens_ = -1;
  bool done_ = false;
  std::string error_;
};

}  // namespace longrun::cli
