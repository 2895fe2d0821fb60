// What hostile and careless clients send, over real sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "net/http_server.h"
#include "net/raw_socket_for_tests.h"

namespace longrun::net {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Hostile : public testing::Test {
 protected:
  void SetUp() override {
    ServerOptions options;
    options.header_bytes = 4096;
    options.body_bytes = 10'000;
    options.header_seconds = 0.3;
    options.body_seconds = 0.3;
    options.idle_seconds = 0.3;
    auto server = Server::Start(options, [this](Request, std::shared_ptr<Responder> responder) {
      ++handled_;
      responder->Send({});
    });
    ASSERT_TRUE(server.ok());
    server_ = *std::move(server);
  }

  std::string Answer(const std::string& bytes) {
    RawSocket client(server_->port());
    client.Send(bytes);
    return client.ReadToEnd();
  }

  std::atomic<int> handled_{0};
  std::unique_ptr<Server> server_;
};

constexpr char kPost[] = "POST / HTTP/1.1\r\nHost: a\r\n";

TEST_F(Hostile, SmuggledRequestsAreRefusedAndTheConnectionEnds) {
  const std::string hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const std::string head :
       {"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 35\r\n\r\n", "Content-Length : 0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n", "X: a\r\n b\r\n\r\n", "X: a\nY: b\r\n\r\n",
        "X: a\rY: b\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\n\n",
        "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"}) {
    const std::string all = Answer(kPost + head + hidden);
    EXPECT_THAT(all, testing::AnyOf(StartsWith("HTTP/1.1 400 "), StartsWith("HTTP/1.1 501 ")));
    EXPECT_THAT(all, HasSubstr("Connection: close"));
    EXPECT_THAT(all, HasSubstr(R"({"error":{"message":")"));
    EXPECT_EQ(all.find("HTTP/1.1", 9), std::string::npos) << all;
  }
  EXPECT_EQ(handled_, 0);
}

TEST_F(Hostile, TooLargeIsTold) {
  EXPECT_THAT(Answer("GET /" + std::string(9000, 'a')), StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(Answer(kPost + std::string("X: ") + std::string(9000, 'a')),
              StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(Answer(std::string(kPost) + "Content-Length: 10001\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(Answer(std::string(kPost) + "Expect: 100-continue\r\nContent-Length: 10001\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(Answer(std::string(kPost) + "Transfer-Encoding: chunked\r\n\r\n4000\r\n" +
                     std::string(0x4000, 'a')),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(Answer("GET / HTTP/3.0\r\n\r\n"), StartsWith("HTTP/1.1 505 "));
  EXPECT_EQ(handled_, 0);
}

TEST_F(Hostile, TheSlowAreTimedOut) {
  EXPECT_THAT(Answer("GET / HT"), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(Answer(std::string(kPost) + "Content-Length: 9\r\n\r\nabc"),
              StartsWith("HTTP/1.1 408 "));
  EXPECT_EQ(Answer(""), "");  // idle: nothing was asked, so nothing is said
  // One byte now and then does not help.
  RawSocket drip(server_->port());
  std::string all;
  for (const char c : std::string("GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaa")) {
    drip.Send({&c, 1});
    timeval patience{0, 50'000};
    ::setsockopt(drip.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    all += drip.Read();
    if (!all.empty()) break;
  }
  EXPECT_THAT(all, StartsWith("HTTP/1.1 408 "));
  EXPECT_EQ(handled_, 0);
}

TEST_F(Hostile, AHandlerThatThrowsEndsItsRequestAlone) {
  const auto server = Server::Start({}, [](Request request, std::shared_ptr<Responder> responder) {
    if (request.path == "/throw") throw std::runtime_error("on purpose");
    responder->Send({});
  });
  ASSERT_TRUE(server.ok());
  RawSocket client((*server)->port());
  client.Send(
      "GET /throw HTTP/1.1\r\nHost: a\r\n\r\nGET /well HTTP/1.1\r\nHost: a\r\n"
      "Connection: close\r\n\r\n");
  const std::string all = client.ReadToEnd();
  EXPECT_THAT(all, StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(all, HasSubstr("HTTP/1.1 200 OK"));
}

TEST_F(Hostile, RandomBytesNeverReachAHandlerNorEndTheServer) {
  uint64_t seed = 7;
  for (int i = 0; i < 200; ++i) {
    std::string bytes;
    for (int j = 0; j < 300; ++j) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      bytes += static_cast<char>(seed >> 56);
    }
    Answer(bytes + "\r\n\r\n");
  }
  EXPECT_EQ(handled_, 0);
  EXPECT_THAT(Answer("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 200 OK"));
}

}  // namespace
}  // namespace longrun::net
