// A small thread pool. libuv's four threads serve zlib and fs, and a stalled disk must not block those.
#pragma once

#include <node_api.h>
#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "result.h"

namespace vdistream {

// One operation: `run` runs on a worker thread (no JavaScript there), then `settle` on the JavaScript thread.
//
// Once the environment has begun to end, a task is destroyed without being settled: by then the environment owns the
// promise and the references, and they must not be touched.
class Task {
 public:
  explicit Task(napi_env env) : env_(env) {}
  virtual ~Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  virtual void run() = 0;

  // Pins a buffer until `settle` has run.
  void keep(napi_value value);
  napi_value begin();  // the promise; null if the environment is ending
  void settle();

  // `error` is an errno. `offset` is the byte of the device at which the operation failed.
  void fail(int error, const char* operation, int64_t offset = -1) {
    error_ = error;
    operation_ = operation;
    offset_ = offset;
  }

 protected:
  virtual napi_value result(napi_env env) { return undefined_value(env); }
  // Before the promise is settled, also with an error.
  virtual void settling() {}

 private:
  napi_env env_;
  napi_deferred deferred_ = nullptr;
  std::vector<napi_ref> kept_;
  int error_ = 0;  // of the first failure, 0 = success
  const char* operation_ = "";
  int64_t offset_ = -1;
};

// Threads start on demand and end with the environment.
class Workers {
 public:
  Workers(napi_env env, unsigned threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // If no more threads can be started, those that run do the work; if none runs, the promise is rejected with EAGAIN.
  napi_value submit(napi_env env, std::unique_ptr<Task> task);

 private:
  static void end_with_environment(void* workers);
  static void settled(napi_env env, napi_value callback, void* workers, void* task);
  static void* thread(void* workers);
  int start_thread();
  void shut_down();
  void loop();

  const napi_env env_;
  const unsigned limit_;
  napi_threadsafe_function settled_ = nullptr;
  unsigned pending_ = 0;  // used on the JavaScript thread only; keeps the event loop alive while tasks are pending
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Task>> queue_;
  std::vector<pthread_t> threads_;
  bool stop_ = false;  // once set, the threads have ended or are about to
};

}  // namespace vdistream
