// Values for JavaScript. A call of Node-API that fails here leaves a value out: that happens only in an environment that is
// ending, in which nobody will see it.
#pragma once

#include <node_api.h>

namespace vdistream {

inline napi_value undefined_value(napi_env env) {
  napi_value value = nullptr;
  napi_get_undefined(env, &value);
  return value;
}

inline napi_value number_value(napi_env env, double number) {
  napi_value value = nullptr;
  napi_create_double(env, number, &value);
  return value;
}

inline napi_value text_value(napi_env env, const char* text) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  return value;
}

inline void set_field(napi_env env, napi_value object, const char* name, napi_value value) {
  if (object != nullptr && value != nullptr) napi_set_named_property(env, object, name, value);
}

inline void set_flag(napi_env env, napi_value object, const char* name, bool flag) {
  napi_value value = nullptr;
  napi_get_boolean(env, flag, &value);
  set_field(env, object, name, value);
}

inline napi_value object_value(napi_env env) {
  napi_value object = nullptr;
  napi_create_object(env, &object);
  return object;
}

// An error as `ioError` of src/host/errno.ts reads it.
napi_value error_value(napi_env env, int error, const char* operation, double offset = -1);

}  // namespace vdistream
