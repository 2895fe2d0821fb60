#include "agent/control_link.h"

#include <unistd.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/codec.h"
#include "base/log.h"
#include "grpcpp/grpcpp.h"
#include "proto/agent.grpc.pb.h"

namespace longrun::agent {
namespace {

constexpr Duration kHeartbeat = Duration::Seconds(1);
constexpr Duration kRetry = Duration::Millis(100);
// One message of facts: enough to make batches cheap, little enough to stay far below gRPC's limit.
constexpr size_t kFactsPerMessage = 512;
constexpr size_t kBytesPerMessage = size_t{1} << 20;

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  // In spite of its name, what an attempt may take: on a busy machine a handshake is no matter of
  // milliseconds, and one given up begins from nothing.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Each link its own connection: the agents of one process (in tests) must break one by one.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

// What the loop and gRPC's threads share. Outlives the link while a stream still ends.
struct ControlLink::Shared {
  EventLoop* loop = nullptr;
  std::string node;
  OnMessage on_message;
  std::unique_ptr<v1::Agents::Stub> stub;

  std::mutex mutex;  // guards all below
  bool closing = false;
  uint64_t session = 0;
  uint64_t acknowledged = 0;      // facts up to it are gone from `facts`
  std::deque<std::string> facts;  // the first has number acknowledged + 1
  uint64_t next_to_send = 1;
  bool heartbeat_due = false;
  Stream* stream = nullptr;  // the living one
  int streams = 0;           // those that gRPC has not finished yet
};

// One connection. Deletes itself when gRPC is done with it.
class ControlLink::Stream : public grpc::ClientBidiReactor<v1::AgentMessage, v1::ControlMessage> {
 public:
  // With the mutex held.
  explicit Stream(std::shared_ptr<Shared> shared)
      : shared_(std::move(shared)), session_(shared_->session) {}

  // With the mutex held.
  void Start() {
    context_.set_wait_for_ready(true);
    shared_->stub->async()->Attach(&context_, this);
    v1::Hello& hello = *out_.mutable_hello();
    hello.set_protocol(1);
    hello.set_node(shared_->node);
    hello.set_session(shared_->session);
    hello.set_pid(::getpid());
    hello.set_acknowledged_seq(shared_->acknowledged);
    shared_->next_to_send = shared_->acknowledged + 1;
    writing_ = true;
    StartWrite(&out_);
    StartRead(&in_);
    // Writes also start outside of gRPC's own calls; the hold lasts until reading has ended.
    AddHold();
    StartCall();
  }

  // With the mutex held.
  void MaybeWrite() {
    if (writing_ || ended_ || session_ != shared_->session) return;
    out_.Clear();
    const uint64_t last = shared_->acknowledged + shared_->facts.size();
    if (shared_->next_to_send <= last) {
      FillFacts(last);
    } else if (!shared_->heartbeat_due) {
      return;
    }
    shared_->heartbeat_due = false;
    writing_ = true;
    StartWrite(&out_);
  }

  void Cancel() { context_.TryCancel(); }
  bool writing() const { return writing_; }

  void OnReadDone(bool ok) override {
    if (!ok) {
      const std::lock_guard lock(shared_->mutex);
      ended_ = true;
      RemoveHold();
      return;
    }
    auto message = std::make_shared<v1::ControlMessage>(std::move(in_));
    in_.Clear();
    {
      const std::lock_guard lock(shared_->mutex);
      if (!shared_->closing) {
        shared_->loop->Post([shared = shared_, message] {
          {
            const std::lock_guard inner(shared->mutex);
            if (shared->closing || message->session() != shared->session) return;
          }
          shared->on_message(*message);
        });
      }
    }
    StartRead(&in_);
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(shared_->mutex);
    writing_ = false;
    if (ok) MaybeWrite();
  }

  void OnDone(const grpc::Status& status) override {
    {
      const std::lock_guard lock(shared_->mutex);
      if (shared_->stream == this) shared_->stream = nullptr;
      --shared_->streams;
      if (!shared_->closing) {
        log::debug("the stream to control ended: {}", status.error_message());
      }
    }
    delete this;
  }

 private:
  void FillFacts(uint64_t last) {
    v1::Facts& facts = *out_.mutable_facts();
    facts.set_first_seq(shared_->next_to_send);
    size_t bytes = 0;
    for (uint64_t n = 0; n < kFactsPerMessage && bytes < kBytesPerMessage; ++n) {
      if (shared_->next_to_send > last) break;
      const std::string& body = shared_->facts[shared_->next_to_send - shared_->acknowledged - 1];
      bytes += body.size();
      facts.add_bodies(body);
      ++shared_->next_to_send;
    }
  }

  const std::shared_ptr<Shared> shared_;
  const uint64_t session_;
  grpc::ClientContext context_;
  v1::AgentMessage out_;
  v1::ControlMessage in_;
  bool writing_ = false;
  bool ended_ = false;
};

ControlLink::ControlLink(EventLoop* loop, std::string address, std::string node,
                         OnMessage on_message)
    : loop_(loop), shared_(std::make_shared<Shared>()) {
  shared_->loop = loop;
  shared_->node = std::move(node);
  shared_->on_message = std::move(on_message);
  shared_->stub = v1::Agents::NewStub(MakeChannel(address));
  loop_->Every(kRetry, [this] { Connect(); });
  loop_->Every(kHeartbeat, [this] {
    const std::lock_guard lock(shared_->mutex);
    shared_->heartbeat_due = true;
    if (shared_->stream != nullptr) shared_->stream->MaybeWrite();
  });
}

ControlLink::~ControlLink() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->closing = true;
    if (shared_->stream != nullptr) shared_->stream->Cancel();
  }
  // The loop goes away after the link: nothing may post to it any more.
  const Stopwatch watch;
  while (watch.seconds() < 2) {
    {
      const std::lock_guard lock(shared_->mutex);
      if (shared_->streams == 0) return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void ControlLink::Begin(uint64_t session) {
  {
    const std::lock_guard lock(shared_->mutex);
    LR_CHECK_GT(session, shared_->session);
    shared_->session = session;
    shared_->acknowledged = 0;
    shared_->facts.clear();
    shared_->next_to_send = 1;
    if (shared_->stream != nullptr) shared_->stream->Cancel();
    shared_->stream = nullptr;
  }
  Connect();
}

void ControlLink::Connect() {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->stream != nullptr || shared_->session == 0 || shared_->closing) return;
  shared_->stream = new Stream(shared_);
  ++shared_->streams;
  shared_->stream->Start();
}

void ControlLink::Tell(const fleet::EventBody& fact) {
  std::string bytes = EncodeBinary(fact);
  const std::lock_guard lock(shared_->mutex);
  shared_->facts.push_back(std::move(bytes));
  if (shared_->stream != nullptr) shared_->stream->MaybeWrite();
}

void ControlLink::Acknowledged(uint64_t seq) {
  const std::lock_guard lock(shared_->mutex);
  while (shared_->acknowledged < seq && !shared_->facts.empty()) {
    shared_->facts.pop_front();
    ++shared_->acknowledged;
  }
  // A controller that knows more than was sent on this connection had it from an earlier one.
  shared_->next_to_send = std::max(shared_->next_to_send, shared_->acknowledged + 1);
}

size_t ControlLink::backlog() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->facts.size();
}

void ControlLink::Flush(Duration patience) {
  const Stopwatch watch;
  while (watch.seconds() < patience.seconds()) {
    {
      const std::lock_guard lock(shared_->mutex);
      const bool all = shared_->next_to_send > shared_->acknowledged + shared_->facts.size();
      if (shared_->stream == nullptr || (all && !shared_->stream->writing())) return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace longrun::agent
