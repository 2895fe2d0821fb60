// Where the ranks of an incarnation meet: each process offers a small key-value server, and the
// members use that of rank 0 to tell each other their addresses.
//
// c10d's TCPStore does the same, but its threads end the whole program when the server is killed at
// the wrong moment, and a client cannot be called back from a wait. Here a dead server is an
// exception to the one who asks, and Interrupt ends every wait.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <torch/csrc/distributed/c10d/Store.hpp>

#include "base/status.h"

namespace longrun::training {

// Serves until destroyed, on a thread of its own; any number of clients. Keys are `group/name`;
// only the newest groups are kept, so an old process does not grow.
class RendezvousServer {
 public:
  // Port 0: any that is free.
  static absl::StatusOr<std::unique_ptr<RendezvousServer>> Listen(uint16_t port);
  ~RendezvousServer();
  uint16_t port() const { return port_; }

 private:
  struct Connection;
  RendezvousServer() = default;
  void Run();
  void Read(Connection* connection);
  bool Handle(Connection* connection);
  void Answer(Connection* connection, char kind, const std::string& value);
  void Keep(const std::string& key, std::string value);

  int listener_ = -1;
  int wake_[2] = {-1, -1};
  uint16_t port_ = 0;
  std::thread thread_;
  // Of the thread alone:
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::pair<std::string, std::map<std::string, std::string>>> groups_;  // oldest first
};

// One connection to a server. Calls throw std::runtime_error when the server is gone, the time is
// over or Interrupt was called; calls of several threads take turns.
class RendezvousClient : public c10d::Store {
 public:
  RendezvousClient(const std::string& host, uint16_t port, std::chrono::milliseconds timeout);
  ~RendezvousClient() override;

  // From any thread: what waits, and all that is called later, throws.
  void Interrupt() { interrupted_.store(true); }

  void set(const std::string& key, const std::vector<uint8_t>& value) override;
  std::vector<uint8_t> get(const std::string& key) override;  // waits for the key
  int64_t add(const std::string& key, int64_t value) override;
  bool deleteKey(const std::string& key) override;
  bool check(const std::vector<std::string>& keys) override;
  int64_t getNumKeys() override;
  void wait(const std::vector<std::string>& keys) override;
  void wait(const std::vector<std::string>& keys,
            const std::chrono::milliseconds& timeout) override;
  // Another connection to the same server, with an interrupt of its own. Not marked override:
  // libtorch 2.x asks this of every store, 1.13 does not know it.
  virtual c10::intrusive_ptr<c10d::Store> clone();

 private:
  std::string Ask(char kind, const std::string& key, const std::string& value,
                  std::chrono::milliseconds timeout);
  void Transfer(bool write, char* bytes, size_t count, std::chrono::steady_clock::time_point end);

  const std::string host_;
  const uint16_t port_;
  std::mutex mutex_;
  int fd_ = -1;
  std::atomic<bool> interrupted_{false};
};

}  // namespace longrun::training
