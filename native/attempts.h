// The bound of every loop that repeats a system call: an operation that makes no progress is an error.
#pragma once

#include <cerrno>
#include <cstddef>

namespace vdistream {

class Attempts {
 public:
  // Whether to try again after an attempt that moved `moved` bytes: not if too many in a row moved none.
  bool again(size_t moved) {
    idle_ = moved > 0 ? 0 : idle_ + 1;
    return idle_ < kLimit;
  }

 private:
  static constexpr int kLimit = 100;
  int idle_ = 0;
};

// Repeats a call that a signal interrupts. It returns a negative number with errno set when it fails.
template <typename Call>
auto uninterrupted(Call call) {
  Attempts attempts;
  auto result = call();
  while (result < 0 && errno == EINTR && attempts.again(0)) result = call();
  return result;
}

// Of a short transfer, what is kept: O_DIRECT continues at the start of a sector, of 4096 bytes if there is a whole one.
inline size_t whole_sectors(size_t moved) {
  size_t pages = moved - moved % 4096;
  return pages > 0 ? pages : moved - moved % 512;
}

}  // namespace vdistream
