// A server that stops while clients keep coming, on several threads: for the thread sanitizer, and
// for the clients that arrive at the last moment.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "base/time.h"
#include "net/http_server.h"
#include "net/raw_socket_for_tests.h"

namespace longrun::net {
namespace {

void Rest() { std::this_thread::sleep_for(std::chrono::microseconds(100)); }

// Clients that connect and say nothing, again and again, until they are destroyed.
class Visitors {
 public:
  Visitors(int port, int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this, port] { Visit(port); });
  }
  ~Visitors() {
    leave_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void Visit(int port) {
    std::vector<std::unique_ptr<RawSocket>> here;
    while (!leave_) {
      here.push_back(std::make_unique<RawSocket>(port));
      if (here.size() > 100) here.clear();
      Rest();
    }
  }

  std::atomic<bool> leave_{false};
  std::vector<std::thread> threads_;
};

std::unique_ptr<Server> StartServer() {
  ServerOptions options;
  options.threads = 4;
  options.handler_threads = 2;
  options.idle_seconds = 30;
  auto server = Server::Start(
      options, [](Request, std::shared_ptr<Responder> to) { to->Send({.body = "hello"}); });
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

TEST(ServerThatStops, ClosesWhoComesAtTheLastMoment) {
  for (int round = 0; round < 10; ++round) {
    std::unique_ptr<Server> server = StartServer();
    const Visitors visitors(server->port(), 2);
    while (server->connections() < 20) Rest();
    const Stopwatch watch;
    server.reset();
    // A connection that was forgotten would hold it until it has been idle for long enough.
    EXPECT_LT(watch.seconds(), 15);
  }
}

TEST(ServerThatStops, DrainsWhileClientsCome) {
  for (int round = 0; round < 10; ++round) {
    std::unique_ptr<Server> server = StartServer();
    const Visitors visitors(server->port(), 2);
    while (server->connections() < 20) Rest();
    server->Drain(2);
    const Stopwatch watch;
    while (server->connections() > 0 && watch.seconds() < 15) Rest();
    EXPECT_EQ(server->connections(), 0);
  }
}

}  // namespace
}  // namespace longrun::net
