// Opening and closing devices and files, and what the kernel reports about them.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "addon.h"

namespace vdistream {

namespace {

// Facts about an open descriptor; sizes in bytes.
struct Facts {
  int fd = -1;
  const char* kind = "other";  // "block", "file" or "other"
  bool direct = false;
  int64_t size = 0;
  int sector = 512;  // smallest unit of O_DIRECT I/O
  unsigned major = 0;
  unsigned minor = 0;
};

class Open : public Task {
 public:
  Open(Napi::Env env, std::string path, bool write, bool direct, bool exclusive, bool create)
      : Task(env), path_(std::move(path)), write_(write), direct_(direct), exclusive_(exclusive), create_(create) {}

  void run() override {
    // O_NONBLOCK: opening a fifo or a tape must not hang; it has no effect on block devices and files.
    int flags = (write_ ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK;
    // O_EXCL without O_CREAT claims a block device for exclusive use; with O_CREAT it requires a new file.
    if (exclusive_) flags |= O_EXCL;
    if (create_) flags |= O_CREAT | O_EXCL;
    facts_.direct = direct_;
    facts_.fd = open_retrying(direct_ ? flags | O_DIRECT : flags);
    if (facts_.fd < 0 && errno == EINVAL && direct_) {
      // The file system does not support O_DIRECT (tmpfs before Linux 6.6, some network file systems). The failed call
      // may already have created the file, so now it is opened, not created.
      facts_.direct = false;
      int buffered = (flags & ~O_CREAT) | O_DSYNC;
      if (create_) buffered &= ~O_EXCL;
      facts_.fd = open_retrying(buffered);
      if (facts_.fd < 0 && errno == ENOENT) facts_.fd = open_retrying(flags | O_DSYNC);
    }
    if (facts_.fd < 0) return fail(errno, "open", -1);
    if (!inspect()) {
      int error = errno;
      close(facts_.fd);
      fail(error, "open", -1);
    }
  }

  Napi::Value result(Napi::Env env) override {
    Napi::Object object = Napi::Object::New(env);
    object.Set("fd", facts_.fd);
    object.Set("kind", facts_.kind);
    object.Set("direct", facts_.direct);
    object.Set("size", static_cast<double>(facts_.size));
    object.Set("sector", facts_.sector);
    object.Set("major", facts_.major);
    object.Set("minor", facts_.minor);
    return object;
  }

 private:
  int open_retrying(int flags) {
    int fd;
    do fd = open(path_.c_str(), flags, 0644);
    while (fd < 0 && errno == EINTR);
    return fd;
  }

  bool inspect() {
    struct stat status;
    if (fstat(facts_.fd, &status) != 0) return false;
    if (S_ISREG(status.st_mode)) {
      facts_.kind = "file";
      facts_.size = status.st_size;
      // O_DIRECT on a file on a 4Kn disk needs multiples of 4096.
      facts_.sector = facts_.direct ? 4096 : 512;
    } else if (S_ISBLK(status.st_mode)) {
      facts_.kind = "block";
      uint64_t size = 0;
      if (ioctl(facts_.fd, BLKGETSIZE64, &size) != 0 || ioctl(facts_.fd, BLKSSZGET, &facts_.sector) != 0) return false;
      // Root can open a read-only device for writing; only the first write would fail.
      int read_only = 0;
      if (write_ && ioctl(facts_.fd, BLKROGET, &read_only) == 0 && read_only != 0) {
        errno = EROFS;
        return false;
      }
      facts_.size = static_cast<int64_t>(size);
      facts_.major = major(status.st_rdev);
      facts_.minor = minor(status.st_rdev);
    }
    return true;
  }

  std::string path_;
  bool write_, direct_, exclusive_, create_;
  Facts facts_;
};

// close, fdatasync and ftruncate differ in one call.
class Simple : public Task {
 public:
  Simple(Napi::Env env, const char* operation, int fd, int64_t length, int (*call)(int, int64_t))
      : Task(env), name_(operation), fd_(fd), length_(length), call_(call) {}
  void run() override {
    if (call_(fd_, length_) != 0) fail(errno, name_, -1);
  }

 private:
  const char* name_;
  int fd_;
  int64_t length_;
  int (*call_)(int, int64_t);
};

Napi::Value open_device(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto options = info[1].As<Napi::Object>();
  auto flag = [&](const char* name) { return options.Get(name).ToBoolean().Value(); };
  return state(env).io.submit(env, std::make_unique<Open>(env, info[0].As<Napi::String>().Utf8Value(), flag("write"),
                                                          flag("direct"), flag("exclusive"), flag("create")));
}

Napi::Value simple(const Napi::CallbackInfo& info, const char* operation, int64_t length, int (*call)(int, int64_t)) {
  Napi::Env env = info.Env();
  return state(env).io.submit(env, std::make_unique<Simple>(env, operation, int_of(info[0]), length, call));
}

// close is not retried on EINTR: on Linux the descriptor is closed anyway.
Napi::Value close_device(const Napi::CallbackInfo& info) {
  return simple(info, "close", 0, [](int fd, int64_t) { return close(fd); });
}

// fsync, not fdatasync, so that all metadata of an extended file is on the medium too.
Napi::Value sync_device(const Napi::CallbackInfo& info) {
  return simple(info, "fsync", 0, [](int fd, int64_t) { return fsync(fd); });
}

Napi::Value truncate_device(const Napi::CallbackInfo& info) {
  return simple(info, "truncate", int64_of(info[1]), [](int fd, int64_t length) { return ftruncate(fd, length); });
}

}  // namespace

void init_device(Napi::Env env, Napi::Object exports) {
  exports.Set("open", Napi::Function::New(env, open_device));
  exports.Set("close", Napi::Function::New(env, close_device));
  exports.Set("sync", Napi::Function::New(env, sync_device));
  exports.Set("truncate", Napi::Function::New(env, truncate_device));
}

}  // namespace vdistream
