// Positioned reads and writes of whole ranges. Short counts and EINTR are handled here; anything else is an error with
// its offset.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "addon.h"
#include "sums.h"

namespace vdistream {

namespace {

// The sums to update while the bytes are in this thread's cache; null if no sums are needed.
struct Sums {
  uint64_t* data = nullptr;
  size_t count = 0;
};

class Transfer : public Task {
 public:
  Transfer(Napi::Env env, bool write, int fd, Bytes bytes, int64_t offset, Sums sums)
      : Task(env), write_(write), fd_(fd), bytes_(bytes), offset_on_disk_(offset), sums_(sums) {}

  void run() override {
    if (write_) add();
    size_t done = 0;
    while (done < bytes_.length) {
      uint8_t* at = bytes_.data + done;
      size_t left = bytes_.length - done;
      int64_t where = offset_on_disk_ + static_cast<int64_t>(done);
      ssize_t moved = write_ ? pwrite(fd_, at, left, where) : pread(fd_, at, left, where);
      if (moved < 0 && errno == EINTR) continue;
      if (moved < 0) return fail(errno, write_ ? "write" : "read", where);
      if (!write_ && ends_in_partial_sector(done + static_cast<size_t>(moved))) break;
      // Nothing moved: the device accepts no more (ENOSPC), or the read is past the end (ENODATA).
      if (moved == 0) return fail(write_ ? ENOSPC : ENODATA, write_ ? "write" : "read", where);
      done += static_cast<size_t>(moved);
      // O_DIRECT must continue at the start of a sector, so a partial sector is transferred again.
      if (done < bytes_.length) done -= done % 512;
    }
    if (!write_) add();
  }

 private:
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
Napi::Value transfer(const Napi::CallbackInfo& info, bool write) {
  Napi::Env env = info.Env();
  Sums sums;
  if (info[3].IsTypedArray()) {
    auto array = info[3].As<Napi::BigUint64Array>();
    sums = {array.Data(), array.ElementLength()};
  }
  auto task = std::make_unique<Transfer>(env, write, int_of(info[0]), bytes_of(info[1]), int64_of(info[2]), sums);
  task->keep(info[1].As<Napi::Object>());
  if (sums.data != nullptr) task->keep(info[3].As<Napi::Object>());
  return state(env).io.submit(env, std::move(task));
}

}  // namespace

void init_io(Napi::Env env, Napi::Object exports) {
  exports.Set("read", Napi::Function::New(env, [](const Napi::CallbackInfo& info) { return transfer(info, false); }));
  exports.Set("write", Napi::Function::New(env, [](const Napi::CallbackInfo& info) { return transfer(info, true); }));
}

}  // namespace vdistream
