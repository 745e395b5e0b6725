#include "workers.h"

#include <cstring>

namespace vdistream {

void Task::settle(Napi::Env env) {
  Napi::HandleScope scope(env);
  if (error_ == 0) {
    deferred_.Resolve(result(env));
    return;
  }
  Napi::Error error = Napi::Error::New(env, std::string(operation_) + ": " + std::strerror(error_));
  error.Set("errno", Napi::Number::New(env, error_));
  error.Set("operation", Napi::String::New(env, operation_));
  if (offset_ >= 0) error.Set("offset", Napi::Number::New(env, static_cast<double>(offset_)));
  deferred_.Reject(error.Value());
}

Workers::Workers(Napi::Env env, unsigned threads) : env_(env), limit_(threads) {
  Napi::Function nothing = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
  settled_ = Napi::ThreadSafeFunction::New(env, nothing, "vdistream", 0, 1);
  settled_.Unref(env);
  napi_add_env_cleanup_hook(env, end_with_environment, this);
}

Workers::~Workers() {
  if (stop_) return;
  napi_remove_env_cleanup_hook(env_, end_with_environment, this);
  shut_down();
}

// Node frees thread-safe functions before instance data and wrapped objects, so the destructor alone would be too late.
void Workers::end_with_environment(void* workers) { static_cast<Workers*>(workers)->shut_down(); }

void Workers::shut_down() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  settled_.Release();
}

Napi::Promise Workers::submit(Napi::Env env, std::unique_ptr<Task> task) {
  Napi::Promise promise = task->promise();
  if (pending_++ == 0) settled_.Ref(env);
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.push_back(std::move(task));
  if (threads_.size() < limit_) threads_.emplace_back([this] { loop(); });
  wake_.notify_one();
  return promise;
}

void Workers::loop() {
  for (;;) {
    std::unique_ptr<Task> task;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task->run();
    Task* done = task.release();
    napi_status status = settled_.BlockingCall(done, [this](Napi::Env env, Napi::Function, Task* settled) {
      std::unique_ptr<Task> owned(settled);
      if (env == nullptr) {
        // The environment is being torn down. It owns the references in the task, so they must not be released here.
        owned.release();
        return;
      }
      if (--pending_ == 0) settled_.Unref(env);
      owned->settle(env);
    });
    if (status != napi_ok) return;
  }
}

}  // namespace vdistream
