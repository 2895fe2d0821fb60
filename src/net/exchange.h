// Requests and answers of one connection, which are numbered: who answers late answers nobody.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "net/http_server.h"

namespace longrun::net {

// What a responder knows of a connection, whatever carries it.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void Send(uint64_t number, Response response) = 0;
  virtual void Begin(uint64_t number, Response head) = 0;
  virtual bool Write(uint64_t number, std::string chunk) = 0;
  virtual void End(uint64_t number) = 0;
  virtual bool HoldElsewhere(uint64_t number, int64_t bytes) = 0;
  virtual void OnClosed(uint64_t number, std::function<void()> closed) = 0;
  virtual void Forgotten(uint64_t number) = 0;  // its responder is gone
};

class AnswerTo final : public Responder {
 public:
  AnswerTo(std::shared_ptr<Exchange> exchange, uint64_t number)
      : exchange_(std::move(exchange)), number_(number) {}
  ~AnswerTo() override { exchange_->Forgotten(number_); }
  void Send(Response response) override { exchange_->Send(number_, std::move(response)); }
  void Begin(Response head) override { exchange_->Begin(number_, std::move(head)); }
  bool Write(std::string chunk) override { return exchange_->Write(number_, std::move(chunk)); }
  void End() override { exchange_->End(number_); }
  bool Hold(int64_t bytes) override { return exchange_->HoldElsewhere(number_, bytes); }
  void OnClosed(std::function<void()> closed) override {
    exchange_->OnClosed(number_, std::move(closed));
  }

 private:
  const std::shared_ptr<Exchange> exchange_;
  const uint64_t number_;
};

}  // namespace longrun::net
