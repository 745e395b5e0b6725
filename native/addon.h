// Shared by all files of the addon: the state of one environment, and how its calls are exported.
//
// Node-API is called directly, not through node-addon-api: its wrappers abort the process when a call fails in an
// environment that is ending, and that cannot be caught (Error::ThrowAsJavaScriptException in napi-inl.h).
#pragma once

#include <node_api.h>

#include <memory>

#include "workers.h"

namespace vdistream {

// Queues a task on the threads of this environment. Returns its promise.
napi_value submit(napi_env env, std::unique_ptr<Task> task);
// The same on threads for work that needs no I/O: one for each processor.
napi_value submit_computation(napi_env env, std::unique_ptr<Task> task);

void export_call(napi_env env, napi_value exports, const char* name, napi_callback call);

void init_memory(napi_env env, napi_value exports);
void init_device(napi_env env, napi_value exports);
void init_descriptor(napi_env env, napi_value exports);
void init_io(napi_env env, napi_value exports);
void init_zero(napi_env env, napi_value exports);
void init_scan(napi_env env, napi_value exports);
void init_sums(napi_env env, napi_value exports);
void init_hash(napi_env env, napi_value exports);
void init_inflate(napi_env env, napi_value exports);
void init_deflate(napi_env env, napi_value exports);

}  // namespace vdistream
