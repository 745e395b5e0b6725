// The addon does only what JavaScript cannot: aligned memory, O_DIRECT I/O on its own threads, block-device ioctls,
// zeroing without writing, scans at memory speed, and inflate off the main thread. No call of JavaScript can crash it:
// arguments.h checks what is passed, and every loop is bounded.
#include "addon.h"

#include "result.h"

namespace vdistream {

namespace {

// The queue depth on the device. Eight 2 MiB writes fill tapdisk's eight requests and the queue of a loop device.
constexpr unsigned kIoThreads = 8;

struct State {
  explicit State(napi_env env) : io(env, kIoThreads) {}
  Workers io;
};

}  // namespace

napi_value submit(napi_env env, std::unique_ptr<Task> task) {
  void* state = nullptr;
  if (napi_get_instance_data(env, &state) != napi_ok || state == nullptr) return nullptr;
  return static_cast<State*>(state)->io.submit(env, std::move(task));
}

void export_call(napi_env env, napi_value exports, const char* name, napi_callback call) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
  set_field(env, exports, name, function);
}

static void init(napi_env env, napi_value exports) {
  napi_set_instance_data(env, new State(env), [](napi_env, void* state, void*) { delete static_cast<State*>(state); }, nullptr);
  init_memory(env, exports);
  init_device(env, exports);
  init_descriptor(env, exports);
  init_io(env, exports);
  init_zero(env, exports);
  init_scan(env, exports);
  init_sums(env, exports);
  init_inflate(env, exports);
}

}  // namespace vdistream

NAPI_MODULE_INIT() {
  vdistream::init(env, exports);
  return exports;
}
