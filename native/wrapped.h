// JavaScript objects that own one of the addon's.
#pragma once

#include <node_api.h>

#include <memory>

#include "arguments.h"

namespace vdistream {

// Makes the receiver of `new` own `object`. Null, with an exception pending, if that fails.
template <typename Object>
napi_value wrap(napi_env env, const Arguments& arguments, const napi_type_tag& tag, std::unique_ptr<Object> object) {
  auto release = [](napi_env, void* data, void*) { delete static_cast<Object*>(data); };
  if (napi_type_tag_object(env, arguments.receiver(), &tag) != napi_ok ||
      napi_wrap(env, arguments.receiver(), object.get(), release, nullptr, nullptr) != napi_ok)
    return nullptr;
  object.release();
  return arguments.receiver();
}

// What the receiver owns; null if the receiver has another tag.
template <typename Object>
Object* unwrap(napi_env env, const Arguments& arguments, const napi_type_tag& tag) {
  bool is_tagged = false;
  void* object = nullptr;
  napi_check_object_type_tag(env, arguments.receiver(), &tag, &is_tagged);
  if (is_tagged) napi_unwrap(env, arguments.receiver(), &object);
  return static_cast<Object*>(object);
}

}  // namespace vdistream
