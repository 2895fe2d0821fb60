// What hostile and careless clients send, over real sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "absl/synchronization/notification.h"
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

// What the server holds, once it no longer changes what the test waits for.
void AwaitHeld(const Server& server, int64_t at_least) {
  while (server.held_bytes() < at_least) std::this_thread::yield();
}

constexpr char kHealth[] = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

TEST(Held, UnfinishedBodiesAreBoundedTogether) {
  std::atomic<int> handled{0};
  const auto server =
      Server::Start({.body_bytes = 1 << 20, .held_bytes = 4 << 20},
                    [&](Request request, std::shared_ptr<Responder> responder) {
                      ++handled;
                      responder->Send({.body = std::to_string(request.body.size())});
                    });
  ASSERT_TRUE(server.ok());
  const std::string part(900'000, 'x');
  const std::string head = std::string(kPost) + "Content-Length: 1000000\r\n\r\n";
  const std::string chunked = std::string(kPost) + "Transfer-Encoding: chunked\r\n\r\nF4240\r\n";
  std::vector<std::unique_ptr<RawSocket>> waiting;
  for (const std::string& start : {head, chunked}) {
    waiting.push_back(std::make_unique<RawSocket>((*server)->port()));
    waiting.back()->Send(start + part);
    AwaitHeld(**server, static_cast<int64_t>(waiting.size() * part.size()));
  }
  for (const std::string& start : {head, chunked}) {
    RawSocket third((*server)->port());
    third.Send(start + part);
    const std::string refusal = third.ReadToEnd();
    EXPECT_THAT(refusal, StartsWith("HTTP/1.1 503 "));
    EXPECT_THAT(refusal, HasSubstr("\r\nRetry-After: 1\r\n"));
  }
  EXPECT_LE((*server)->held_bytes(), 2 << 20);  // one alone gets half
  EXPECT_EQ(handled, 0);
  RawSocket small((*server)->port());
  small.Send(kHealth);
  EXPECT_THAT(small.ReadToEnd(), StartsWith("HTTP/1.1 200 "));
  // Whoever was there goes on, and what it held is free for the next.
  waiting[0]->Send(std::string(100'000, 'x'));
  EXPECT_THAT(waiting[0]->ReadUntil("\r\n\r\n1000000"), testing::EndsWith("1000000"));
  RawSocket next((*server)->port());
  next.Send(head + part + std::string(100'000, 'x'));
  EXPECT_THAT(next.ReadUntil("\r\n\r\n1000000"), testing::EndsWith("1000000"));
  waiting.clear();
  while ((*server)->held_bytes() > 0) std::this_thread::yield();
}

TEST(Held, UnreadAnswersAreBoundedTogether) {
  constexpr int64_t kLarge = 20 << 20;  // beyond what the kernel takes from us
  const auto server = Server::Start(
      {.held_bytes = 60 << 20}, [&](Request request, std::shared_ptr<Responder> responder) {
        responder->Send({.body = std::string(request.path == "/health" ? 2 : kLarge, 'x')});
      });
  ASSERT_TRUE(server.ok());
  const std::string large = "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  RawSocket unread((*server)->port(), 4096);
  unread.Send(large);
  AwaitHeld(**server, kLarge);
  RawSocket second((*server)->port()), small((*server)->port());
  second.Send(large);
  EXPECT_THAT(second.ReadToEnd(), StartsWith("HTTP/1.1 503 "));
  small.Send(kHealth);
  EXPECT_THAT(small.ReadToEnd(), StartsWith("HTTP/1.1 200 "));
  EXPECT_GT(unread.ReadToEnd().size(), static_cast<size_t>(kLarge));
  while ((*server)->held_bytes() > 0) std::this_thread::yield();
  RawSocket third((*server)->port());
  third.Send(large);
  EXPECT_THAT(third.ReadToEnd(), StartsWith("HTTP/1.1 200 "));
}

HeadVerdict PartyByKey(const Request& head) {
  return {.party = std::string(head.Header("Authorization"))};
}

std::string PostOf(const std::string& party, size_t bytes) {
  return std::string(kPost) + "Connection: close\r\nAuthorization: " + party +
         "\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n";
}

TEST(Held, NoPartyTakesItAll) {
  constexpr size_t kBody = 1'000'000, kPart = 900'000;
  const auto server = Server::Start(
      {.held_bytes = 8'000'000},
      [](Request, std::shared_ptr<Responder> responder) { responder->Send({}); }, PartyByKey);
  ASSERT_TRUE(server.ok());
  std::vector<std::unique_ptr<RawSocket>> waiting;
  const auto hold_until_refused = [&](const std::string& party) {
    while (true) {
      const int64_t before = (*server)->held_bytes();
      auto client = std::make_unique<RawSocket>((*server)->port());
      client->Send(PostOf(party, kBody) + std::string(kPart, 'x'));
      pollfd readable{client->fd(), POLLIN, 0};
      while ((*server)->held_bytes() < before + static_cast<int64_t>(kPart)) {
        if (::poll(&readable, 1, 1) > 0) {
          EXPECT_THAT(client->ReadToEnd(), StartsWith("HTTP/1.1 503 "));
          return;
        }
      }
      waiting.push_back(std::move(client));
    }
  };
  hold_until_refused("greedy");
  EXPECT_EQ(waiting.size(), 4u);
  hold_until_refused("another");
  EXPECT_EQ(waiting.size(), 6u);
  RawSocket other((*server)->port());
  other.Send(PostOf("other", kBody) + std::string(kBody, 'x'));
  EXPECT_THAT(other.ReadToEnd(), StartsWith("HTTP/1.1 200 "));
  EXPECT_GT((*server)->held_bytes(), 5'000'000) << "and they were still there";
}

TEST(Held, WhatWaitsForItsHandlerCounts) {
  constexpr size_t kBody = 900'000;
  absl::Notification go_on;
  std::atomic<int> handled{0};
  const auto server = Server::Start(
      {.handler_threads = 1, .held_bytes = 8'000'000},
      [&](Request, std::shared_ptr<Responder> responder) {
        ++handled;
        go_on.WaitForNotification();
        responder->Send({});
      },
      PartyByKey);
  ASSERT_TRUE(server.ok());
  std::vector<std::unique_ptr<RawSocket>> waiting;
  for (int i = 1; i <= 4; ++i) {
    waiting.push_back(std::make_unique<RawSocket>((*server)->port()));
    waiting.back()->Send(PostOf("a", kBody) + std::string(kBody, 'x'));
    AwaitHeld(**server, i * static_cast<int64_t>(kBody));
  }
  RawSocket fifth((*server)->port());
  fifth.Send(PostOf("a", kBody) + std::string(kBody, 'x'));
  EXPECT_THAT(fifth.ReadToEnd(), StartsWith("HTTP/1.1 503 "));
  EXPECT_LE(handled, 1);
  go_on.Notify();
  for (const auto& client : waiting) EXPECT_THAT(client->ReadToEnd(), StartsWith("HTTP/1.1 200 "));
  while ((*server)->held_bytes() > 0) std::this_thread::yield();
}

TEST(Held, WhatAnAnswerToComeHoldsCounts) {
  std::mutex mutex;
  std::vector<std::shared_ptr<Responder>> kept;
  const auto server =
      Server::Start({.held_bytes = 8'000'000}, [&](Request, std::shared_ptr<Responder> responder) {
        const std::lock_guard lock(mutex);
        kept.push_back(std::move(responder));
      });
  ASSERT_TRUE(server.ok());
  RawSocket one((*server)->port()), two((*server)->port());
  one.Send(kHealth);
  two.Send(kHealth);
  while (true) {
    const std::lock_guard lock(mutex);
    if (kept.size() == 2) break;
  }
  EXPECT_TRUE(kept[0]->Hold(3'000'000));
  EXPECT_FALSE(kept[1]->Hold(3'000'000));
  EXPECT_TRUE(kept[1]->Hold(1000)) << "a little is always held";
  EXPECT_EQ((*server)->held_bytes(), 3'001'000);
  kept[0]->Send({.body = "short after all"});
  EXPECT_THAT(one.ReadToEnd(), testing::EndsWith("short after all"));
  EXPECT_TRUE(kept[1]->Hold(3'000'000));
  two.Close();  // whoever leaves holds nothing
  while ((*server)->held_bytes() > 0) std::this_thread::yield();
  EXPECT_TRUE(kept[1]->Hold(3'000'000)) << "nobody waits for it";
  EXPECT_EQ((*server)->held_bytes(), 0);
}

TEST(Handlers, LargeRequestsOfManyPartiesLeaveAThreadToShortOnes) {
  absl::Notification go_on;
  std::atomic<int> blocked{0};
  const auto server = Server::Start(
      {.handler_threads = 4},
      [&](Request request, std::shared_ptr<Responder> responder) {
        if (request.body.size() > 100'000) {
          ++blocked;
          go_on.WaitForNotification();
        }
        responder->Send({});
      },
      PartyByKey);
  ASSERT_TRUE(server.ok());
  constexpr size_t kBody = 200'000;
  std::vector<std::unique_ptr<RawSocket>> waiting;
  for (int i = 0; i < 8; ++i) {
    waiting.push_back(std::make_unique<RawSocket>((*server)->port()));
    waiting.back()->Send(PostOf(i % 2 == 0 ? "a" : "b", kBody) + std::string(kBody, 'x'));
  }
  AwaitHeld(**server, 8 * static_cast<int64_t>(kBody));
  while (blocked < 3) std::this_thread::yield();
  for (const std::string party : {"other", "a"}) {
    RawSocket client((*server)->port());
    client.Send(PostOf(party, 10) + std::string(10, 'x'));
    EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 200 ")) << party;
  }
  RawSocket health((*server)->port());
  health.Send(kHealth);
  EXPECT_THAT(health.ReadToEnd(), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(blocked, 3);
  go_on.Notify();
  for (const auto& client : waiting) EXPECT_THAT(client->ReadToEnd(), StartsWith("HTTP/1.1 200 "));
}

// Also where a proxy sends the requests of many over one connection.
TEST(HeadCheck, TellsTheHandlerWhoAsksWithEachRequest) {
  const auto say_party = [](Request request, std::shared_ptr<Responder> responder) {
    responder->Send({.body = "party " + request.party.value_or("unknown") + "."});
  };
  const std::string end = "Content-Length: 0\r\n\r\n";
  const std::string three = std::string(kPost) + "Authorization: a\r\n" + end + kPost +
                            "Authorization: b\r\n" + end + kPost + "Connection: close\r\n" + end;
  const auto checked = Server::Start({}, say_party, PartyByKey);
  RawSocket client((*checked)->port());
  client.Send(three);
  EXPECT_THAT(client.ReadToEnd(),
              ::testing::AllOf(HasSubstr("party a."), HasSubstr("party b."), HasSubstr("party .")));
  const auto unchecked = Server::Start({}, say_party);
  RawSocket other((*unchecked)->port());
  other.Send(three);
  EXPECT_THAT(other.ReadToEnd(), HasSubstr("party unknown."));
}

TEST(HeadCheck, RefusesALargeBodyBeforeItIsRead) {
  std::atomic<int> handled{0};
  const auto server = Server::Start(
      {},
      [&](Request, std::shared_ptr<Responder> responder) {
        ++handled;
        responder->Send({});
      },
      [](const Request& head) -> HeadVerdict {
        if (head.Header("Authorization") == "Bearer right") return {.party = "right"};
        return {.refused = Response{.status = 401}};
      });
  ASSERT_TRUE(server.ok());
  const std::string ten_million = "Content-Length: 10000000\r\n\r\n";
  for (const std::string& head : {ten_million, "Expect: 100-continue\r\n" + ten_million,
                                  std::string("Transfer-Encoding: chunked\r\n\r\n989680\r\n")}) {
    RawSocket client((*server)->port());
    client.Send(kPost + head);
    if (!head.starts_with("Expect")) client.Send(std::string(100'000, 'x'));
    EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 401 ")) << head;
  }
  EXPECT_EQ(handled, 0);
  RawSocket known((*server)->port());
  known.Send(std::string(kPost) + "Authorization: Bearer right\r\nConnection: close\r\n" +
             ten_million + std::string(10'000'000, 'x'));
  EXPECT_THAT(known.ReadToEnd(), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(handled, 1);
}

}  // namespace
}  // namespace longrun::net
