// The agent's line to control: facts out, wishes in.
//
// Facts are numbered from 1 within a session and kept, in order, until control says that they are
// in its journal. On every new connection those not acknowledged are told again. Connections are
// made anew within milliseconds for as long as the link lives.
//
// Owned and called by the agent's loop, where `on_message` runs too; gRPC's threads stay inside.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "agent/event_loop.h"
#include "fleet/event.h"
#include "proto/agent.pb.h"

namespace longrun::agent {

class ControlLink {
 public:
  using OnMessage = std::function<void(const v1::ControlMessage&)>;

  ControlLink(EventLoop* loop, std::string address, std::string node, OnMessage on_message);
  ~ControlLink();
  ControlLink(const ControlLink&) = delete;
  ControlLink& operator=(const ControlLink&) = delete;

  // Forgets the facts of the session before and connects as the new one.
  void Begin(uint64_t session);

  void Tell(const fleet::EventBody& fact);

  // Facts up to `seq` are in control's journal.
  void Acknowledged(uint64_t seq);

  // Facts told and not acknowledged.
  size_t backlog() const;

  // Waits up to `patience` for what was told to be written to the connection.
  void Flush(Duration patience);

 private:
  class Stream;
  struct Shared;

  void Connect();

  EventLoop* loop_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace longrun::agent
