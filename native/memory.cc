// Memory for O_DIRECT: whole pages, which are aligned for 512-byte and 4096-byte sectors. Huge pages if possible: a
// 2 MiB write then pins one page instead of 512.
#include <sys/mman.h>

#include "addon.h"

namespace vdistream {

static Napi::Value allocate(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  size_t length = static_cast<size_t>(int64_of(info[0]));
  void* memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    Napi::Error::New(env, "cannot allocate an I/O buffer").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  madvise(memory, length, MADV_HUGEPAGE);  // only a hint
  return Napi::ArrayBuffer::New(env, memory, length, [length](Napi::Env, void* data) { munmap(data, length); });
}

void init_memory(Napi::Env env, Napi::Object exports) { exports.Set("allocate", Napi::Function::New(env, allocate)); }

}  // namespace vdistream
