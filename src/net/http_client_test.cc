#include "net/http_client.h"

#include <atomic>
#include <thread>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/http_server.h"

namespace longrun::net {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ParseUrlTest, ReadsWhatPeopleWrite) {
  const auto url = ParseUrl("https://host:8443/v1?x=1");
  ASSERT_TRUE(url.ok());
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "host");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->path, "/v1?x=1");
  EXPECT_EQ(ParseUrl("http://a")->port, 80);
  EXPECT_EQ(ParseUrl("https://a")->port, 443);
  EXPECT_EQ(ParseUrl("localhost:1")->port, 1);
  EXPECT_EQ(ParseUrl("http://[::1]:2/")->host, "::1");
  EXPECT_EQ(ParseUrl("http://[::1]:2/")->port, 2);
  for (const char* bad : {"", "ftp://a", "http://", "http://a:0", "http://a:x", "http://a:99999",
                          "http://a b", "http://u@a"}) {
    EXPECT_FALSE(ParseUrl(bad).ok()) << bad;
  }
}

TEST(EventStreamTest, IsTheSameHoweverItIsCut) {
  const std::string text =
      "data: one\n\n: a comment\r\nevent: x\r\ndata:two\r\n\r\ndata: a\ndata: b\n\ndata: "
      "unfinished\n";
  for (size_t step = 1; step <= text.size(); ++step) {
    EventStream stream;
    std::vector<std::string> events;
    for (size_t at = 0; at < text.size(); at += step) {
      stream.Feed(std::string_view(text).substr(at, step),
                  [&](std::string_view data) { events.emplace_back(data); });
    }
    EXPECT_THAT(events, ElementsAre("one", "two", "a\nb"));
  }
}

TEST(ClientTest, SaysWhatItCannotReach) {
  // Port 1 of this machine: nobody is there.
  const auto answer = Client(Url{.host = "127.0.0.1", .port = 1}).Send("GET", "/", {}, "");
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("cannot reach 127.0.0.1:1"));
  EXPECT_FALSE(Client(Url{.host = "no-such-host.invalid"}).Send("GET", "/", {}, "").ok());
}

TEST(ClientTest, IsAnsweredWhileAnothersHandlerIsBusy) {
  absl::Notification other;
  const Handler handler = [&](Request request, std::shared_ptr<Responder> to) {
    if (request.target == "/other") {
      other.Notify();
    } else {
      other.WaitForNotification();
    }
    to->Send({.body = "done"});
  };
  auto server = Server::Start({.handler_threads = 2}, handler);
  ASSERT_TRUE(server.ok()) << server.status();
  const Url url = {.host = "127.0.0.1", .port = (*server)->port()};
  std::thread busy([&] { EXPECT_TRUE(Client(url).Send("GET", "/busy", {}, "").ok()); });
  EXPECT_TRUE(Client(url).Send("GET", "/other", {}, "").ok());
  busy.join();
}

TEST(ClientTest, FindsAConnectionClosedMeanwhileAndMakesAnother) {
  std::atomic<int> requests{0};
  const Handler handler = [&](Request, std::shared_ptr<Responder> to) {
    ++requests;
    to->Send({.body = "{}"});
  };
  auto server = Server::Start({}, handler);
  ASSERT_TRUE(server.ok());
  const int port = (*server)->port();
  Client client(Url{.host = "127.0.0.1", .port = port});
  ASSERT_TRUE(client.Send("GET", "/", {}, "").ok());
  server->reset();
  server = Server::Start({.port = port}, handler);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(client.Send("GET", "/", {}, "").ok());
  EXPECT_EQ(requests, 2);
}

TEST(ClientTest, BoundsTheAnswerAndItsPatience) {
  std::shared_ptr<Responder> kept;
  auto server = Server::Start({}, [&](Request request, std::shared_ptr<Responder> to) {
    if (request.path == "/large") return to->Send({.body = std::string(100'000, 'x')});
    kept = std::move(to);
  });
  ASSERT_TRUE(server.ok());
  const Url url{.host = "127.0.0.1", .port = (*server)->port()};
  const auto large = Client(url, {.body_bytes = 1000}).Send("GET", "/large", {}, "");
  EXPECT_TRUE(absl::IsResourceExhausted(large.status())) << large.status();
  const auto late = Client(url, {.read_seconds = 0.1}).Send("GET", "/never", {}, "");
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
  server->reset();
}

}  // namespace
}  // namespace longrun::net
