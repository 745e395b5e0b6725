// Inflate on a separate thread, with the zlib inside Node (Chromium's, with vectorized copies and CRC). It is looked up
// at run time, so that the addon can still be loaded if a build of Node does not export its zlib.
#include <dlfcn.h>
#include <zlib.h>

#include <cerrno>

#include "addon.h"

namespace vdistream {

namespace {

struct Zlib {
  decltype(&::inflateInit2_) init = reinterpret_cast<decltype(init)>(dlsym(RTLD_DEFAULT, "inflateInit2_"));
  decltype(&::inflate) step = reinterpret_cast<decltype(step)>(dlsym(RTLD_DEFAULT, "inflate"));
  decltype(&::inflateReset) reset = reinterpret_cast<decltype(reset)>(dlsym(RTLD_DEFAULT, "inflateReset"));
  decltype(&::inflateEnd) end = reinterpret_cast<decltype(end)>(dlsym(RTLD_DEFAULT, "inflateEnd"));
  bool found() const { return init != nullptr && step != nullptr && reset != nullptr && end != nullptr; }
};

const Zlib& zlib() {
  static const Zlib symbols;
  return symbols;
}

constexpr int kGzipOnly = 15 + 16;  // windowBits: a 32 KiB window, gzip framing, CRC and length checked

class Inflate : public Task {
 public:
  Inflate(Napi::Env env, z_stream& stream, Bytes input, Bytes output) : Task(env), stream_(stream) {
    stream_.next_in = input.data;
    stream_.avail_in = static_cast<uInt>(input.length);
    stream_.next_out = output.data;
    stream_.avail_out = static_cast<uInt>(output.length);
    in_ = input.length;
    out_ = output.length;
  }

  void run() override { status_ = zlib().step(&stream_, Z_NO_FLUSH); }

  // { consumed, produced }: bytes. ended: the member is complete. message: why it cannot be inflated.
  Napi::Value result(Napi::Env env) override {
    Napi::Object object = Napi::Object::New(env);
    object.Set("consumed", static_cast<double>(in_ - stream_.avail_in));
    object.Set("produced", static_cast<double>(out_ - stream_.avail_out));
    object.Set("ended", status_ == Z_STREAM_END);
    // Z_BUF_ERROR only means that there was no input, or no room for output.
    if (status_ != Z_OK && status_ != Z_STREAM_END && status_ != Z_BUF_ERROR)
      object.Set("message", stream_.msg != nullptr ? stream_.msg : "the compressed data is damaged");
    return object;
  }

 private:
  z_stream& stream_;
  size_t in_, out_;
  int status_ = Z_OK;
};

// new Inflater(): run(input, output), one call at a time; reset() before the next gzip member.
class Inflater : public Napi::ObjectWrap<Inflater> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Inflater",
                       {InstanceMethod("run", &Inflater::run), InstanceMethod("reset", &Inflater::reset)});
  }

  explicit Inflater(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Inflater>(info) {
    worker_ = std::make_unique<Workers>(info.Env(), 1);
    usable_ = zlib().init(&stream_, kGzipOnly, ZLIB_VERSION, sizeof stream_) == Z_OK;
    if (!usable_) Napi::Error::New(info.Env(), "zlib cannot be initialized").ThrowAsJavaScriptException();
  }

  ~Inflater() override {
    worker_.reset();  // first, since its thread may still be using the stream
    if (usable_) zlib().end(&stream_);
  }

 private:
  Napi::Value run(const Napi::CallbackInfo& info) {
    auto task = std::make_unique<Inflate>(info.Env(), stream_, bytes_of(info[0]), bytes_of(info[1]));
    task->keep(info.This().As<Napi::Object>());
    task->keep(info[0].As<Napi::Object>());
    task->keep(info[1].As<Napi::Object>());
    return worker_->submit(info.Env(), std::move(task));
  }

  Napi::Value reset(const Napi::CallbackInfo& info) {
    zlib().reset(&stream_);
    return info.Env().Undefined();
  }

  z_stream stream_{};
  bool usable_ = false;
  std::unique_ptr<Workers> worker_;
};

}  // namespace

// Without an exported zlib there is no Inflater, and src/host/native.ts reports that. So far all builds of Node export it.
void init_inflate(Napi::Env env, Napi::Object exports) {
  if (zlib().found()) exports.Set("Inflater", Inflater::define(env));
}

}  // namespace vdistream
