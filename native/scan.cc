// Finding zeros. The scan of a grain stops at its first non-zero word, so data costs almost nothing; only zeros are read
// completely, at memory speed.
#include <algorithm>
#include <cstring>

#include "addon.h"
#include "arguments.h"

namespace vdistream {

namespace {

// 32 bytes. GCC maps this to SSE2, AVX2 or NEON, depending on the target.
typedef uint64_t Vector __attribute__((vector_size(32)));

// At any address: a view of a buffer may begin anywhere.
inline void load(Vector& vector, const uint8_t* at) { std::memcpy(&vector, at, sizeof vector); }

bool is_zero(const uint8_t* data, size_t length) {
  constexpr size_t kVector = sizeof(Vector);
  constexpr size_t kStep = 4 * kVector;
  size_t at = 0;
  for (; at + kStep <= length; at += kStep) {
    Vector a, b, c, d;
    load(a, data + at);
    load(b, data + at + kVector);
    load(c, data + at + 2 * kVector);
    load(d, data + at + 3 * kVector);
    Vector any = (a | b) | (c | d);
    if ((any[0] | any[1] | any[2] | any[3]) != 0) return false;
  }
  for (; at < length; ++at)
    if (data[at] != 0) return false;
  return true;
}

// zeroRuns(bytes, grain): [start, end, start, end, …] of the runs of zero grains; the last grain may be short.
napi_value zero_runs(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "zeroRuns");
  Bytes bytes = arguments.bytes(0, "bytes");
  size_t grain = static_cast<size_t>(arguments.integer(1, "grain", 1, kMaxInteger));
  if (arguments.refused()) return nullptr;
  napi_value runs = nullptr;
  napi_create_array(env, &runs);
  uint32_t count = 0;
  auto add = [&](size_t at) { napi_set_element(env, runs, count++, number_value(env, static_cast<double>(at))); };
  bool inside = false;
  for (size_t at = 0; at < bytes.length; at += grain) {
    bool zero = is_zero(bytes.data + at, std::min(grain, bytes.length - at));
    if (zero != inside) add(at);
    inside = zero;
  }
  if (inside) add(bytes.length);
  return runs;
}

// firstDifference(a, b): index of the first byte that differs, -1 if there is none; both have the same length.
napi_value first_difference(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "firstDifference");
  Bytes a = arguments.bytes(0, "a");
  Bytes b = arguments.bytes(1, "b");
  arguments.require(a.length == b.length, "a and b must have the same length");
  if (arguments.refused()) return nullptr;
  double index = -1;
  if (a.length > 0 && std::memcmp(a.data, b.data, a.length) != 0)
    index = static_cast<double>(std::mismatch(a.data, a.data + a.length, b.data).first - a.data);
  return number_value(env, index);
}

// firstNonZero(bytes): index of the first byte that is not zero, -1 if there is none.
napi_value first_non_zero(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "firstNonZero");
  Bytes bytes = arguments.bytes(0, "bytes");
  if (arguments.refused()) return nullptr;
  double index = -1;
  if (!is_zero(bytes.data, bytes.length)) {
    auto* end = bytes.data + bytes.length;
    index = static_cast<double>(std::find_if(bytes.data, end, [](uint8_t byte) { return byte != 0; }) - bytes.data);
  }
  return number_value(env, index);
}

}  // namespace

void init_scan(napi_env env, napi_value exports) {
  export_call(env, exports, "zeroRuns", zero_runs);
  export_call(env, exports, "firstDifference", first_difference);
  export_call(env, exports, "firstNonZero", first_non_zero);
}

}  // namespace vdistream
