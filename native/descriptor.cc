// Calls on an open descriptor that take no buffer: close, sync, truncate, link, lock, and what the page cache holds.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include "addon.h"

namespace vdistream {

namespace {

class Call : public Task {
 public:
  // `call` returns a result of at least 0, or -1 with errno set.
  Call(Napi::Env env, const char* operation, std::function<int64_t()> call)
      : Task(env), name_(operation), call_(std::move(call)) {}
  void run() override {
    result_ = call_();
    if (result_ < 0) fail(errno, name_, -1);
  }
  Napi::Value result(Napi::Env env) override { return Napi::Number::New(env, static_cast<double>(result_)); }

 private:
  const char* name_;
  std::function<int64_t()> call_;
  int64_t result_ = 0;
};

Napi::Value submit(const Napi::CallbackInfo& info, const char* operation, std::function<int64_t()> call) {
  return state(info.Env()).io.submit(info.Env(), std::make_unique<Call>(info.Env(), operation, std::move(call)));
}

// close is not retried on EINTR: on Linux the descriptor is closed anyway.
Napi::Value close_descriptor(const Napi::CallbackInfo& info) {
  return submit(info, "close", [fd = int_of(info[0])] { return close(fd); });
}

// fsync, not fdatasync, so that all metadata of an extended file is on the medium too.
Napi::Value sync_descriptor(const Napi::CallbackInfo& info) {
  return submit(info, "fsync", [fd = int_of(info[0])] { return fsync(fd); });
}

Napi::Value truncate_descriptor(const Napi::CallbackInfo& info) {
  return submit(info, "truncate", [fd = int_of(info[0]), length = int64_of(info[1])] { return ftruncate(fd, length); });
}

// link(fd, path): gives an unnamed file its name; fails with EEXIST if there is one. Through /proc, because AT_EMPTY_PATH
// needs CAP_DAC_READ_SEARCH (linkat(2)).
Napi::Value link_descriptor(const Napi::CallbackInfo& info) {
  return submit(info, "link", [fd = int_of(info[0]), path = info[1].As<Napi::String>().Utf8Value()] {
    std::string open_file = "/proc/self/fd/" + std::to_string(fd);
    return linkat(AT_FDCWD, open_file.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW);
  });
}

// lock(fd): 1 if the whole file is now locked for this descriptor, 0 if another open file holds a conflicting lock. The lock is
// shared if the descriptor is open only for reading. An OFD lock (fcntl_locking(2)) ends when the descriptor is closed, also by
// a kill.
Napi::Value lock_descriptor(const Napi::CallbackInfo& info) {
  return submit(info, "lock", [fd = int_of(info[0])]() -> int64_t {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -1;
    struct flock whole = {};
    whole.l_type = (flags & O_ACCMODE) == O_RDONLY ? F_RDLCK : F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0) return 1;
    return errno == EAGAIN || errno == EACCES ? 0 : -1;
  });
}

constexpr int64_t kWindow = int64_t{1} << 30;

// Pages of a range that are in the page cache; -1 if that cannot be found out.
int64_t resident_pages(int fd, int64_t offset, int64_t length) {
  int64_t page = sysconf(_SC_PAGESIZE);
  int64_t count = 0;
  for (int64_t at = offset; at < offset + length; at += kWindow) {
    size_t window = static_cast<size_t>(std::min(kWindow, offset + length - at));
    void* map = mmap(nullptr, window, PROT_READ, MAP_SHARED, fd, at);
    if (map == MAP_FAILED) return -1;
    std::vector<unsigned char> pages((window + page - 1) / page);
    int status = mincore(map, window, pages.data());
    int error = errno;
    munmap(map, window);
    errno = error;
    if (status != 0) return -1;
    count += std::count_if(pages.begin(), pages.end(), [](unsigned char flags) { return (flags & 1) != 0; });
  }
  return count;
}

// uncache(fd, offset, length): drops clean pages of the range from the page cache, and resolves with the number of those that
// stayed. `offset` is a multiple of the page size.
Napi::Value uncache_descriptor(const Napi::CallbackInfo& info) {
  return submit(info, "uncache", [fd = int_of(info[0]), offset = int64_of(info[1]), length = int64_of(info[2])]() -> int64_t {
    int error = posix_fadvise(fd, offset, length, POSIX_FADV_DONTNEED);
    if (error != 0) {
      errno = error;
      return -1;
    }
    return resident_pages(fd, offset, length);
  });
}

}  // namespace

void init_descriptor(Napi::Env env, Napi::Object exports) {
  exports.Set("close", Napi::Function::New(env, close_descriptor));
  exports.Set("sync", Napi::Function::New(env, sync_descriptor));
  exports.Set("truncate", Napi::Function::New(env, truncate_descriptor));
  exports.Set("link", Napi::Function::New(env, link_descriptor));
  exports.Set("lock", Napi::Function::New(env, lock_descriptor));
  exports.Set("uncache", Napi::Function::New(env, uncache_descriptor));
}

}  // namespace vdistream
