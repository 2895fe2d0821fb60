#include "engine/local/agent_streams.h"

#include <algorithm>
#include <utility>

#include "base/codec.h"
#include "base/log.h"

namespace longrun::engine {

// One agent's stream. Deletes itself when gRPC is done with it.
class AgentStreams::Stream : public grpc::ServerBidiReactor<v1::AgentMessage, v1::ControlMessage> {
 public:
  Stream(AgentStreams* owner, grpc::CallbackServerContext* context)
      : owner_(owner), context_(context) {}

  // With the owner's mutex held.
  v1::ControlMessage& pending() {
    dirty_ = true;
    pending_.set_session(session_);
    return pending_;
  }
  void MaybeWrite() {
    if (writing_ || finished_ || !dirty_) return;
    dirty_ = false;
    writing_ = true;
    desired_revision_ = 0;
    out_ = std::move(pending_);
    pending_ = v1::ControlMessage();
    StartWrite(&out_);
  }
  void End(const grpc::Status& status) {
    if (std::exchange(finished_, true)) return;
    // A write to an agent that reads no more ends only when its call does.
    if (!status.ok()) context_->TryCancel();
    if (writing_) {
      finish_ = status;
    } else {
      Finish(status);
    }
  }
  bool NewerWish(uint64_t revision) {
    if (revision < desired_revision_) return false;
    desired_revision_ = revision;
    return true;
  }
  uint64_t session() const { return session_; }

  void Begin() { StartRead(&in_); }

  void OnReadDone(bool ok) override {
    const bool go_on = ok && Take();
    const std::lock_guard lock(owner_->mutex_);
    if (!go_on) return End(grpc::Status::OK);
    in_.Clear();
    if (!finished_) StartRead(&in_);
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(owner_->mutex_);
    writing_ = false;
    if (finished_) return Finish(finish_);
    if (!ok) return End(grpc::Status::OK);
    MaybeWrite();
  }

  void OnCancel() override {
    const std::lock_guard lock(owner_->mutex_);
    End(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    {
      const std::lock_guard lock(owner_->mutex_);
      owner_->streams_.erase(this);
      const auto it = owner_->by_node_.find(node_);
      if (it != owner_->by_node_.end() && it->second == this) owner_->by_node_.erase(it);
      --owner_->living_;
      owner_->none_.notify_all();
    }
    delete this;
  }

 private:
  // False ends the stream.
  bool Take() {
    if (in_.has_hello()) {
      const v1::Hello& hello = in_.hello();
      if (!node_.empty() || hello.node().empty() || hello.session() == 0) return false;
      {
        const std::lock_guard lock(owner_->mutex_);
        if (owner_->closed_) return false;
        node_ = hello.node();
        session_ = hello.session();
        Stream*& current = owner_->by_node_[node_];
        if (current != nullptr) current->End(grpc::Status(grpc::ABORTED, "a newer stream came"));
        current = this;
      }
      if (!owner_->listener_->OnHello(hello)) return false;
    }
    if (node_.empty()) return false;
    owner_->listener_->OnHeard(node_, session_);
    if (in_.has_facts()) owner_->listener_->OnFacts(node_, session_, in_.facts());
    if (!in_.has_facts() && !in_.has_hello()) {
      const std::lock_guard lock(owner_->mutex_);
      pending();  // the answer to a heartbeat
      MaybeWrite();
    }
    return true;
  }

  AgentStreams* const owner_;
  grpc::CallbackServerContext* const context_;
  std::string node_;  // set once, by the hello
  uint64_t session_ = 0;
  v1::AgentMessage in_;
  v1::ControlMessage pending_, out_;
  uint64_t desired_revision_ = 0;  // of the wish in pending_
  bool dirty_ = false;
  bool writing_ = false;
  bool finished_ = false;
  grpc::Status finish_;  // once the write in hand is over
};

AgentStreams::~AgentStreams() { Close(); }

grpc::ServerBidiReactor<v1::AgentMessage, v1::ControlMessage>* AgentStreams::Attach(
    grpc::CallbackServerContext* context) {
  auto* stream = new Stream(this, context);
  const std::lock_guard lock(mutex_);
  ++living_;
  streams_[stream] = true;
  if (closed_) {
    stream->End(grpc::Status(grpc::UNAVAILABLE, "the controller is ending"));
  } else {
    stream->Begin();
  }
  return stream;
}

AgentStreams::Stream* AgentStreams::Find(const std::string& node, uint64_t session) {
  const auto it = by_node_.find(node);
  return it != by_node_.end() && it->second->session() == session ? it->second : nullptr;
}

bool AgentStreams::Acknowledge(const std::string& node, uint64_t session, uint64_t seq) {
  const std::lock_guard lock(mutex_);
  Stream* stream = Find(node, session);
  if (stream == nullptr) return false;
  v1::ControlMessage& message = stream->pending();
  message.set_acknowledged_seq(std::max<uint64_t>(message.acknowledged_seq(), seq));
  stream->MaybeWrite();
  return true;
}

bool AgentStreams::Desire(const fleet::NodeDesired& desired) {
  const std::lock_guard lock(mutex_);
  Stream* stream = Find(desired.node.text, desired.session);
  if (stream == nullptr) return false;
  if (!stream->NewerWish(desired.revision)) return true;  // a newer one is on its way
  stream->pending().set_desired(EncodeBinary(desired));
  stream->MaybeWrite();
  return true;
}

bool AgentStreams::Order(const std::string& node, uint64_t session, const Fault& fault) {
  const std::lock_guard lock(mutex_);
  Stream* stream = Find(node, session);
  if (stream == nullptr) return false;
  v1::Fault& out = *stream->pending().add_faults();
  out.set_kind(fault.kind == Fault::Kind::kHangMember ? v1::Fault::HANG_MEMBER
                                                      : v1::Fault::KILL_MEMBER);
  out.set_run(fault.run.text);
  out.set_member(fault.member);
  stream->MaybeWrite();
  return true;
}

bool AgentStreams::Renew(const std::string& node, uint64_t session, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  Stream* stream = Find(node, session);
  if (stream == nullptr) return false;
  stream->pending().set_renew(reason);
  stream->MaybeWrite();
  return true;
}

bool AgentStreams::ShutDown(const std::string& node, uint64_t session, const std::string& reason,
                            Duration grace) {
  const std::lock_guard lock(mutex_);
  Stream* stream = Find(node, session);
  if (stream == nullptr) return false;
  v1::Shutdown& order = *stream->pending().mutable_shutdown();
  order.set_reason(reason);
  order.set_grace_us(grace.us);
  stream->MaybeWrite();
  return true;
}

void AgentStreams::Drop(const std::string& node) {
  const std::lock_guard lock(mutex_);
  const auto it = by_node_.find(node);
  if (it != by_node_.end()) it->second->End(grpc::Status(grpc::ABORTED, "the node is lost"));
}

void AgentStreams::Close() {
  std::unique_lock lock(mutex_);
  closed_ = true;
  for (const auto& [stream, unused] : streams_) {
    stream->End(grpc::Status(grpc::UNAVAILABLE, "the controller is ending"));
  }
  none_.wait(lock, [this] { return living_ == 0; });
}

}  // namespace longrun::engine
