#include "net/connection.h"

#include <boost/asio/ssl.hpp>

#include <type_traits>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "net/exchange.h"
#include "net/outgoing.h"
#include "net/request_reader.h"

namespace longrun::net {
namespace {

using boost::system::error_code;

constexpr size_t kReadBytes = 8192;
// Sent ahead while an answer is under way; beyond it nothing is read until that is done.
constexpr int64_t kMostAheadBytes = 65536;
constexpr double kLingerSeconds = 2;
// What Asio and OpenSSL keep for a connection elsewhere: operations under way; records (measured:
// 76 kB with OpenSSL 3.0).
constexpr size_t kSocketBytes = 1 << 10;
constexpr size_t kTlsBytes = 80 << 10;

Tcp::socket& SocketOf(Tcp::socket& stream) { return stream; }
Tcp::socket& SocketOf(TlsStream& stream) { return stream.next_layer(); }

struct Deadline {
  explicit Deadline(const asio::any_io_executor& executor) : timer(executor) {}
  asio::steady_timer timer;
  uint64_t set = 0;  // a wait that was queued before it was set anew or cancelled tells nothing
  void Cancel() {
    ++set;
    timer.cancel();
  }
};

template <class Stream>
class Connection final : public ConnectionBase,
                         public Exchange,
                         public std::enable_shared_from_this<Connection<Stream>> {
 public:
  template <class... Args>
  explicit Connection(std::shared_ptr<ServerCore> core, Args&&... args)
      : core_(std::move(core)),
        stream_(std::forward<Args>(args)...),
        strand_(asio::make_strand(core_->io)),
        read_deadline_(strand_),
        write_deadline_(strand_),
        reader_(core_->options),
        party_(core_->held.PartyOf("")),
        in_held_(party_),
        out_(party_) {
    ++core_->connections;
  }
  ~Connection() override {
    if (!closed_) core_->OneLess();
  }

  void Start() override {
    asio::dispatch(strand_, [self = this->shared_from_this()] { self->Handshake(); });
  }
  void Close() override {
    asio::post(strand_, [self = this->shared_from_this()] { self->CloseNow(); });
  }
  void CloseIfIdle() override {
    asio::post(strand_, [self = this->shared_from_this()] {
      if (!self->handling_ && self->reader_.empty()) self->CloseNow();
    });
  }

  // ---- answers, from any thread ----

  void Send(uint64_t number, Response response) override {
    const std::lock_guard lock(mutex_);
    if (!Current(number) || begun_) return;
    begun_ = true;
    if (!out_.HasRoomFor(response.body.size())) response = BusyResponse();
    const bool no_body = head_only_ || response.status == 204;
    out_.Add(HeadOf(response, keep_alive_, Framing::kLength));
    if (!no_body) out_.Add(response.body);
    Complete();
  }

  void Begin(uint64_t number, Response head) override {
    const std::lock_guard lock(mutex_);
    if (!Current(number) || begun_) return;
    begun_ = true;
    if (http_1_0_) keep_alive_ = false;  // its stream ends with the connection
    out_.Add(HeadOf(head, keep_alive_, http_1_0_ ? Framing::kUntilClose : Framing::kChunked));
    Wake();
  }

  bool Write(uint64_t number, std::string chunk) override {
    const std::lock_guard lock(mutex_);
    if (!Current(number) || !begun_) return false;
    if (chunk.empty() || head_only_) return true;
    const auto most = static_cast<size_t>(core_->options.stream_buffer_bytes);
    if (!out_.AddChunk(chunk, !http_1_0_, most)) {
      gone_ = true;  // no more of it; what is unsent goes with the connection
      Close();
      return false;
    }
    Wake();
    return true;
  }

  void End(uint64_t number) override {
    const std::lock_guard lock(mutex_);
    if (!Current(number) || !begun_) return;
    if (!http_1_0_ && !head_only_) out_.Add("0\r\n\r\n");
    Complete();
  }

  bool HoldElsewhere(uint64_t number, int64_t bytes) override {
    const std::lock_guard lock(mutex_);
    return !Current(number) || out_.HoldElsewhere(bytes);
  }

  void OnClosed(uint64_t number, std::function<void()> closed) override {
    {
      const std::lock_guard lock(mutex_);
      if (number != number_ || complete_) return;
      if (!gone_) {
        on_closed_ = std::move(closed);
        return;
      }
    }
    closed();
  }

  void Forgotten(uint64_t number) override {
    bool begun = false;
    {
      const std::lock_guard lock(mutex_);
      if (!Current(number)) return;
      begun = begun_;
    }
    if (!begun) return Send(number, ErrorResponse({500, "the request was not answered"}));
    Close();  // a stream cut short must not look whole
  }

 private:
  using Self = std::shared_ptr<Connection>;

  // With the mutex: whether an answer to this exchange is still wanted.
  bool Current(uint64_t number) const { return number == number_ && !complete_ && !gone_; }

  void Complete() {
    complete_ = true;
    out_.DropElsewhere();
    on_closed_ = nullptr;
    Wake();
  }

  // With the mutex: one post for however much is written until it runs.
  void Wake() {
    if (waking_) return;
    waking_ = true;
    asio::post(strand_, [self = this->shared_from_this()] { self->Flush(); });
  }

  // ---- on the strand ----

  void Handshake() {
    if (closed_) return;  // before it began: a deadline set now would hold what waits for the end
    error_code ignored;
    SocketOf(stream_).set_option(Tcp::no_delay(true), ignored);
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      SetDeadline(read_deadline_, core_->options.header_seconds, 0);
      stream_.async_handshake(
          asio::ssl::stream_base::server,
          asio::bind_executor(strand_, [self = this->shared_from_this()](error_code error) {
            if (error) return self->CloseNow();
            self->Await();
          }));
    } else {
      Await();
    }
  }

  // For the next request; what was sent ahead may hold it already.
  void Await() {
    if (core_->draining && reader_.empty()) return CloseNow();
    SetDeadline(read_deadline_, core_->options.idle_seconds, 0);
    Advance();
    if (!closed_ && !handling_) Read();
  }

  void Read() {
    if (reading_ || closed_ || lingering_) return;
    reading_ = true;
    stream_.async_read_some(
        asio::buffer(bytes_, sizeof bytes_),
        asio::bind_executor(strand_, [self = this->shared_from_this()](error_code error, size_t n) {
          self->reading_ = false;
          if (error == asio::error::eof && self->Owes()) return;
          if (error || n == 0) return self->CloseNow();
          self->OnBytes(std::string_view(self->bytes_, n));
        }));
  }

  void OnBytes(std::string_view bytes) {
    if (closed_ || lingering_) return;
    reader_.Add(bytes);
    if (handling_) {
      if (HoldIncoming() && reader_.bytes() < kMostAheadBytes) Read();
      return;
    }
    if (!HoldIncoming()) return RefuseWith(BusyResponse());
    Advance();
    HoldIncoming();
    if (!handling_) Read();
  }

  // The client says no more (nc -N), but its whole answer is on its way: that is the last. One
  // whose answer is yet to be made is taken for gone, as most are that look so.
  bool Owes() {
    const std::lock_guard lock(mutex_);
    if (!handling_ || !complete_ || lingering_) return false;
    keep_alive_ = false;
    return true;
  }

  bool HoldIncoming() { return SetOrAlways(&in_held_, reader_.bytes()); }

  // Takes from the reader as far as it goes.
  void Advance() {
    using Step = RequestReader::Step;
    while (true) {
      switch (reader_.Next()) {
        case Step::kMore:
          return;
        case Step::kHead:
          SetDeadline(read_deadline_, core_->options.header_seconds, 408);
          break;
        case Step::kBody:
          SetDeadline(read_deadline_, core_->options.body_seconds, 408);
          CheckHead();
          if (!reader_.IsAwaited()) break;
          if (refused_) return RefuseWith(*std::move(refused_));
          SayContinue();
          break;
        case Step::kLarge:
          if (refused_) return RefuseWith(*std::move(refused_));
          break;
        case Step::kWhole:
          return Dispatch(reader_.Take());
        case Step::kRefused:
          return Refuse(reader_.error());
      }
    }
  }

  // Who asks, and whether in vain.
  void CheckHead() {
    if (!core_->check) return;
    HeadVerdict verdict = core_->check(reader_.head().request);
    refused_ = std::move(verdict.refused);
    party_name_ = std::move(verdict.party);
    party_ = core_->held.PartyOf(party_name_);
    in_held_.MoveTo(party_);
  }

  void SayContinue() {
    const std::lock_guard lock(mutex_);
    out_.Add("HTTP/1.1 100 Continue\r\n\r\n");
    Wake();
  }

  void Dispatch(RequestHead head) {
    read_deadline_.Cancel();
    handling_ = true;
    std::shared_ptr<AnswerTo> responder;
    {
      const std::lock_guard lock(mutex_);
      ++number_;
      begun_ = complete_ = false;
      on_closed_ = nullptr;
      out_.BelongTo(party_);
      http_1_0_ = head.http_1_0;
      head_only_ = head.request.method == "HEAD";
      keep_alive_ = head.keep_alive && !core_->draining;
      responder = std::make_shared<AnswerTo>(this->shared_from_this(), number_);
    }
    Request request = std::move(head.request);
    error_code ignored;
    const auto peer = SocketOf(stream_).remote_endpoint(ignored);
    if (!ignored) request.peer = absl::StrCat(peer.address().to_string(), ":", peer.port());
    if (core_->check) request.party = party_name_;
    Read();  // notices when the client leaves
    // Until it is handled; the reader has it no more.
    const auto bytes = static_cast<int64_t>(request.body.size());
    HoldIncoming();
    auto held = std::make_shared<FairShare>(party_);
    held->Set(bytes);
    auto handle = [core = core_, held = std::move(held), request = std::move(request),
                   responder = std::move(responder)]() mutable {
      try {
        core->handler(std::move(request), std::move(responder));
      } catch (const std::exception& error) {
        // The responder goes with this, which answers 500.
        log::error("a request's handler failed: {}", error.what());
      }
    };
    if (core_->options.handler_threads == 0) return handle();
    core_->handling.Push(party_name_, bytes, std::move(handle));
  }

  // Answers what could not be read, and closes: where the next request begins is not known.
  void Refuse(const HttpError& error) { RefuseWith(ErrorResponse(error)); }
  void RefuseWith(Response response) {
    handling_ = true;
    read_deadline_.Cancel();
    DropIncoming();
    {
      const std::lock_guard lock(mutex_);
      ++number_;
      begun_ = false;
      complete_ = head_only_ = http_1_0_ = keep_alive_ = false;
    }
    Send(number_, std::move(response));
  }

  void DropIncoming() {
    reader_.Drop();
    HoldIncoming();
  }

  void Flush() {
    std::string next;
    {
      const std::lock_guard lock(mutex_);
      waking_ = false;
      if (writing_ || closed_) return;
      next = out_.Take();
    }
    if (next.empty()) return Written();
    writing_ = true;
    sending_ = std::move(next);
    sent_ = 0;
    WriteSome();
  }

  void WriteSome() {
    SetDeadline(write_deadline_, core_->options.write_seconds, 0);
    stream_.async_write_some(
        asio::buffer(sending_.data() + sent_, sending_.size() - sent_),
        asio::bind_executor(strand_, [self = this->shared_from_this()](error_code error, size_t n) {
          if (error || self->closed_) {
            self->EndSending();
            return self->CloseNow();
          }
          self->sent_ += n;
          if (self->sent_ == self->sending_.size()) {
            self->write_deadline_.Cancel();
            self->EndSending();
            return self->Flush();
          }
          {
            const std::lock_guard lock(self->mutex_);
            self->out_.SetUnsent(self->sending_.size() - self->sent_);
          }
          self->WriteSome();
        }));
  }

  void EndSending() {
    writing_ = false;
    Release(&sending_);
    const std::lock_guard lock(mutex_);
    out_.EndSending();
  }

  // Everything that was handed over is out.
  void Written() {
    bool over = false, keep = false;
    {
      const std::lock_guard lock(mutex_);
      over = handling_ && complete_ && out_.empty();
      keep = keep_alive_;
    }
    if (!over) return;
    handling_ = false;
    if (keep) return Await();
    Linger();
  }

  // Closing at once while the client still sends would reset the connection, and the answer with
  // it.
  void Linger() {
    lingering_ = true;
    error_code ignored;
    SocketOf(stream_).shutdown(Tcp::socket::shutdown_send, ignored);
    SetDeadline(read_deadline_, kLingerSeconds, 0);
    lingered_bytes_ = 0;
    if (!reading_) Drain();
  }

  void Drain() {
    reading_ = true;
    SocketOf(stream_).async_read_some(
        asio::buffer(bytes_, sizeof bytes_),
        asio::bind_executor(strand_, [self = this->shared_from_this()](error_code error, size_t n) {
          self->reading_ = false;
          self->lingered_bytes_ += static_cast<int64_t>(n);
          if (error || self->closed_ || self->lingered_bytes_ > self->core_->options.body_bytes) {
            return self->CloseNow();
          }
          self->Drain();
        }));
  }

  void CloseNow() {
    if (closed_) return;
    closed_ = true;
    core_->OneLess();  // a responder may keep this object for long yet
    read_deadline_.Cancel();
    write_deadline_.Cancel();
    error_code ignored;
    SocketOf(stream_).close(ignored);
    DropIncoming();
    std::function<void()> closed;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
      out_.Drop();
      if (!complete_) closed = std::exchange(on_closed_, nullptr);
      on_closed_ = nullptr;
    }
    if (closed) closed();
  }

  // After so long: answers `status`, or closes where that is 0.
  void SetDeadline(Deadline& deadline, double seconds, int status) {
    const uint64_t set = ++deadline.set;
    deadline.timer.expires_after(std::chrono::microseconds(Duration::Seconds(seconds).us));
    deadline.timer.async_wait(
        [self = this->shared_from_this(), status, set, &deadline](error_code error) {
          if (error || self->closed_ || deadline.set != set) return;
          if (status == 0) return self->CloseNow();
          self->Refuse({status, "the request did not arrive in time"});
        });
  }

  const std::shared_ptr<ServerCore> core_;
  Stream stream_;
  asio::strand<asio::io_context::executor_type> strand_;
  Deadline read_deadline_, write_deadline_;

  // The strand's.
  char bytes_[kReadBytes];
  RequestReader reader_;
  std::optional<Response> refused_;  // of the request whose head was read last, as those below
  std::string party_name_;
  FairAccount::Party* party_;
  FairShare in_held_;
  std::string sending_;
  size_t sent_ = 0;
  int64_t lingered_bytes_ = 0;
  bool reading_ = false, writing_ = false, handling_ = false, lingering_ = false, closed_ = false;

  std::mutex mutex_;  // guards all below
  uint64_t number_ = 0;
  Outgoing out_;
  std::function<void()> on_closed_;
  bool begun_ = false, complete_ = true, gone_ = false, waking_ = false;
  bool http_1_0_ = false, head_only_ = false, keep_alive_ = true;
};

}  // namespace

int64_t BytesOfConnection(bool tls) {
  const size_t own = tls ? sizeof(Connection<TlsStream>) + kTlsBytes
                         : sizeof(Connection<Tcp::socket>) + kSocketBytes;
  return static_cast<int64_t>(own) + 2 * kAlwaysBytes;
}

std::shared_ptr<ConnectionBase> MakeConnection(std::shared_ptr<ServerCore> core,
                                               Tcp::socket socket) {
  return std::make_shared<Connection<Tcp::socket>>(std::move(core), std::move(socket));
}

std::shared_ptr<ConnectionBase> MakeConnection(std::shared_ptr<ServerCore> core, Tcp::socket socket,
                                               asio::ssl::context& tls) {
  return std::make_shared<Connection<TlsStream>>(std::move(core), std::move(socket), tls);
}

}  // namespace longrun::net
