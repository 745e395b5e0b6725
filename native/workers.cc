#include "workers.h"

#include <signal.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace vdistream {

napi_value error_value(napi_env env, int error, const char* operation, double offset) {
  napi_value object = nullptr;
  napi_create_error(env, nullptr, text_value(env, (std::string(operation) + ": " + std::strerror(error)).c_str()), &object);
  set_field(env, object, "errno", number_value(env, error));
  set_field(env, object, "operation", text_value(env, operation));
  if (offset >= 0) set_field(env, object, "offset", number_value(env, offset));
  return object;
}

void Task::keep(napi_value value) {
  napi_ref reference = nullptr;
  if (napi_create_reference(env_, value, 1, &reference) == napi_ok) kept_.push_back(reference);
}

napi_value Task::begin() {
  napi_value promise = nullptr;
  return napi_create_promise(env_, &deferred_, &promise) == napi_ok ? promise : nullptr;
}

// After `worker.terminate()` each call fails, until the environment's end begins: then nothing is left to settle.
void Task::settle() {
  napi_handle_scope scope = nullptr;
  napi_open_handle_scope(env_, &scope);
  settling();
  if (error_ == 0) napi_resolve_deferred(env_, deferred_, result(env_));
  else napi_reject_deferred(env_, deferred_, error_value(env_, error_, operation_, static_cast<double>(offset_)));
  for (napi_ref reference : kept_) napi_delete_reference(env_, reference);
  kept_.clear();
  napi_close_handle_scope(env_, scope);
}

Workers::Workers(napi_env env, unsigned threads) : env_(env), limit_(threads) {
  napi_value name = text_value(env, "vdistream");
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, settled, &settled_);
  napi_unref_threadsafe_function(env, settled_);
  napi_add_env_cleanup_hook(env, end_with_environment, this);
}

Workers::~Workers() {
  if (stop_) return;
  napi_remove_env_cleanup_hook(env_, end_with_environment, this);
  shut_down();
}

// Node frees thread-safe functions before instance data and wrapped objects, so the destructor alone would be too late.
// The threads are waited for: the memory they use ends with the environment.
void Workers::end_with_environment(void* workers) { static_cast<Workers*>(workers)->shut_down(); }

void Workers::shut_down() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (pthread_t thread : threads_) pthread_join(thread, nullptr);
  threads_.clear();
  napi_release_threadsafe_function(settled_, napi_tsfn_release);
}

napi_value Workers::submit(napi_env env, std::unique_ptr<Task> task) {
  napi_value promise = task->begin();
  if (promise == nullptr || stop_) return nullptr;
  if (threads_.size() < limit_) {
    int error = start_thread();
    if (error != 0 && threads_.empty()) {
      task->fail(error, "thread");
      task->settle();
      return promise;
    }
  }
  if (pending_++ == 0) napi_ref_threadsafe_function(env, settled_);
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.push_back(std::move(task));
  wake_.notify_one();
  return promise;
}

// Not std::thread: without exceptions its failure would end the process. 256 KiB of stack: a limit on the address space
// counts them, and no task needs more.
int Workers::start_thread() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  pthread_t started;
  int error = pthread_create(&started, &attributes, thread, this);
  pthread_attr_destroy(&attributes);
  if (error == 0) threads_.push_back(started);
  return error;
}

void* Workers::thread(void* workers) {
  // Signals are for the threads of Node.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  static_cast<Workers*>(workers)->loop();
  return nullptr;
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
    if (napi_call_threadsafe_function(settled_, task.get(), napi_tsfn_blocking) != napi_ok) return;
    task.release();  // `settled` has it now
  }
}

// On the JavaScript thread. Without an environment, its end has begun, and the workers may be gone.
void Workers::settled(napi_env env, napi_value, void* workers, void* task) {
  std::unique_ptr<Task> owned(static_cast<Task*>(task));
  if (env == nullptr) return;
  auto* self = static_cast<Workers*>(workers);
  if (--self->pending_ == 0) napi_unref_threadsafe_function(env, self->settled_);
  owned->settle();
}

}  // namespace vdistream
