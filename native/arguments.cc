#include "arguments.h"

#include <climits>
#include <cmath>

#include "memory.h"
#include "sums.h"

namespace vdistream {

namespace {

napi_valuetype type_of(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  return type;
}

bool is_true(napi_env env, napi_value object, const char* name) {
  napi_value value;
  bool flag = false;
  return napi_get_named_property(env, object, name, &value) == napi_ok && napi_get_value_bool(env, value, &flag) == napi_ok && flag;
}

}  // namespace

Arguments::Arguments(napi_env env, napi_callback_info info, const char* call) : env_(env), call_(call) {
  size_t count = kMost;
  napi_get_cb_info(env, info, &count, values_, &receiver_, nullptr);
}

// A status is not looked at: in an environment that is ending nothing can be thrown, and nobody would see it.
void Arguments::refuse(bool range, const std::string& message) {
  refused_ = true;
  std::string text = std::string(call_) + ": " + message;
  if (range) napi_throw_range_error(env_, nullptr, text.c_str());
  else napi_throw_type_error(env_, nullptr, text.c_str());
}

void Arguments::refuse_type(const char* name, const char* expected) {
  refuse(false, std::string(name) + " must be " + expected);
}

void Arguments::require(bool condition, const char* message) {
  if (!refused_ && !condition) refuse(true, message);
}

void Arguments::require_type(bool condition, const char* message) {
  if (!refused_ && !condition) refuse(false, message);
}

void Arguments::sectors(int64_t offset, size_t length) {
  require(offset % kSumSector == 0 && length % kSumSector == 0, "checksums are of whole sectors");
}

int64_t Arguments::integer(size_t index, const char* name, int64_t least, int64_t most) {
  if (refused_) return least;
  double value = 0;
  if (napi_get_value_double(env_, values_[index], &value) != napi_ok) {
    refuse_type(name, "a number");
    return least;
  }
  // NaN fails the first comparison.
  if (value >= static_cast<double>(least) && value <= static_cast<double>(most) && std::trunc(value) == value)
    return static_cast<int64_t>(value);
  refuse(true, std::string(name) + " must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return least;
}

int Arguments::descriptor(size_t index) { return static_cast<int>(integer(index, "fd", 0, INT_MAX)); }

std::string Arguments::text(size_t index, const char* name) {
  if (refused_) return {};
  size_t length = 0;
  if (napi_get_value_string_utf8(env_, values_[index], nullptr, 0, &length) != napi_ok) {
    refuse_type(name, "a string");
    return {};
  }
  std::string text(length, '\0');
  napi_get_value_string_utf8(env_, values_[index], text.data(), length + 1, &length);
  const bool usable = !text.empty() && text.find('\0') == std::string::npos;
  require(usable, (std::string(name) + " must not be empty or contain a NUL").c_str());
  return text;
}

bool Arguments::flag(size_t index, const char* name) {
  if (refused_) return false;
  napi_value value;
  if (type_of(env_, values_[index]) != napi_object) {
    refuse_type("flags", "an object");
    return false;
  }
  if (napi_get_named_property(env_, values_[index], name, &value) != napi_ok) {
    refused_ = true;  // a getter has thrown
    return false;
  }
  bool flag = false;
  if (type_of(env_, value) != napi_undefined && napi_get_value_bool(env_, value, &flag) != napi_ok) refuse_type(name, "a boolean");
  return flag;
}

Arguments::Memory Arguments::memory(size_t index, const char* name, napi_typedarray_type wanted, const char* expected) {
  if (refused_) return {};
  bool is_array = false;
  napi_typedarray_type type;
  void* data = nullptr;
  size_t count = 0;
  napi_value buffer;
  napi_is_typedarray(env_, values_[index], &is_array);
  if (!is_array || napi_get_typedarray_info(env_, values_[index], &type, &count, &data, &buffer, nullptr) != napi_ok || type != wanted) {
    refuse_type(name, expected);
    return {};
  }
  bool is_plain = false, is_detached = false;
  napi_is_arraybuffer(env_, buffer, &is_plain);
  if (is_plain) napi_is_detached_arraybuffer(env_, buffer, &is_detached);
  if (!is_plain || is_detached || is_true(env_, buffer, "resizable")) {
    refuse_type(name, "in memory that is not shared, resizable or detached");
    return {};
  }
  return {data, data == nullptr ? 0 : count};
}

Bytes Arguments::bytes(size_t index, const char* name) {
  auto [data, count] = memory(index, name, napi_uint8_array, "a Uint8Array");
  return {static_cast<uint8_t*>(data), count, mapping_of(data)};
}

Sums Arguments::sums(size_t index) {
  auto [data, count] = memory(index, "sums", napi_biguint64_array, "a BigUint64Array");
  return {static_cast<uint64_t*>(data), count};
}

Sums Arguments::optional_sums(size_t index) {
  if (refused_ || type_of(env_, values_[index]) == napi_undefined) return {};
  return sums(index);
}

}  // namespace vdistream
