// Brings mapped files into memory in the order in which they will be used, on a thread of its own:
// whoever computes on the first tensors does so while the next are read.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace longrun::serving {

class ReadAhead {
 public:
  // Parts of mappings that outlive it.
  explicit ReadAhead(std::vector<std::span<const std::byte>> parts);
  ~ReadAhead();  // reads no further
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // Returns once parts [0, n) were brought in, or could not be: then touching them tells.
  void Await(size_t n) const;

 private:
  void Read();

  const std::vector<std::span<const std::byte>> parts_;
  mutable std::mutex mutex_;  // waiting on an atomic would keep a core from whoever reads
  mutable std::condition_variable more_;
  size_t done_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace longrun::serving
