// Inflate on a separate thread, with the zlib inside Node (Chromium's, with vectorized copies and CRC). It is looked up
// at run time, so that the addon can still be loaded if a build of Node does not export its zlib.
#include <dlfcn.h>
#include <zlib.h>

#include <cerrno>
#include <climits>

#include "addon.h"
#include "arguments.h"

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

// What a JavaScript Inflater wraps. `busy` while a thread uses the stream.
struct Stream {
  explicit Stream(napi_env env) : worker(std::make_unique<Workers>(env, 1)) {}
  ~Stream() {
    worker.reset();  // first, since its thread may still be using the stream
    if (usable) zlib().end(&zstream);
  }

  z_stream zstream{};
  bool usable = false;
  bool busy = false;
  std::unique_ptr<Workers> worker;
};

class Inflate : public Task {
 public:
  Inflate(napi_env env, Stream& stream, Bytes input, Bytes output) : Task(env), stream_(stream), input_(std::move(input)), output_(std::move(output)) {
    z_stream& zstream = stream.zstream;
    zstream.next_in = input_.data;
    zstream.avail_in = static_cast<uInt>(input_.length);
    zstream.next_out = output_.data;
    zstream.avail_out = static_cast<uInt>(output_.length);
    stream.busy = true;
  }

  void run() override { status_ = zlib().step(&stream_.zstream, Z_NO_FLUSH); }

  // { consumed, produced }: bytes. ended: the member is complete. message: why it cannot be inflated.
  napi_value result(napi_env env) override {
    const z_stream& zstream = stream_.zstream;
    napi_value object = object_value(env);
    set_field(env, object, "consumed", number_value(env, static_cast<double>(input_.length - zstream.avail_in)));
    set_field(env, object, "produced", number_value(env, static_cast<double>(output_.length - zstream.avail_out)));
    set_flag(env, object, "ended", status_ == Z_STREAM_END);
    // Z_BUF_ERROR only means that there was no input, or no room for output.
    if (status_ != Z_OK && status_ != Z_STREAM_END && status_ != Z_BUF_ERROR)
      set_field(env, object, "message", text_value(env, zstream.msg != nullptr ? zstream.msg : "the compressed data is damaged"));
    return object;
  }

  void settling() override { stream_.busy = false; }

 private:
  Stream& stream_;
  Bytes input_, output_;
  int status_ = Z_OK;
};

// Distinguishes an Inflater from an object of another addon.
constexpr napi_type_tag kInflater = {0x9d1f6b0e5a2c4f77u, 0xb1c3e2a49f5d8076u};

// new Inflater(): run(input, output), one call at a time; reset() before the next gzip member.
napi_value construct(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "Inflater");
  napi_value target = nullptr;
  napi_get_new_target(env, info, &target);
  arguments.require_type(target != nullptr, "use new");
  if (arguments.refused()) return nullptr;
  auto stream = std::make_unique<Stream>(env);
  stream->usable = zlib().init(&stream->zstream, kGzipOnly, ZLIB_VERSION, sizeof stream->zstream) == Z_OK;
  if (!stream->usable) {
    napi_throw(env, error_value(env, ENOMEM, "allocate"));
    return nullptr;
  }
  auto release = [](napi_env, void* data, void*) { delete static_cast<Stream*>(data); };
  if (napi_type_tag_object(env, arguments.receiver(), &kInflater) != napi_ok ||
      napi_wrap(env, arguments.receiver(), stream.get(), release, nullptr, nullptr) != napi_ok)
    return nullptr;
  stream.release();
  return arguments.receiver();
}

// Null, with an exception pending, if `this` is no Inflater or is in use.
Stream* idle_stream(napi_env env, Arguments& arguments) {
  bool is_inflater = false;
  void* stream = nullptr;
  napi_check_object_type_tag(env, arguments.receiver(), &kInflater, &is_inflater);
  if (is_inflater) napi_unwrap(env, arguments.receiver(), &stream);
  arguments.require_type(stream != nullptr, "this is not an Inflater");
  arguments.require_type(stream == nullptr || !static_cast<Stream*>(stream)->busy, "the last run has not settled yet");
  return arguments.refused() ? nullptr : static_cast<Stream*>(stream);
}

napi_value run(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "run");
  Bytes input = arguments.bytes(0, "input");
  Bytes output = arguments.bytes(1, "output");
  arguments.require(input.length <= UINT_MAX && output.length <= UINT_MAX, "zlib counts in 32 bits");
  Stream* stream = idle_stream(env, arguments);
  if (stream == nullptr) return nullptr;
  auto task = std::make_unique<Inflate>(env, *stream, input, output);
  task->keep(arguments.receiver());
  task->keep(arguments[0]);
  task->keep(arguments[1]);
  return stream->worker->submit(env, std::move(task));
}

napi_value reset(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "reset");
  Stream* stream = idle_stream(env, arguments);
  if (stream != nullptr) zlib().reset(&stream->zstream);
  return nullptr;
}

}  // namespace

// Without an exported zlib there is no Inflater, and src/host/native.ts reports that. So far all builds of Node export it.
void init_inflate(napi_env env, napi_value exports) {
  if (!zlib().found()) return;
  napi_property_descriptor methods[] = {
      {"run", nullptr, run, nullptr, nullptr, nullptr, napi_default_method, nullptr},
      {"reset", nullptr, reset, nullptr, nullptr, nullptr, napi_default_method, nullptr},
  };
  napi_value type = nullptr;
  napi_define_class(env, "Inflater", NAPI_AUTO_LENGTH, construct, nullptr, 2, methods, &type);
  set_field(env, exports, "Inflater", type);
}

}  // namespace vdistream
