// Shared by all files of the addon: the state of one environment, and access to arguments.
#pragma once

#include <napi.h>

#include "workers.h"

namespace vdistream {

// The queue depth on the device. Eight 2 MiB writes fill tapdisk's eight requests and the queue of a loop device.
constexpr unsigned kIoThreads = 8;

struct State {
  explicit State(Napi::Env env) : io(env, kIoThreads) {}
  Workers io;
};

inline State& state(Napi::Env env) { return *env.GetInstanceData<State>(); }

// A view of a Uint8Array argument. Valid during a synchronous call, and while the array is pinned (Task::keep).
struct Bytes {
  uint8_t* data;
  size_t length;
};

inline Bytes bytes_of(const Napi::Value& value) {
  auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

inline int64_t int64_of(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }
inline int int_of(const Napi::Value& value) { return value.As<Napi::Number>().Int32Value(); }

void init_memory(Napi::Env env, Napi::Object exports);
void init_device(Napi::Env env, Napi::Object exports);
void init_descriptor(Napi::Env env, Napi::Object exports);
void init_io(Napi::Env env, Napi::Object exports);
void init_zero(Napi::Env env, Napi::Object exports);
void init_scan(Napi::Env env, Napi::Object exports);
void init_sums(Napi::Env env, Napi::Object exports);
void init_inflate(Napi::Env env, Napi::Object exports);

}  // namespace vdistream
