// Opening devices and files, and what the kernel reports about them.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "addon.h"
#include "arguments.h"
#include "attempts.h"

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
  struct Flags {
    bool write, direct, exclusive, create, unnamed;
  };

  Open(napi_env env, std::string path, Flags flags) : Task(env), path_(std::move(path)), flags_(flags) {}

  void run() override {
    // O_NONBLOCK: opening a fifo or a tape must not hang; it has no effect on block devices and files.
    int flags = (flags_.write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK;
    // O_EXCL without O_CREAT claims a block device for exclusive use; with O_CREAT it requires a new file.
    if (flags_.exclusive) flags |= O_EXCL;
    if (flags_.create) flags |= O_CREAT | O_EXCL;
    // Without O_EXCL, so that the file can be given a name later (open(2)).
    if (flags_.unnamed) flags |= O_TMPFILE;
    facts_.direct = flags_.direct;
    facts_.fd = open_retrying(flags_.direct ? flags | O_DIRECT : flags);
    if (facts_.fd < 0 && errno == EINVAL && flags_.direct) {
      // The file system does not support O_DIRECT (tmpfs before Linux 6.6, some network file systems). The failed call
      // may already have created the file, so now it is opened, not created.
      facts_.direct = false;
      int buffered = (flags & ~O_CREAT) | O_DSYNC;
      if (flags_.create) buffered &= ~O_EXCL;
      facts_.fd = open_retrying(buffered);
      if (facts_.fd < 0 && errno == ENOENT) facts_.fd = open_retrying(flags | O_DSYNC);
    }
    if (facts_.fd < 0) return fail(errno, "open");
    if (!inspect()) {
      int error = errno;
      close(facts_.fd);
      fail(error, "open");
    }
  }

  napi_value result(napi_env env) override {
    napi_value object = object_value(env);
    set_field(env, object, "fd", number_value(env, facts_.fd));
    set_field(env, object, "kind", text_value(env, facts_.kind));
    set_flag(env, object, "direct", facts_.direct);
    set_field(env, object, "size", number_value(env, static_cast<double>(facts_.size)));
    set_field(env, object, "sector", number_value(env, facts_.sector));
    set_field(env, object, "major", number_value(env, facts_.major));
    set_field(env, object, "minor", number_value(env, facts_.minor));
    return object;
  }

 private:
  int open_retrying(int flags) {
    return uninterrupted([&] { return open(path_.c_str(), flags, 0644); });
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
      if (flags_.write && ioctl(facts_.fd, BLKROGET, &read_only) == 0 && read_only != 0) {
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
  Flags flags_;
  Facts facts_;
};

napi_value open_device(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "open");
  std::string path = arguments.path(0);
  auto flag = [&](const char* name) { return arguments.flag(1, name); };
  Open::Flags flags{flag("write"), flag("direct"), flag("exclusive"), flag("create"), flag("unnamed")};
  if (arguments.refused()) return nullptr;
  return submit(env, std::make_unique<Open>(env, std::move(path), flags));
}

}  // namespace

void init_device(napi_env env, napi_value exports) { export_call(env, exports, "open", open_device); }

}  // namespace vdistream
