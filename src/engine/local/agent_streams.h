// The control side of proto/agent.proto: a stream per attached agent.
//
// What is to be sent waits in one message per stream, merged as it comes: of acknowledgements and
// wishes only the newest matters. So nobody waits for a slow agent, and nothing piles up.
//
// Any thread may call any method. The listener is called on gRPC's threads, in order for one
// stream, and never with a lock of this class held.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/time.h"
#include "engine/engine.h"
#include "grpcpp/grpcpp.h"
#include "proto/agent.grpc.pb.h"

namespace longrun::engine {

class AgentStreams : public v1::Agents::CallbackService {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // False refuses the agent: its stream ends.
    virtual bool OnHello(const v1::Hello& hello) = 0;
    virtual void OnFacts(const std::string& node, uint64_t session, const v1::Facts& facts) = 0;
    // Anything came, a heartbeat at least.
    virtual void OnHeard(const std::string& node, uint64_t session) = 0;
  };

  explicit AgentStreams(Listener* listener) : listener_(listener) {}
  ~AgentStreams() override;

  // Each to the node's stream of that session; false where there is none.
  bool Acknowledge(const std::string& node, uint64_t session, uint64_t seq);
  bool Desire(const fleet::NodeDesired& desired);
  bool Order(const std::string& node, uint64_t session, const Fault& fault);
  bool Renew(const std::string& node, uint64_t session, const std::string& reason);
  bool ShutDown(const std::string& node, uint64_t session, const std::string& reason,
                Duration grace);
  // Ends the node's stream, if there is one.
  void Drop(const std::string& node);
  // Ends all streams, takes no new ones and waits until the listener is not called any more.
  void Close();

  grpc::ServerBidiReactor<v1::AgentMessage, v1::ControlMessage>* Attach(
      grpc::CallbackServerContext* context) override;

 private:
  class Stream;
  // With the mutex held: the stream to send on, or null.
  Stream* Find(const std::string& node, uint64_t session);

  Listener* const listener_;
  std::mutex mutex_;  // guards all below and the streams' own state
  std::condition_variable none_;
  bool closed_ = false;
  int living_ = 0;  // streams that gRPC has not finished yet
  std::map<std::string, Stream*> by_node_;
  std::map<Stream*, bool> streams_;
};

}  // namespace longrun::engine
