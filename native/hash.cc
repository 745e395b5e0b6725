// Hashes off the main thread, by the OpenSSL inside Node. It is looked up at run time, like zlib: Node's own build exports it, and a
// distribution's is linked with libcrypto. The calls and their types are the same in OpenSSL 1.1 and 3, and in BoringSSL.
#include <dlfcn.h>

#include <cerrno>

#include "addon.h"
#include "arguments.h"
#include "wrapped.h"

namespace vdistream {

namespace {

// Types that OpenSSL keeps to itself.
struct Context;
struct Algorithm;

template <typename Function>
Function look_up(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

struct OpenSsl {
  Context* (*create)() = look_up<Context* (*)()>("EVP_MD_CTX_new");
  void (*free)(Context*) = look_up<void (*)(Context*)>("EVP_MD_CTX_free");
  const Algorithm* (*algorithm)(const char*) = look_up<const Algorithm* (*)(const char*)>("EVP_get_digestbyname");
  int (*init)(Context*, const Algorithm*, void*) = look_up<int (*)(Context*, const Algorithm*, void*)>("EVP_DigestInit_ex");
  int (*update)(Context*, const void*, size_t) = look_up<int (*)(Context*, const void*, size_t)>("EVP_DigestUpdate");
  int (*finish)(Context*, unsigned char*, unsigned*) = look_up<int (*)(Context*, unsigned char*, unsigned*)>("EVP_DigestFinal_ex");
  bool found() const { return create && free && algorithm && init && update && finish; }
};

const OpenSsl& openssl() {
  static const OpenSsl symbols;
  return symbols;
}

constexpr size_t kMaxDigest = 64;  // EVP_MAX_MD_SIZE

// What a JavaScript Hasher wraps. `busy` while a thread uses the context.
struct Hasher {
  Hasher(napi_env env, Context* used) : context(used), worker(std::make_unique<Workers>(env, 1)) {}
  ~Hasher() {
    worker.reset();  // first, since its thread may still be using the context
    openssl().free(context);
  }

  Context* const context;
  bool busy = false;
  bool ended = false;
  std::unique_ptr<Workers> worker;
};

class Update : public Task {
 public:
  Update(napi_env env, Hasher& hasher, Bytes bytes) : Task(env), hasher_(hasher), bytes_(std::move(bytes)) { hasher.busy = true; }
  void run() override {
    if (openssl().update(hasher_.context, bytes_.data, bytes_.length) != 1) fail(EIO, "hash");
  }
  void settling() override { hasher_.busy = false; }

 private:
  Hasher& hasher_;
  Bytes bytes_;
};

// Distinguishes a Hasher from an object of another addon.
constexpr napi_type_tag kHasher = {0x5a8e3c17d2b94f60u, 0x8c71f0a6e39d4b25u};

// new Hasher(name): update(bytes), one call at a time; digest() at the end. Throws a RangeError if OpenSSL has, or permits, no such hash.
napi_value construct(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "Hasher");
  napi_value target = nullptr;
  napi_get_new_target(env, info, &target);
  arguments.require_type(target != nullptr, "use new");
  std::string name = arguments.text(0, "name");
  if (arguments.refused()) return nullptr;
  const Algorithm* algorithm = openssl().algorithm(name.c_str());
  Context* context = openssl().create();
  if (context == nullptr) {
    napi_throw(env, error_value(env, ENOMEM, "allocate"));
    return nullptr;
  }
  auto hasher = std::make_unique<Hasher>(env, context);
  arguments.require(algorithm != nullptr && openssl().init(context, algorithm, nullptr) == 1, "there is no such hash");
  if (arguments.refused()) return nullptr;
  return wrap(env, arguments, kHasher, std::move(hasher));
}

// Null, with an exception pending, if `this` is no Hasher, is in use, or has ended.
Hasher* idle_hasher(napi_env env, Arguments& arguments) {
  auto* hasher = unwrap<Hasher>(env, arguments, kHasher);
  arguments.require_type(hasher != nullptr, "this is not a Hasher");
  arguments.require_type(hasher == nullptr || !hasher->busy, "the last update has not settled yet");
  arguments.require_type(hasher == nullptr || !hasher->ended, "the digest has been computed already");
  return arguments.refused() ? nullptr : hasher;
}

napi_value update(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "update");
  Bytes bytes = arguments.bytes(0, "bytes");
  Hasher* hasher = idle_hasher(env, arguments);
  if (hasher == nullptr) return nullptr;
  auto task = std::make_unique<Update>(env, *hasher, bytes);
  task->keep(arguments.receiver());
  task->keep(arguments[0]);
  return hasher->worker->submit(env, std::move(task));
}

// digest(): in hexadecimal.
napi_value digest(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "digest");
  Hasher* hasher = idle_hasher(env, arguments);
  if (hasher == nullptr) return nullptr;
  hasher->ended = true;
  unsigned char bytes[kMaxDigest];
  unsigned length = 0;
  if (openssl().finish(hasher->context, bytes, &length) != 1) {
    napi_throw(env, error_value(env, EIO, "hash"));
    return nullptr;
  }
  std::string hex;
  for (unsigned index = 0; index < length; index++) {
    hex += "0123456789abcdef"[bytes[index] >> 4];
    hex += "0123456789abcdef"[bytes[index] & 15];
  }
  return text_value(env, hex.c_str());
}

}  // namespace

// Without an exported OpenSSL there is no Hasher, and src/host/hasher.ts uses the main thread.
void init_hash(napi_env env, napi_value exports) {
  if (!openssl().found()) return;
  napi_property_descriptor methods[] = {
      {"update", nullptr, update, nullptr, nullptr, nullptr, napi_default_method, nullptr},
      {"digest", nullptr, digest, nullptr, nullptr, nullptr, napi_default_method, nullptr},
  };
  napi_value type = nullptr;
  napi_define_class(env, "Hasher", NAPI_AUTO_LENGTH, construct, nullptr, 2, methods, &type);
  set_field(env, exports, "Hasher", type);
}

}  // namespace vdistream
