// The arguments of a call, checked where they are read. A wrong type throws a TypeError, a value out of range a RangeError.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <memory>
#include <string>

namespace vdistream {

// A view of a Uint8Array. Valid during a synchronous call, and while the array is pinned (Task::keep).
struct Bytes {
  uint8_t* data = nullptr;
  size_t length = 0;
  std::shared_ptr<void> mapping = nullptr;  // see memory.h
};

// A view of a BigUint64Array; null if none was passed.
struct Sums {
  uint64_t* data = nullptr;
  size_t count = 0;
};

constexpr int64_t kMaxInteger = (int64_t{1} << 53) - 1;  // Number.MAX_SAFE_INTEGER

// Read all arguments, then ask `refused`: after the first wrong one, an exception is pending and the rest are not looked at.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info, const char* call);
  bool refused() const { return refused_; }

  napi_value operator[](size_t index) const { return values_[index]; }
  napi_value receiver() const { return receiver_; }  // `this`

  int descriptor(size_t index);
  int64_t integer(size_t index, const char* name, int64_t least, int64_t most);
  int64_t offset(size_t index) { return integer(index, "offset", 0, kMaxInteger); }
  // Not empty, and without a NUL.
  std::string text(size_t index, const char* name);
  std::string path(size_t index) { return text(index, "path"); }
  // A field of an object: true, false or missing.
  bool flag(size_t index, const char* name);
  // Neither shared, resizable nor detached: a thread uses the memory after the call has returned.
  Bytes bytes(size_t index, const char* name);
  Sums sums(size_t index);
  Sums optional_sums(size_t index);

  // For what depends on several arguments, and for a wrong receiver or a call at the wrong time.
  void require(bool condition, const char* message);
  void require_type(bool condition, const char* message);
  // `offset` + `length` is a number too.
  void range(int64_t offset, int64_t length) { require(length <= kMaxInteger - offset, "offset + length is too large"); }
  // Checksums are of whole sectors.
  void sectors(int64_t offset, size_t length);

 private:
  struct Memory {
    void* data;
    size_t count;
  };
  Memory memory(size_t index, const char* name, napi_typedarray_type type, const char* expected);
  void refuse_type(const char* name, const char* expected);
  void refuse(bool range, const std::string& message);

  static constexpr size_t kMost = 4;  // arguments of a call; those that are missing are undefined
  napi_env env_;
  const char* call_;
  napi_value receiver_ = nullptr;
  napi_value values_[kMost] = {};
  bool refused_ = false;
};

}  // namespace vdistream
