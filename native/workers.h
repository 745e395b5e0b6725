// A small thread pool. libuv's four threads serve zlib and fs, and a stalled disk must not block those.
#pragma once

#include <napi.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace vdistream {

// One operation: `run` runs on a worker thread (no JavaScript there), then `settle` on the JavaScript thread.
// `keep` pins buffers until `settle` has run.
class Task {
 public:
  explicit Task(Napi::Env env) : deferred_(Napi::Promise::Deferred::New(env)) {}
  virtual ~Task() = default;
  virtual void run() = 0;

  Napi::Promise promise() const { return deferred_.Promise(); }
  void keep(Napi::Object object) { kept_.push_back(Napi::Persistent(object)); }
  void settle(Napi::Env env);

 protected:
  virtual Napi::Value result(Napi::Env env) { return env.Undefined(); }
  void fail(int error, const char* operation, int64_t offset) {
    error_ = error;
    operation_ = operation;
    offset_ = offset;
  }

  int error_ = 0;             // errno of the first failure, 0 = success
  const char* operation_ = "";
  int64_t offset_ = -1;       // byte offset on the device at which the operation failed

 private:
  Napi::Promise::Deferred deferred_;
  std::vector<Napi::ObjectReference> kept_;
};

// Threads start on demand and end with the environment.
class Workers {
 public:
  Workers(Napi::Env env, unsigned threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  Napi::Promise submit(Napi::Env env, std::unique_ptr<Task> task);

 private:
  static void end_with_environment(void* workers);
  void shut_down();
  void loop();

  const napi_env env_;
  const unsigned limit_;
  Napi::ThreadSafeFunction settled_;
  unsigned pending_ = 0;  // used on the JavaScript thread only; keeps the event loop alive while tasks are pending
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Task>> queue_;
  std::vector<std::thread> threads_;
  bool stop_ = false;  // once set, the threads have ended or are about to
};

}  // namespace vdistream
