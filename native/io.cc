// Positioned reads and writes of whole ranges. Short counts and EINTR are handled here; anything else is an error with
// its offset.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "addon.h"
#include "arguments.h"
#include "attempts.h"
#include "sums.h"

namespace vdistream {

namespace {

class Transfer : public Task {
 public:
  // `sums` are updated while the bytes are in this thread's cache.
  Transfer(napi_env env, bool write, int fd, Bytes bytes, int64_t offset, Sums sums)
      : Task(env), write_(write), fd_(fd), bytes_(bytes), offset_on_disk_(offset), sums_(sums) {}

  void run() override {
    if (write_) add();
    Attempts attempts;
    for (size_t done = 0; done < bytes_.length;) {
      uint8_t* at = bytes_.data + done;
      size_t left = bytes_.length - done;
      int64_t where = offset_on_disk_ + static_cast<int64_t>(done);
      ssize_t moved = write_ ? pwrite(fd_, at, left, where) : pread(fd_, at, left, where);
      if (moved < 0 && errno == EINTR && attempts.again(0)) continue;
      if (moved < 0) return fail(errno, name(), where);
      if (!write_ && ends_in_partial_sector(done + static_cast<size_t>(moved))) break;
      // Nothing moved: the device accepts no more (ENOSPC), or the read is past the end (ENODATA).
      if (moved == 0) return fail(write_ ? ENOSPC : ENODATA, name(), where);
      size_t kept = static_cast<size_t>(moved);
      if (kept < left) kept = whole_sectors(kept);
      // Less than a sector, again and again: a device that is broken, or a file that has been cut.
      if (!attempts.again(kept)) return fail(EIO, name(), where);
      done += kept;
    }
    if (!write_) add();
  }

 private:
  const char* name() const { return write_ ? "write" : "read"; }

  // The last sector of a file may be partial; the rest of it reads as zero, as on a device.
  bool ends_in_partial_sector(size_t done) {
    struct stat status;
    size_t left = bytes_.length - done;
    if (left == 0 || left >= 4096 || fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) return false;
    if (offset_on_disk_ + static_cast<int64_t>(done) < status.st_size) return false;
    std::memset(bytes_.data + done, 0, left);
    return true;
  }

  void add() {
    if (sums_.data != nullptr) add_sums(sums_.data, sums_.count, bytes_.data, bytes_.length, offset_on_disk_);
  }

  bool write_;
  int fd_;
  Bytes bytes_;
  int64_t offset_on_disk_;
  Sums sums_;
};

// read(fd, bytes, offset, sums?) and write(fd, bytes, offset, sums?)
template <bool kWrite>
napi_value transfer(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, kWrite ? "write" : "read");
  int fd = arguments.descriptor(0);
  Bytes bytes = arguments.bytes(1, "bytes");
  int64_t offset = arguments.offset(2);
  Sums sums = arguments.optional_sums(3);
  arguments.range(offset, static_cast<int64_t>(bytes.length));
  if (sums.data != nullptr) arguments.sectors(offset, bytes.length);
  if (arguments.refused()) return nullptr;
  auto task = std::make_unique<Transfer>(env, kWrite, fd, bytes, offset, sums);
  task->keep(arguments[1]);
  if (sums.data != nullptr) task->keep(arguments[3]);
  return submit(env, std::move(task));
}

}  // namespace

void init_io(napi_env env, napi_value exports) {
  export_call(env, exports, "read", transfer<false>);
  export_call(env, exports, "write", transfer<true>);
}

}  // namespace vdistream
