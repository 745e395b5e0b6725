// Calls on an open descriptor that take no buffer: close, sync, truncate, link, lock, seeking data, and what the page cache holds.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "attempts.h"

namespace vdistream {

namespace {

class Call : public Task {
 public:
  // `call` returns a result of at least 0, or -1 with errno set.
  Call(napi_env env, const char* operation, std::function<int64_t()> call)
      : Task(env), name_(operation), call_(std::move(call)) {}
  void run() override {
    result_ = call_();
    if (result_ < 0) fail(errno, name_);
  }
  napi_value result(napi_env env) override { return number_value(env, static_cast<double>(result_)); }

 private:
  const char* name_;
  std::function<int64_t()> call_;
  int64_t result_ = 0;
};

napi_value submit_call(napi_env env, const Arguments& arguments, const char* operation, std::function<int64_t()> call) {
  if (arguments.refused()) return nullptr;
  return submit(env, std::make_unique<Call>(env, operation, std::move(call)));
}

// close is not retried on EINTR: on Linux the descriptor is closed anyway.
napi_value close_descriptor(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "close");
  int fd = arguments.descriptor(0);
  return submit_call(env, arguments, "close", [fd] { return close(fd); });
}

// fsync, not fdatasync, so that all metadata of an extended file is on the medium too.
napi_value sync_descriptor(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "sync");
  int fd = arguments.descriptor(0);
  return submit_call(env, arguments, "fsync", [fd] { return uninterrupted([fd] { return fsync(fd); }); });
}

napi_value truncate_descriptor(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "truncate");
  int fd = arguments.descriptor(0);
  int64_t length = arguments.integer(1, "length", 0, kMaxInteger);
  return submit_call(env, arguments, "truncate", [fd, length] { return uninterrupted([&] { return ftruncate(fd, length); }); });
}

// link(fd, path): gives an unnamed file its name; fails with EEXIST if there is one. Through /proc, because AT_EMPTY_PATH
// needs CAP_DAC_READ_SEARCH (linkat(2)).
napi_value link_descriptor(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "link");
  int fd = arguments.descriptor(0);
  std::string path = arguments.path(1);
  return submit_call(env, arguments, "link", [fd, path] {
    std::string open_file = "/proc/self/fd/" + std::to_string(fd);
    return uninterrupted([&] { return linkat(AT_FDCWD, open_file.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW); });
  });
}

// lock(fd): 1 if the whole file is now locked for this descriptor, 0 if another open file holds a conflicting lock. The lock is
// shared if the descriptor is open only for reading. An OFD lock (fcntl_locking(2)) ends when the descriptor is closed, also by
// a kill.
napi_value lock_descriptor(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "lock");
  int fd = arguments.descriptor(0);
  return submit_call(env, arguments, "lock", [fd]() -> int64_t {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -1;
    struct flock whole = {};
    whole.l_type = (flags & O_ACCMODE) == O_RDONLY ? F_RDLCK : F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (uninterrupted([&] { return fcntl(fd, F_OFD_SETLK, &whole); }) == 0) return 1;
    return errno == EAGAIN || errno == EACCES ? 0 : -1;
  });
}

// seekData(fd, offset) and seekHole(fd, offset): the next byte that is data, or a hole (lseek(2)); the end of the file if there is none.
// All of a file is data if its file system does not know.
template <int kWhence>
napi_value seek(napi_env env, napi_callback_info info) {
  constexpr const char* kName = kWhence == SEEK_DATA ? "seekData" : "seekHole";
  Arguments arguments(env, info, kName);
  int fd = arguments.descriptor(0);
  int64_t offset = arguments.offset(1);
  return submit_call(env, arguments, kName, [fd, offset]() -> int64_t {
    int64_t found = lseek(fd, offset, kWhence);
    if (found >= 0) return found;
    if (errno == EINVAL && kWhence == SEEK_DATA) return offset;
    if (errno == EINVAL || errno == ENXIO) return lseek(fd, 0, SEEK_END);
    return -1;
  });
}

constexpr int64_t kWindow = int64_t{1} << 30;

// Pages of a range that are in the page cache; -1 if that cannot be found out. There are none past the end.
int64_t resident_pages(int fd, int64_t offset, int64_t length) {
  int64_t page = sysconf(_SC_PAGESIZE);
  int64_t size = lseek(fd, 0, SEEK_END);
  if (size < 0) return -1;
  int64_t end = std::min(offset + length, size);
  int64_t count = 0;
  for (int64_t at = offset; at < end; at += kWindow) {
    size_t window = static_cast<size_t>(std::min(kWindow, end - at));
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
napi_value uncache_descriptor(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "uncache");
  int fd = arguments.descriptor(0);
  int64_t offset = arguments.offset(1);
  int64_t length = arguments.integer(2, "length", 0, kMaxInteger);
  arguments.range(offset, length);
  return submit_call(env, arguments, "uncache", [fd, offset, length]() -> int64_t {
    int error = posix_fadvise(fd, offset, length, POSIX_FADV_DONTNEED);
    if (error != 0) {
      errno = error;
      return -1;
    }
    return resident_pages(fd, offset, length);
  });
}

}  // namespace

void init_descriptor(napi_env env, napi_value exports) {
  export_call(env, exports, "close", close_descriptor);
  export_call(env, exports, "sync", sync_descriptor);
  export_call(env, exports, "truncate", truncate_descriptor);
  export_call(env, exports, "link", link_descriptor);
  export_call(env, exports, "lock", lock_descriptor);
  export_call(env, exports, "seekData", seek<SEEK_DATA>);
  export_call(env, exports, "seekHole", seek<SEEK_HOLE>);
  export_call(env, exports, "uncache", uncache_descriptor);
}

}  // namespace vdistream
