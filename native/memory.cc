// Memory for O_DIRECT: whole pages, which are aligned for 512-byte and 4096-byte sectors. Huge pages if possible: a
// 2 MiB write then pins one page instead of 512.
#include "memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <map>
#include <mutex>

#include "addon.h"
#include "arguments.h"

namespace vdistream {

namespace {

struct Mapping {
  Mapping(void* start, size_t size) : data(start), length(size) {}
  ~Mapping() { munmap(data, length); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  void* const data;
  const size_t length;
};

// Of all environments, by address: a buffer can be transferred to another one.
struct Mappings {
  std::mutex mutex;
  std::map<uintptr_t, std::shared_ptr<Mapping>> by_address;
};

Mappings& mappings() {
  static auto* all = new Mappings;  // never destroyed: threads of Node may outlive static objects
  return *all;
}

uintptr_t number_of(const void* address) { return reinterpret_cast<uintptr_t>(address); }

void forget(napi_env, void* data, void*) {
  std::shared_ptr<Mapping> last;  // unmapped without the lock
  std::lock_guard<std::mutex> lock(mappings().mutex);
  auto found = mappings().by_address.find(number_of(data));
  if (found == mappings().by_address.end()) return;
  last = std::move(found->second);
  mappings().by_address.erase(found);
}

}  // namespace

std::shared_ptr<void> mapping_of(const void* address) {
  std::lock_guard<std::mutex> lock(mappings().mutex);
  auto next = mappings().by_address.upper_bound(number_of(address));
  if (next == mappings().by_address.begin()) return nullptr;
  const std::shared_ptr<Mapping>& found = std::prev(next)->second;
  return number_of(address) - number_of(found->data) < found->length ? found : nullptr;
}

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
  {
    std::lock_guard<std::mutex> lock(mappings().mutex);
    mappings().by_address.emplace(number_of(memory), std::make_shared<Mapping>(memory, length));
  }
  napi_value buffer = nullptr;
  if (napi_create_external_arraybuffer(env, memory, length, forget, nullptr, &buffer) != napi_ok) forget(env, memory, nullptr);
  return buffer;
}

void init_memory(napi_env env, napi_value exports) { export_call(env, exports, "allocate", allocate); }

}  // namespace vdistream
