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
  Zero(Napi::Env env, int fd, int64_t offset, int64_t length, int method)
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

  Napi::Value result(Napi::Env env) override { return Napi::Number::New(env, method_); }

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
    int status;
    do status = call();
    while (status != 0 && errno == EINTR);
    return status == 0 ? 0 : errno;
  }

  int write_zeros() {
    const uint8_t* zeros = zero_pages();
    if (zeros == nullptr) return ENOMEM;
    int64_t done = 0;
    while (done < length_) {
      failed_at_ = start_ + done;
      size_t count = static_cast<size_t>(std::min<int64_t>(length_ - done, kZeroPages));
      ssize_t moved = pwrite(fd_, zeros, count, start_ + done);
      if (moved < 0 && errno == EINTR) continue;
      if (moved < 0) return errno;
      if (moved == 0) return ENOSPC;
      done += moved;
      if (done < length_) done -= done % 512;
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
Napi::Value zero(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return state(env).io.submit(env, std::make_unique<Zero>(env, int_of(info[0]), int64_of(info[1]), int64_of(info[2]),
                                                          int_of(info[3])));
}

}  // namespace

void init_zero(Napi::Env env, Napi::Object exports) {
  exports.Set("zero", Napi::Function::New(env, zero));
  Napi::Array names = Napi::Array::New(env, kMethods);
  for (uint32_t method = 0; method < kMethods; ++method) names.Set(method, kNames[method]);
  exports.Set("zeroMethods", names);
}

}  // namespace vdistream
