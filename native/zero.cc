// The zeroing cascade: the cheapest call that the target supports. All of them guarantee that the range reads as zero
// afterwards. Discard does not, so it is not used.
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "addon.h"
#include "arguments.h"
#include "attempts.h"

namespace vdistream {

namespace {

enum Method { kPunch, kZeroRange, kZeroOut, kWrite, kMethods };
constexpr const char* kNames[] = {"punch-hole", "zero-range", "BLKZEROOUT", "write"};
constexpr size_t kZeroPages = 1 << 20;

// 1 MiB of zeros for all threads: read-only pages, all backed by the kernel's zero page.
const uint8_t* zero_pages() {
  static const void* pages = mmap(nullptr, kZeroPages, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? nullptr : static_cast<const uint8_t*>(pages);
}

class Zero : public Task {
 public:
  Zero(napi_env env, int fd, int64_t offset, int64_t length, int method)
      : Task(env), fd_(fd), start_(offset), length_(length), method_(method) {}

  void run() override {
    for (; method_ < kMethods; ++method_) {
      int error = attempt();
      if (error == 0) return;
      // Try the next method if this one is not supported. Anything else, such as EIO or ENOSPC, is a failure.
      bool refused = error == EOPNOTSUPP || error == EINVAL || error == ENOTTY || error == ENODEV || error == ENOSYS;
      if (!refused || method_ == kWrite) return fail(error, kNames[method_], failed_at_);
    }
  }

  napi_value result(napi_env env) override { return number_value(env, method_); }

 private:
  int attempt() {
    failed_at_ = start_;
    switch (method_) {
      case kPunch:
        return retry([&] { return fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start_, length_); });
      case kZeroRange:
        return retry([&] { return fallocate(fd_, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, start_, length_); });
      case kZeroOut: {
        uint64_t range[2] = {static_cast<uint64_t>(start_), static_cast<uint64_t>(length_)};
        return retry([&] { return ioctl(fd_, BLKZEROOUT, range); });
      }
      default:
        return write_zeros();
    }
  }

  template <typename Call>
  static int retry(Call call) {
    return uninterrupted(call) == 0 ? 0 : errno;
  }

  int write_zeros() {
    const uint8_t* zeros = zero_pages();
    if (zeros == nullptr) return ENOMEM;
    Attempts attempts;
    for (int64_t done = 0; done < length_;) {
      failed_at_ = start_ + done;
      size_t count = static_cast<size_t>(std::min<int64_t>(length_ - done, kZeroPages));
      ssize_t moved = pwrite(fd_, zeros, count, start_ + done);
      if (moved < 0 && (errno != EINTR || !attempts.again(0))) return errno;
      if (moved < 0) continue;
      if (moved == 0) return ENOSPC;
      size_t kept = static_cast<size_t>(moved);
      if (kept < count) kept = whole_sectors(kept);
      if (!attempts.again(kept)) return EIO;
      done += static_cast<int64_t>(kept);
    }
    return 0;
  }

  int fd_;
  int64_t start_;
  int64_t length_;
  int method_;
  int64_t failed_at_ = 0;
};

// zero(fd, offset, length, method): tries the methods from `method` on, and resolves with the one that worked.
napi_value zero(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "zero");
  int fd = arguments.descriptor(0);
  int64_t offset = arguments.offset(1);
  int64_t length = arguments.integer(2, "length", 1, kMaxInteger);
  int method = static_cast<int>(arguments.integer(3, "method", 0, kMethods - 1));
  arguments.range(offset, length);
  if (arguments.refused()) return nullptr;
  return submit(env, std::make_unique<Zero>(env, fd, offset, length, method));
}

}  // namespace

void init_zero(napi_env env, napi_value exports) {
  export_call(env, exports, "zero", zero);
  napi_value names = nullptr;
  napi_create_array(env, &names);
  for (uint32_t method = 0; method < kMethods; ++method) napi_set_element(env, names, method, text_value(env, kNames[method]));
  set_field(env, exports, "zeroMethods", names);
}

}  // namespace vdistream
