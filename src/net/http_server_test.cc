#include "net/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/file_limit.h"
#include "base/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/http_client.h"

namespace longrun::net {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr double kPatience = 20;

// A socket that says exactly what it is told.
class RawClient {
 public:
  explicit RawClient(int port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawClient() { Close(); }
  RawClient(RawClient&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  bool connected() const { return connected_; }
  void Say(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      text.remove_prefix(static_cast<size_t>(n));
    }
  }
  // Until `end` appears or the server closes.
  std::string Hear(std::string_view end = "") {
    std::string heard;
    char bytes[65536];
    while (end.empty() || heard.find(end) == std::string::npos) {
      pollfd entry{fd_, POLLIN, 0};
      if (::poll(&entry, 1, static_cast<int>(kPatience * 1000)) <= 0) return heard + "(silence)";
      const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
      if (n <= 0) return heard;
      heard.append(bytes, static_cast<size_t>(n));
    }
    return heard;
  }
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
  bool connected_ = false;
};

bool Eventually(const std::function<bool()>& condition) {
  const Stopwatch watch;
  while (watch.seconds() < kPatience) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

// Answers with what it was asked; /stream, /never and /forget do what they say.
class HttpServerTest : public testing::Test {
 protected:
  void Start(ServerOptions options = {}) {
    auto server = Server::Start(options, [this](Request request, std::shared_ptr<Responder> to) {
      Answer(std::move(request), std::move(to));
    });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  void Answer(Request request, std::shared_ptr<Responder> to) {
    ++requests_;
    if (request.path == "/forget") return;
    if (request.path == "/never" || request.path == "/stream") {
      to->OnClosed([this] { ++closed_; });
      if (request.path == "/stream") to->Begin({.content_type = "text/event-stream"});
      const std::lock_guard lock(mutex_);
      kept_.push_back(std::move(to));
      return;
    }
    to->Send({.content_type = "text/plain",
              .body = absl::StrCat(request.method, " ", request.path, " ", request.body)});
  }

  std::shared_ptr<Responder> Kept() {
    EXPECT_TRUE(Eventually([this] {
      const std::lock_guard lock(mutex_);
      return !kept_.empty();
    }));
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Responder> to = kept_.back();
    kept_.pop_back();
    return to;
  }

  std::string Raw(std::string_view text) {
    RawClient client(server_->port());
    client.Say(text);
    return client.Hear();
  }
  Client NewClient() { return Client(Url{.host = "127.0.0.1", .port = server_->port()}); }

  std::atomic<int> requests_{0}, closed_{0};
  std::mutex mutex_;
  std::vector<std::shared_ptr<Responder>> kept_;
  std::unique_ptr<Server> server_;
};

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  Start();
  Client client = NewClient();
  for (int i = 0; i < 3; ++i) {
    const auto answer = client.Send("POST", "/echo", {}, absl::StrCat("body ", i));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, absl::StrCat("POST /echo body ", i));
    EXPECT_EQ(answer->content_type, "text/plain");
  }
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(HttpServerTest, AnswersWhatWasSentAheadInOrder) {
  Start();
  RawClient client(server_->port());
  std::string text;
  for (int i = 0; i < 50; ++i) {
    absl::StrAppend(&text, "POST /", i, " HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
  }
  client.Say(text + "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const std::string heard = client.Hear();
  size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = heard.find(absl::StrCat("POST /", i, " hi"), at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_NE(heard.find("GET /end", at), std::string::npos);
}

TEST_F(HttpServerTest, ReadsBodiesHoweverTheyAreSent) {
  Start();
  EXPECT_THAT(Raw("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close"
                  "\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
              HasSubstr("POST /c abcde"));
  RawClient client(server_->port());
  client.Say(
      "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
      "Connection: close\r\n\r\n");
  EXPECT_THAT(client.Hear("\r\n\r\n"), StartsWith("HTTP/1.1 100 "));
  client.Say("xyz");
  EXPECT_THAT(client.Hear(), HasSubstr("POST /e xyz"));
  const std::string head = Raw("HEAD /h HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Content-Length: 8\r\n"));
  EXPECT_THAT(head, testing::EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, RefusesAndClosesWithAnErrorClientsCanRead) {
  Start({.header_bytes = 2000, .body_bytes = 100});
  const std::pair<std::string, int> cases[] = {
      {"nonsense\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: a\n\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", 413},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n", 413},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"GET /" + std::string(3000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", 431},
      {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
      {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
  };
  for (const auto& [text, status] : cases) {
    const std::string heard = Raw(text);
    EXPECT_THAT(heard, StartsWith(absl::StrCat("HTTP/1.1 ", status, " "))) << text;
    EXPECT_THAT(heard, HasSubstr("{\"error\":{\"message\":")) << text;
    EXPECT_THAT(heard, HasSubstr("Connection: close")) << text;
  }
  EXPECT_EQ(requests_, 0);
}

TEST_F(HttpServerTest, EndsThoseWhoDawdle) {
  Start({.header_seconds = 0.2, .body_seconds = 0.2, .idle_seconds = 0.2});
  EXPECT_THAT(Raw("GET / HT"), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(Raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"),
              StartsWith("HTTP/1.1 408 "));
  EXPECT_EQ(Raw(""), "") << "closed without a word where nothing was asked";
}

TEST_F(HttpServerTest, AnswersForThoseWhoForget) {
  Start();
  const auto answer = NewClient().Send("GET", "/forget", {}, "");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 500);
}

TEST_F(HttpServerTest, StreamsAndSaysWhenTheClientLeaves) {
  Start();
  Client client = NewClient();
  auto whole = std::async(std::launch::async, [&] {
    std::vector<std::string> events;
    EventStream stream;
    const auto answer = client.Stream("GET", "/stream", {}, "", [&](std::string_view bytes) {
      stream.Feed(bytes, [&](std::string_view data) { events.emplace_back(data); });
      return true;
    });
    EXPECT_TRUE(answer.ok()) << answer.status();
    return events;
  });
  auto to = Kept();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(to->Write(absl::StrCat("data: ", i, "\n\n")));
  to->End();
  EXPECT_FALSE(to->Write("data: late\n\n"));
  EXPECT_THAT(whole.get(), testing::ElementsAre("0", "1", "2", "3", "4"));
  EXPECT_EQ(closed_, 0);

  for (const char* path : {"/stream", "/never"}) {
    const int before = closed_;
    RawClient leaving(server_->port());
    leaving.Say(absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: a\r\n\r\n"));
    auto left = Kept();
    leaving.Close();
    EXPECT_TRUE(Eventually([&] { return closed_ == before + 1; })) << path;
    EXPECT_FALSE(left->Write("x"));
  }
}

TEST_F(HttpServerTest, AClientThatSaysNoMoreGetsTheAnswerThatIsOnItsWay) {
  Start();
  RawClient client(server_->port());
  const std::string body(8 << 20, 'x');  // more than is sent at once
  client.Say(absl::StrCat("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: ", body.size(),
                          "\r\n\r\n", body));
  ::shutdown(client.fd(), SHUT_WR);
  const std::string heard = client.Hear();
  EXPECT_THAT(heard, StartsWith("HTTP/1.1 200 OK"));
  EXPECT_GT(heard.size(), body.size());
}

TEST_F(HttpServerTest, AStreamCutShortDoesNotLookWhole) {
  Start();
  RawClient client(server_->port());
  client.Say("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  Kept()->Write("data: 1\n\n");  // and forgotten
  const std::string heard = client.Hear();
  EXPECT_EQ(heard.find("\r\n0\r\n\r\n"), std::string::npos);
}

TEST_F(HttpServerTest, ASlowReaderIsCutOffAndNobodyElseWaits) {
  constexpr int kStreams = 2000;
  if (RaiseFileLimit(kAllFiles) < 2 * kStreams + 100) GTEST_SKIP() << "too few files are allowed";
  Start({.stream_buffer_bytes = 64 << 10});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<RawClient>(server_->port()));
    ASSERT_TRUE(clients.back()->connected());
    clients.back()->Say("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  ASSERT_TRUE(Eventually([&] { return requests_ == kStreams; }));
  std::vector<std::shared_ptr<Responder>> streams;
  {
    const std::lock_guard lock(mutex_);
    streams.swap(kept_);
  }
  // What one stream is fed far beyond its buffers the others get a little of.
  const std::string much(32 << 10, 'x');
  bool taken = true;
  for (int i = 0; i < 10000 && taken; ++i) taken = streams[0]->Write(much);
  EXPECT_FALSE(taken) << "memory for a reader that does not read must be bounded";
  for (int i = 1; i < kStreams; ++i) {
    EXPECT_TRUE(streams[i]->Write("data: [DONE]\n\n"));
    streams[i]->End();
  }
  int whole = 0, cut = 0;
  for (auto& client : clients) {
    const std::string heard = client->Hear("\r\n0\r\n\r\n");
    heard.find("[DONE]") != std::string::npos ? ++whole : ++cut;
  }
  EXPECT_EQ(whole, kStreams - 1);
  EXPECT_EQ(cut, 1);
  EXPECT_TRUE(Eventually([&] { return closed_ == 1; }));
}

TEST_F(HttpServerTest, HasABoundOnConnections) {
  Start({.connections = 2});
  RawClient one(server_->port()), two(server_->port());
  one.Say("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
  two.Say("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(one.Hear("/a "), HasSubstr("200 OK"));
  EXPECT_THAT(two.Hear("/a "), HasSubstr("200 OK"));
  EXPECT_THAT(RawClient(server_->port()).Hear(), StartsWith("HTTP/1.1 503 "));
}

TEST_F(HttpServerTest, SaysThatAPortIsInUse) {
  Start();
  const auto second =
      Server::Start({.port = server_->port()}, [](Request, std::shared_ptr<Responder>) {});
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(absl::StrCat("port ", server_->port(), " of 127.0.0.1 is in use")));
  EXPECT_THAT(std::string(Server::Start({.address = "nowhere"}, {}).status().message()),
              HasSubstr("no address to listen on"));
}

TEST_F(HttpServerTest, DrainsWhatIsUnderWay) {
  Start();
  RawClient idle(server_->port()), busy(server_->port());
  busy.Say("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  auto to = Kept();
  std::thread draining([this] { server_->Drain(kPatience); });
  EXPECT_EQ(idle.Hear(), "");
  EXPECT_TRUE(to->Write("data: still here\n\n"));
  to->End();
  EXPECT_THAT(busy.Hear(), HasSubstr("still here"));
  draining.join();
  EXPECT_EQ(server_->connections(), 0) << "though its responder is still there";
  EXPECT_FALSE(RawClient(server_->port()).connected());
}

TEST_F(HttpServerTest, EndsWithAnswersStillOwed) {
  Start();
  RawClient client(server_->port());
  client.Say("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
  auto to = Kept();
  server_.reset();
  EXPECT_EQ(closed_, 1);
  to->Send({.body = "too late"});
}

// A key and a certificate that it signed itself.
void WriteCertificate(const std::string& certificate, const std::string& key_path, long days) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* x509 = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -86400 * 10);
  X509_gmtime_adj(X509_getm_notAfter(x509), 86400 * days);
  X509_set_pubkey(x509, key);
  X509_NAME* name = X509_get_subject_name(x509);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(x509, name);
  X509_sign(x509, key, EVP_sha256());
  FILE* file = fopen(certificate.c_str(), "w");
  PEM_write_X509(file, x509);
  fclose(file);
  file = fopen(key_path.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  fclose(file);
  X509_free(x509);
  EVP_PKEY_free(key);
}

TEST_F(HttpServerTest, SpeaksTls) {
  const std::string folder = testing::TempDir() + "http_server_test/";
  std::filesystem::create_directories(folder);
  WriteCertificate(folder + "a.pem", folder + "a.key", 10);
  WriteCertificate(folder + "b.pem", folder + "b.key", 10);
  WriteCertificate(folder + "old.pem", folder + "old.key", -5);
  const auto refusal = [&](const std::string& certificate, const std::string& key) {
    const auto server =
        Server::Start({.certificate_file = folder + certificate, .key_file = folder + key}, {});
    return std::string(server.status().message());
  };
  EXPECT_THAT(refusal("none.pem", "a.key"), HasSubstr("none.pem"));
  EXPECT_THAT(refusal("a.pem", "none.key"), HasSubstr("none.key"));
  EXPECT_THAT(refusal("a.pem", "b.key"), HasSubstr("b.key"));
  EXPECT_THAT(refusal("old.pem", "old.key"), HasSubstr("expired"));

  Start({.certificate_file = folder + "a.pem", .key_file = folder + "a.key"});
  const Url url{.tls = true, .host = "127.0.0.1", .port = server_->port()};
  Client trusting(url, {.verify_certificates = false});
  const std::string body(300'000, 'b');
  for (int i = 0; i < 2; ++i) {
    const auto answer = trusting.Send("POST", "/tls", {}, body);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->body, "POST /tls " + body);
  }
  const auto unknown = Client(url).Send("GET", "/", {}, "");
  ASSERT_FALSE(unknown.ok()) << "nobody vouches for that certificate";
  EXPECT_THAT(std::string(unknown.status().message()), HasSubstr("SSL_CERT_FILE"));
  EXPECT_EQ(Raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n").find("200 OK"), std::string::npos);
}

}  // namespace
}  // namespace longrun::net
