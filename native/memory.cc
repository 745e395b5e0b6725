// Memory for O_DIRECT: whole pages, which are aligned for 512-byte and 4096-byte sectors. Huge pages if possible: a
// 2 MiB write then pins one page instead of 512.
#include <sys/mman.h>

#include <cerrno>

#include "addon.h"
#include "arguments.h"

namespace vdistream {

// More than V8 accepts in one buffer would end the process.
constexpr int64_t kMaxBuffer = int64_t{32} << 30;

// allocate(length): zeros. Throws ENOMEM.
static napi_value allocate(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "allocate");
  size_t length = static_cast<size_t>(arguments.integer(0, "length", 1, kMaxBuffer));
  if (arguments.refused()) return nullptr;
  void* memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    napi_throw(env, error_value(env, errno, "allocate"));
    return nullptr;
  }
  madvise(memory, length, MADV_HUGEPAGE);  // only a hint
  napi_value buffer = nullptr;
  auto release = [](napi_env, void* data, void* size) { munmap(data, reinterpret_cast<size_t>(size)); };
  if (napi_create_external_arraybuffer(env, memory, length, release, reinterpret_cast<void*>(length), &buffer) != napi_ok) {
    munmap(memory, length);
    return nullptr;
  }
  return buffer;
}

void init_memory(napi_env env, napi_value exports) { export_call(env, exports, "allocate", allocate); }

}  // namespace vdistream
