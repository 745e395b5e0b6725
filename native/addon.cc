// The addon does only what JavaScript cannot: aligned memory, O_DIRECT I/O on its own threads, block-device ioctls,
// zeroing without writing, scans at memory speed, and hashes and gzip off the main thread. No call of JavaScript can crash it:
// arguments.h checks what is passed, and every loop is bounded.
#include "addon.h"

#include <sched.h>

#include "result.h"

namespace vdistream {

namespace {

// The queue depth on the device. Eight 2 MiB writes fill tapdisk's eight requests and the queue of a loop device.
constexpr unsigned kIoThreads = 8;

// Compressing on more of them than this is faster than any disk.
constexpr unsigned kMaxComputing = 16;

unsigned processors() {
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return kMaxComputing;
  const unsigned count = static_cast<unsigned>(CPU_COUNT(&usable));
  return count < kMaxComputing ? count : kMaxComputing;
}

struct State {
  explicit State(napi_env env) : io(env, kIoThreads), computing(env, processors()) {}
  Workers io;
  Workers computing;
};

State* state_of(napi_env env) {
  void* state = nullptr;
  return napi_get_instance_data(env, &state) == napi_ok ? static_cast<State*>(state) : nullptr;
}

}  // namespace

napi_value submit(napi_env env, std::unique_ptr<Task> task) {
  State* state = state_of(env);
  return state == nullptr ? nullptr : state->io.submit(env, std::move(task));
}

napi_value submit_computation(napi_env env, std::unique_ptr<Task> task) {
  State* state = state_of(env);
  return state == nullptr ? nullptr : state->computing.submit(env, std::move(task));
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
  init_hash(env, exports);
  init_inflate(env, exports);
  init_deflate(env, exports);
}

}  // namespace vdistream

NAPI_MODULE_INIT() {
  vdistream::init(env, exports);
  return exports;
}
