// One client's connection: reads a request, hands it over, writes the answer, reads the next. Runs
// on its own strand; answers come from any thread and meet it in a buffer under a mutex.
//
// While an answer is under way a read stays pending, so that a client that leaves is noticed at
// once. Requests that were sent ahead (pipelining) wait in the buffer for their turn.
#pragma once

// Ahead of Asio, whose 1.74 uses std::exchange without it.
#include <utility>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/fair_account.h"
#include "base/time.h"
#include "net/handler_queue.h"
#include "net/http_server.h"
#include "net/request_head.h"

namespace longrun::net {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;
using TlsStream = asio::ssl::stream<Tcp::socket>;

// What a server and its connections share; outlives both.
struct ServerCore {
  ServerCore(ServerOptions o, Handler h, HeadCheck c)
      : options(std::move(o)),
        handler(std::move(h)),
        check(std::move(c)),
        held(options.held_bytes),
        handling(options.handler_threads) {}
  const ServerOptions options;
  const Handler handler;
  const HeadCheck check;
  FairAccount held;
  asio::io_context io;
  HandlerQueue handling;  // for options.handler_threads
  std::atomic<int64_t> connections{0};
  std::atomic<bool> draining{false};

  // A connection closed.
  void OneLess() {
    if (--connections > 0) return;
    const std::lock_guard lock(mutex);
    gone.notify_all();
  }
  // Until there is no connection, for so long at most.
  void AwaitNone(double seconds) {
    std::unique_lock lock(mutex);
    gone.wait_for(lock, std::chrono::duration<double>(seconds),
                  [this] { return connections == 0; });
  }
  std::mutex mutex;
  std::condition_variable gone;
};

// How the end of a body is told.
enum class Framing { kLength, kChunked, kUntilClose };
std::string HeadOf(const Response& response, bool keep_alive, Framing framing);
Response ErrorResponse(const HttpError& error);
Response BusyResponse();  // 503: held_bytes are reached

class ConnectionBase {
 public:
  virtual ~ConnectionBase() = default;
  virtual void Start() = 0;
  virtual void Close() = 0;        // at once; any thread
  virtual void CloseIfIdle() = 0;  // no request under way; any thread
};

// What one takes itself, and may always hold.
int64_t BytesOfConnection(bool tls);

std::shared_ptr<ConnectionBase> MakeConnection(std::shared_ptr<ServerCore> core,
                                               Tcp::socket socket);
std::shared_ptr<ConnectionBase> MakeConnection(std::shared_ptr<ServerCore> core, Tcp::socket socket,
                                               asio::ssl::context& tls);

}  // namespace longrun::net
