#include "net/http_server.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <csignal>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file_limit.h"
#include "base/log.h"
#include "base/thread_name.h"
#include "net/connection.h"
#include "net/tls.h"

namespace longrun::net {
namespace {

using boost::system::error_code;

// Files of the program itself, above its connections.
constexpr int64_t kOtherFiles = 1000;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

absl::Status CannotListen(const ServerOptions& options, const error_code& error) {
  const std::string where = absl::StrCat(options.address, ":", options.port);
  if (error == asio::error::address_in_use) {
    return absl::AlreadyExistsError(absl::StrCat(
        "port ", options.port, " of ", options.address,
        " is in use; choose another with --port, or 0 for any that is free (ss -ltnp shows who "
        "has it)"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("cannot listen on ", where, ": ", error.message()));
}

class ServerOnAsio final : public Server {
 public:
  ServerOnAsio(const ServerOptions& options, Handler handler, HeadCheck check)
      : core_(std::make_shared<ServerCore>(options, std::move(handler), std::move(check))),
        work_(asio::make_work_guard(core_->io)),
        accepting_(asio::make_strand(core_->io)),
        acceptor_(accepting_),
        pause_(accepting_) {}

  ~ServerOnAsio() override {
    CloseAcceptor();
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    ForEach([](ConnectionBase& connection) { connection.Close(); });
    work_.reset();
    // What is left to run is how each connection learns that it is closed.
    for (std::thread& thread : threads_) thread.join();
    core_->handling.Stop();  // last: no request comes any more, those that came are for nobody
    for (std::thread& thread : handler_threads_) thread.join();
  }

  absl::Status Open() {
    const ServerOptions& options = core_->options;
    // Writing to a client that has left is an error of the write, not the end of the program.
    std::signal(SIGPIPE, SIG_IGN);
    RaiseFileLimit(options.connections + kOtherFiles);
    if (!options.certificate_file.empty()) {
      LR_ASSIGN_OR_RETURN(tls_, ServerTls(options.certificate_file, options.key_file));
    }
    error_code error;
    const auto address = asio::ip::make_address(
        options.address == "localhost" ? "127.0.0.1" : options.address, error);
    if (error) {
      return absl::InvalidArgumentError(
          absl::StrCat(options.address,
                       " is no address to listen on; give an IP address such as "
                       "127.0.0.1, or 0.0.0.0 for all interfaces"));
    }
    const Tcp::endpoint endpoint(address, static_cast<uint16_t>(options.port));
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(Tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(4096, error);
    if (error) return CannotListen(options, error);
    port_ = acceptor_.local_endpoint().port();
    Accept();
    for (int i = 0; i < std::max(1, options.threads); ++i) {
      threads_.emplace_back([core = core_] {
        NameThread("lr-http");
        core->io.run();
      });
    }
    for (int i = 0; i < options.handler_threads; ++i) {
      handler_threads_.emplace_back([core = core_] {
        NameThread("lr-handler");
        core->handling.Run();
      });
    }
    return absl::OkStatus();
  }

  int port() const override { return port_; }
  int64_t connections() const override { return core_->connections; }
  int64_t held_bytes() const override { return core_->held.bytes(); }

  void Drain(double seconds) override {
    core_->draining = true;
    CloseAcceptor();
    ForEach([](ConnectionBase& connection) { connection.CloseIfIdle(); });
    core_->AwaitNone(seconds);
    ForEach([](ConnectionBase& connection) { connection.Close(); });
  }

 private:
  void CloseAcceptor() {
    asio::post(accepting_, [this] {
      error_code ignored;
      acceptor_.close(ignored);
      pause_.cancel();
    });
  }

  // On its strand, as all that touches the acceptor.
  void Accept() {
    acceptor_.async_accept(core_->io, [this](error_code error, Tcp::socket socket) {
      if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
      if (error) {
        // Out of descriptors, most likely: trying at once would only spin.
        if (!std::exchange(resting_, true)) {
          log::warn("cannot accept connections: {}; going on to try", error.message());
        }
        pause_.expires_after(kAcceptPause);
        pause_.async_wait([this](error_code stopped) {
          if (!stopped) Accept();
        });
        return;
      }
      resting_ = false;
      Take(std::move(socket));
      Accept();
    });
  }

  void Take(Tcp::socket socket) {
    if (core_->connections >= core_->options.connections) {
      const std::string text = HeadOf(ErrorResponse({503, ""}), false, Framing::kUntilClose);
      error_code ignored;
      socket.non_blocking(true, ignored);
      socket.write_some(asio::buffer(text), ignored);
      return;
    }
    const std::shared_ptr<ConnectionBase> connection =
        tls_ ? MakeConnection(core_, std::move(socket), *tls_)
             : MakeConnection(core_, std::move(socket));
    {
      const std::lock_guard lock(mutex_);
      if (closing_) return;  // nobody would close it
      if (living_.size() >= sweep_at_) {
        living_.remove_if([](const auto& weak) { return weak.expired(); });
        sweep_at_ = std::max<size_t>(1024, 2 * living_.size());
      }
      living_.push_back(connection);
    }
    connection->Start();
  }

  template <class F>
  void ForEach(F visit) {
    std::list<std::weak_ptr<ConnectionBase>> living;
    {
      const std::lock_guard lock(mutex_);
      living = living_;
    }
    for (const auto& weak : living) {
      if (const auto connection = weak.lock()) visit(*connection);
    }
  }

  const std::shared_ptr<ServerCore> core_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::strand<asio::io_context::executor_type> accepting_;
  Tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  bool resting_ = false;  // the last accept failed; of the strand
  std::unique_ptr<asio::ssl::context> tls_;
  int port_ = 0;
  std::vector<std::thread> threads_, handler_threads_;

  std::mutex mutex_;  // guards those below
  std::list<std::weak_ptr<ConnectionBase>> living_;
  size_t sweep_at_ = 1024;
  bool closing_ = false;
};

}  // namespace

int64_t ServerOptions::ConnectionBytes() const {
  return connections * BytesOfConnection(!certificate_file.empty());
}

std::string_view Request::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    const bool same = key.size() == name.size() &&
                      std::equal(key.begin(), key.end(), name.begin(), [](char a, char b) {
                        return std::tolower(static_cast<unsigned char>(a)) ==
                               std::tolower(static_cast<unsigned char>(b));
                      });
    if (same) return value;
  }
  return {};
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, Handler handler,
                                                      HeadCheck check) {
  auto server = std::make_unique<ServerOnAsio>(options, std::move(handler), std::move(check));
  LR_RETURN_IF_ERROR(server->Open());
  return server;
}

}  // namespace longrun::net
