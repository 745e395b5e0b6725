// The addon does only what JavaScript cannot: aligned memory, O_DIRECT I/O on its own threads, block-device ioctls,
// zeroing without writing, scans at memory speed, and inflate off the main thread. Arguments are not checked here: they
// come only from src/host/native.ts, which declares their types.
#include "addon.h"

namespace vdistream {

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new State(env));
  init_memory(env, exports);
  init_device(env, exports);
  init_descriptor(env, exports);
  init_io(env, exports);
  init_zero(env, exports);
  init_scan(env, exports);
  init_sums(env, exports);
  init_inflate(env, exports);
  return exports;
}

NODE_API_MODULE(vdistream, init)

}  // namespace vdistream
