#include "net/request_head.h"

#include "base/random.h"
#include "gtest/gtest.h"

namespace longrun::net {
namespace {

int StatusOf(const std::string& text) {
  RequestHead head;
  return ParseRequestHead(text, &head).status;
}

std::string Get(const std::string& headers) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n";
}

TEST(RequestHeadTest, ReadsWhatThereIs) {
  RequestHead head;
  const HttpError error = ParseRequestHead(
      "POST /v1/a%20b?x=1 HTTP/1.1\r\nHost: a:1\r\nX-One:  two words \r\ncontent-length: 12\r\n"
      "Expect: 100-continue\r\n\r\n",
      &head);
  ASSERT_EQ(error.status, 0) << error.message;
  EXPECT_EQ(head.request.method, "POST");
  EXPECT_EQ(head.request.target, "/v1/a%20b?x=1");
  EXPECT_EQ(head.request.path, "/v1/a b");
  EXPECT_EQ(head.request.query, "x=1");
  EXPECT_EQ(head.request.Header("x-one"), "two words");
  EXPECT_EQ(head.content_length, 12);
  EXPECT_TRUE(head.keep_alive && head.expects_continue && !head.chunked);
}

TEST(RequestHeadTest, KnowsWhenAConnectionIsKept) {
  RequestHead head;
  EXPECT_EQ(ParseRequestHead(Get("Connection: x, Close\r\n"), &head).status, 0);
  EXPECT_FALSE(head.keep_alive);
  EXPECT_EQ(ParseRequestHead("GET / HTTP/1.0\r\n\r\n", &head).status, 0);
  EXPECT_FALSE(head.keep_alive);
  EXPECT_EQ(ParseRequestHead("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &head).status, 0);
  EXPECT_TRUE(head.keep_alive);
}

TEST(RequestHeadTest, RefusesWhatCouldBeReadInTwoWays) {
  EXPECT_EQ(StatusOf(Get("")), 0);
  const char* const smuggled[] = {
      "Content-Length: 1\r\nContent-Length: 1\r\n",
      "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
      "Content-Length: +1\r\n",
      "Content-Length: 1, 1\r\n",
      "Content-Length: 0x1\r\n",
      "Content-Length: \r\n",
      "Content-Length: 99999999999999999999\r\n",
      "Content-Length : 1\r\n",
      " Content-Length: 1\r\n",
      "X: a\r\n b\r\n",
      "X: a\n",
      "X: a\rb\r\n",
      "X: a\x01\r\n",
      "X\r\n",
      ": a\r\n",
      "X Y: a\r\n",
      "Host: b\r\n",
  };
  for (const char* headers : smuggled) EXPECT_EQ(StatusOf(Get(headers)), 400) << headers;
  EXPECT_EQ(StatusOf(Get("Transfer-Encoding: xchunked\r\n")), 501);
  EXPECT_EQ(StatusOf(Get("Transfer-Encoding: gzip, chunked\r\n")), 501);
  EXPECT_EQ(StatusOf(Get("Expect: tea\r\n")), 417);
}

TEST(RequestHeadTest, RefusesMalformedRequestLines) {
  const auto line = [](const std::string& text) { return StatusOf(text + "\r\nHost: a\r\n\r\n"); };
  for (const char* bad : {"", "GET", "GET /", "GET  HTTP/1.1", "G(T / HTTP/1.1", "GET a HTTP/1.1",
                          "GET /\x7f HTTP/1.1", "GET /%zz HTTP/1.1", "GET /%00 HTTP/1.1",
                          "GET /a b HTTP/1.1", "GET / http/1.1"}) {
    EXPECT_EQ(line(bad), 400) << bad;
  }
  EXPECT_EQ(line("GET / HTTP/2.0"), 505);
  EXPECT_EQ(line("GET http://a/b HTTP/1.1"), 0);
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\n\r\n"), 400) << "a Host header is due";
}

TEST(RequestHeadTest, BoundsTheNumberOfHeaders) {
  std::string many;
  for (int i = 0; i < 200; ++i) many += "A: b\r\n";
  EXPECT_EQ(StatusOf(Get(many)), 431);
}

TEST(RequestHeadTest, OutlivesRandomBytes) {
  Random random(1);
  const std::string pieces[] = {"GET ",    "/", " HTTP/1.1", "\r\n", "\r",
                                "\n",      ":", " ",         "Host", "Content-Length",
                                "chunked", "%", "1",         "\0x",  "\xff"};
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (uint64_t n = random.Below(20); n > 0; --n) text += pieces[random.Below(std::size(pieces))];
    RequestHead head;
    ParseRequestHead(text, &head);
  }
}

TEST(ChunkedBodyTest, IsTheSameHoweverItIsCut) {
  const std::string bytes = "5\r\nhello\r\nA;x=y\r\n, and more\r\n0\r\nTrailer: x\r\n\r\nGET";
  for (size_t step = 1; step <= bytes.size(); ++step) {
    ChunkedBody body(100);
    HttpError error;
    size_t taken = 0;
    for (size_t at = 0; at < bytes.size() && !body.done(); at += step) {
      taken += body.Feed(std::string_view(bytes).substr(at, step), &error);
    }
    ASSERT_EQ(error.status, 0) << error.message;
    EXPECT_TRUE(body.done());
    EXPECT_EQ(body.body(), "hello, and more");
    EXPECT_EQ(taken, bytes.size() - 3);
  }
}

TEST(ChunkedBodyTest, RefusesWhatIsMalformedOrTooLarge) {
  const auto status = [](std::string_view bytes) {
    ChunkedBody body(10);
    HttpError error;
    body.Feed(bytes, &error);
    return error.status;
  };
  EXPECT_EQ(status("5\r\nhello\r\n6\r\n"), 413);
  EXPECT_EQ(status("ffffffffffffffffff\r\n"), 400);
  EXPECT_EQ(status("FFFFFFFFFFFFFFF\r\n"), 413);
  for (const char* bad : {"-1\r\n", "0x1\r\n", " 1\r\n", "\r\n", "1\nx", "1\r\nxy\r\n", "1\rx"}) {
    EXPECT_EQ(status(bad), 400) << bad;
  }
}

}  // namespace
}  // namespace longrun::net
