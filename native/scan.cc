// Finding zeros. The scan of a grain stops at its first non-zero word, so data costs almost nothing; only zeros are read
// completely, at memory speed.
#include <algorithm>
#include <cstring>

#include "addon.h"

namespace vdistream {

namespace {

// 32 bytes. GCC maps this to SSE2, AVX2 or NEON, depending on the target.
typedef uint64_t Vector __attribute__((vector_size(32), aligned(1), may_alias));

bool is_zero(const uint8_t* data, size_t length) {
  constexpr size_t kStep = 4 * sizeof(Vector);
  size_t at = 0;
  for (; at + kStep <= length; at += kStep) {
    auto* step = reinterpret_cast<const Vector*>(data + at);
    Vector any = (step[0] | step[1]) | (step[2] | step[3]);
    if ((any[0] | any[1] | any[2] | any[3]) != 0) return false;
  }
  for (; at < length; ++at)
    if (data[at] != 0) return false;
  return true;
}

// zeroRuns(bytes, grain): [start, end, start, end, …] of the runs of zero grains; the last grain may be short.
Napi::Value zero_runs(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Bytes bytes = bytes_of(info[0]);
  size_t grain = static_cast<size_t>(int64_of(info[1]));
  Napi::Array runs = Napi::Array::New(env);
  uint32_t count = 0;
  bool inside = false;
  for (size_t at = 0; at < bytes.length; at += grain) {
    bool zero = is_zero(bytes.data + at, std::min(grain, bytes.length - at));
    if (zero != inside) runs.Set(count++, Napi::Number::New(env, static_cast<double>(at)));
    inside = zero;
  }
  if (inside) runs.Set(count++, Napi::Number::New(env, static_cast<double>(bytes.length)));
  return runs;
}

// firstDifference(a, b): index of the first byte that differs, -1 if there is none. firstNonZero(bytes): of the first
// byte that is not zero.
Napi::Value first_difference(const Napi::CallbackInfo& info) {
  Bytes a = bytes_of(info[0]);
  Bytes b = bytes_of(info[1]);
  double index = -1;
  if (std::memcmp(a.data, b.data, a.length) != 0)
    index = static_cast<double>(std::mismatch(a.data, a.data + a.length, b.data).first - a.data);
  return Napi::Number::New(info.Env(), index);
}

Napi::Value first_non_zero(const Napi::CallbackInfo& info) {
  Bytes bytes = bytes_of(info[0]);
  double index = -1;
  if (!is_zero(bytes.data, bytes.length)) {
    auto* end = bytes.data + bytes.length;
    index = static_cast<double>(std::find_if(bytes.data, end, [](uint8_t byte) { return byte != 0; }) - bytes.data);
  }
  return Napi::Number::New(info.Env(), index);
}

}  // namespace

void init_scan(Napi::Env env, Napi::Object exports) {
  exports.Set("zeroRuns", Napi::Function::New(env, zero_runs));
  exports.Set("firstDifference", Napi::Function::New(env, first_difference));
  exports.Set("firstNonZero", Napi::Function::New(env, first_non_zero));
}

}  // namespace vdistream
