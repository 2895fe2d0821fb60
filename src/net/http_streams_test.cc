// Many streams at once, a client that does not read among them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <thread>

#include "base/file_limit.h"
#include "net/http_server.h"
#include "net/raw_socket_for_tests.h"

namespace longrun::net {
namespace {

struct Streams {
  std::mutex mutex;
  std::vector<std::shared_ptr<Responder>> open;
  std::shared_ptr<Responder> slow;
};

// Reads all sockets up to the end of their streams; how many bytes each gave.
std::vector<size_t> ReadAll(std::vector<std::unique_ptr<RawSocket>>& clients) {
  std::vector<std::string> tails(clients.size());
  std::vector<size_t> bytes(clients.size());
  std::vector<pollfd> waiting;
  for (const auto& client : clients) waiting.push_back({client->fd(), POLLIN, 0});
  size_t left = clients.size();
  while (left > 0) {
    if (::poll(waiting.data(), waiting.size(), 60'000) <= 0) break;
    for (size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].fd < 0 || waiting[i].revents == 0) continue;
      const std::string some = clients[i]->Read();
      bytes[i] += some.size();
      tails[i] =
          (tails[i] + some)
              .substr(tails[i].size() + some.size() > 7 ? tails[i].size() + some.size() - 7 : 0);
      if (!some.empty() && !tails[i].ends_with("\r\n0\r\n\r\n")) continue;
      if (some.empty()) bytes[i] = 0;  // cut off
      waiting[i].fd = -1;
      --left;
    }
  }
  return bytes;
}

TEST(Streams, TwoThousandGoOnBesideOneThatDoesNotRead) {
  constexpr size_t kStreams = 2000;
  constexpr int kTokens = 50;
  constexpr int64_t kFiles = 2 * kStreams + 200;  // each stream has a socket at both ends
  if (RaiseFileLimit(kFiles) < kFiles) GTEST_SKIP() << "too few file descriptors are allowed";
  ServerOptions options;
  options.threads = 2;
  options.stream_buffer_bytes = 64 << 10;
  Streams streams;
  auto server = Server::Start(options, [&](Request request, std::shared_ptr<Responder> responder) {
    responder->Begin({});
    const std::lock_guard lock(streams.mutex);
    if (request.path == "/slow") {
      streams.slow = std::move(responder);
    } else {
      streams.open.push_back(std::move(responder));
    }
  });
  ASSERT_TRUE(server.ok());
  RawSocket slow((*server)->port(), 4096);
  slow.Send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  std::vector<std::unique_ptr<RawSocket>> clients;
  for (size_t i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<RawSocket>((*server)->port()));
    clients.back()->Send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  while (true) {
    const std::lock_guard lock(streams.mutex);
    if (streams.open.size() == kStreams && streams.slow != nullptr) break;
    std::this_thread::yield();
  }
  // The engine's side: a token for each stream a step, and for the slow one as many bytes as it
  // takes until it is cut off. What is taken without being read is bounded by the stream's buffer
  // and the kernel's.
  int64_t taken_bytes = 0;
  bool cut = false;
  const std::string big(16 << 10, 's');
  std::thread engine([&] {
    for (int step = 0; step < kTokens; ++step) {
      for (const auto& responder : streams.open) EXPECT_TRUE(responder->Write("data: token\n\n"));
      for (int i = 0; i < 64 && !cut; ++i) {
        cut = !streams.slow->Write(big);
        if (!cut) taken_bytes += static_cast<int64_t>(big.size());
      }
    }
    for (const auto& responder : streams.open) responder->End();
  });
  const std::vector<size_t> bytes = ReadAll(clients);
  engine.join();
  EXPECT_TRUE(cut);
  EXPECT_LT(taken_bytes, 8 << 20);
  EXPECT_FALSE(streams.slow->Write("more"));
  for (size_t i = 0; i < kStreams; ++i) ASSERT_GT(bytes[i], kTokens * 13u) << "stream " << i;
}

// Clients take what comes, but a large chunk takes longer than the next token.
TEST(Streams, AChunkLargerThanTheBufferDoesNotCutOffItsReader) {
  constexpr size_t kLarge = 8 << 20;
  bool taken = true;
  const auto server = Server::Start({}, [&](Request, std::shared_ptr<Responder> responder) {
    responder->Begin({});
    for (const size_t bytes : {size_t{100}, kLarge, size_t{100}, kLarge, size_t{100}})
      taken = taken && responder->Write(std::string(bytes, 'x'));
    responder->End();
  });
  ASSERT_TRUE(server.ok());
  RawSocket client((*server)->port());
  client.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const std::string all = client.ReadToEnd();
  EXPECT_TRUE(taken);
  EXPECT_GT(all.size(), 2 * kLarge);
  EXPECT_TRUE(all.ends_with("\r\n0\r\n\r\n"));
}

TEST(Streams, AllTokensArriveInOrderFromAnyThread) {
  constexpr int kTokens = 20'000;
  std::vector<std::thread> writers;
  std::mutex mutex;
  auto server = Server::Start({}, [&](Request, std::shared_ptr<Responder> responder) {
    const std::lock_guard lock(mutex);
    writers.emplace_back([responder] {
      responder->Begin({});
      for (int i = 0; i < kTokens; ++i) {
        // What the client has not read yet is bounded, so a writer this fast waits for it.
        if (!responder->Write(std::to_string(i % 10))) return;
        if (i % 1000 == 999) std::this_thread::yield();
      }
      responder->End();
    });
  });
  ASSERT_TRUE(server.ok());
  RawSocket client((*server)->port());
  client.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  std::string all = client.ReadToEnd();
  all.erase(0, all.find("\r\n\r\n") + 4);
  std::string digits;
  for (size_t at = 0; all.compare(at, 3, "1\r\n") == 0; at += 6) digits += all[at + 3];
  ASSERT_EQ(digits.size(), static_cast<size_t>(kTokens));
  for (size_t i = 0; i < digits.size(); ++i) ASSERT_EQ(digits[i], '0' + static_cast<int>(i % 10));
  for (std::thread& writer : writers) writer.join();
}

}  // namespace
}  // namespace longrun::net
