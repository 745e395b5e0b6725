// Positioned reads and writes of whole ranges: short counts and EINTR are our business, everything else is an error that
// names its offset.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "addon.h"
#include "sums.h"

namespace vdistream {

namespace {

// A range of sums to add to while the bytes are in this thread's cache; null when nobody asked for sums.
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
      if (!write_ && cut_by_end_of_file(done + static_cast<size_t>(moved))) break;
      // Nothing moved: a write that the device will not take, or a read past the end. ENODATA says the latter.
      if (moved == 0) return fail(write_ ? ENOSPC : ENODATA, write_ ? "write" : "read", where);
      done += static_cast<size_t>(moved);
      // O_DIRECT goes on only from a sector's start; after an odd count the cut sector is moved again.
      if (done < bytes_.length) done -= done % 512;
    }
    if (!write_) add();
  }

 private:
  // The last sector of a file may be cut; what is not there reads as zero, as it would on a device.
  bool cut_by_end_of_file(size_t done) {
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
