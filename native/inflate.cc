// Inflate off the main thread: a stream piece by piece, on a thread of its own, and whole gzip members on all processors.
#include <cerrno>
#include <climits>
#include <cstring>

#include "addon.h"
#include "arguments.h"
#include "deflate.h"
#include "wrapped.h"

namespace vdistream {

namespace {

// What a JavaScript Inflater wraps. `busy` while a thread uses the stream.
struct Inflater {
  Inflater(napi_env env, std::unique_ptr<InflateStream> inflating) : stream(std::move(inflating)), worker(std::make_unique<Workers>(env, 1)) {}
  ~Inflater() { worker.reset(); }  // first, since its thread may still be using the stream

  std::unique_ptr<InflateStream> stream;
  bool busy = false;
  std::unique_ptr<Workers> worker;
};

class Inflate : public Task {
 public:
  Inflate(napi_env env, Inflater& inflater, Bytes input, Bytes output)
      : Task(env), inflater_(inflater), input_(std::move(input)), output_(std::move(output)) {
    inflater.busy = true;
  }

  void run() override {
    step_ = inflater_.stream->run(input_.data, input_.length, output_.data, output_.length);
    if (step_.status == Inflated::kNoMemory) fail(ENOMEM, "allocate");
  }

  // { consumed, produced }: bytes. ended: the stream is complete, and `crc` that of its output. damaged: it cannot be inflated.
  napi_value result(napi_env env) override {
    napi_value object = object_value(env);
    set_field(env, object, "consumed", number_value(env, static_cast<double>(step_.consumed)));
    set_field(env, object, "produced", number_value(env, static_cast<double>(step_.produced)));
    set_flag(env, object, "ended", step_.status == Inflated::kEnded);
    set_flag(env, object, "damaged", step_.status == Inflated::kDamaged);
    set_field(env, object, "crc", number_value(env, inflater_.stream->crc()));
    return object;
  }

  void settling() override { inflater_.busy = false; }

 private:
  Inflater& inflater_;
  Bytes input_, output_;
  InflateStep step_;
};

// Distinguishes an Inflater from an object of another addon.
constexpr napi_type_tag kInflater = {0x9d1f6b0e5a2c4f77u, 0xb1c3e2a49f5d8076u};

// new Inflater(codec): run(input, output), one call at a time; reset() before the next stream.
napi_value construct(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "Inflater");
  napi_value target = nullptr;
  napi_get_new_target(env, info, &target);
  arguments.require_type(target != nullptr, "use new");
  const DeflateLibrary* library = library_argument(arguments, 0);
  if (arguments.refused()) return nullptr;
  auto stream = library->inflate_stream();
  if (stream == nullptr) {
    napi_throw(env, error_value(env, ENOMEM, "allocate"));
    return nullptr;
  }
  return wrap(env, arguments, kInflater, std::make_unique<Inflater>(env, std::move(stream)));
}

// Null, with an exception pending, if `this` is no Inflater or is in use.
Inflater* idle_inflater(napi_env env, Arguments& arguments) {
  auto* inflater = unwrap<Inflater>(env, arguments, kInflater);
  arguments.require_type(inflater != nullptr, "this is not an Inflater");
  arguments.require_type(inflater == nullptr || !inflater->busy, "the last run has not settled yet");
  return arguments.refused() ? nullptr : inflater;
}

napi_value run(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "run");
  Bytes input = arguments.bytes(0, "input");
  Bytes output = arguments.bytes(1, "output");
  arguments.require(input.length <= UINT_MAX && output.length <= UINT_MAX, "the codecs count in 32 bits");
  Inflater* inflater = idle_inflater(env, arguments);
  if (inflater == nullptr) return nullptr;
  auto task = std::make_unique<Inflate>(env, *inflater, input, output);
  task->keep(arguments.receiver());
  task->keep(arguments[0]);
  task->keep(arguments[1]);
  return inflater->worker->submit(env, std::move(task));
}

napi_value reset(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "reset");
  Inflater* inflater = idle_inflater(env, arguments);
  if (inflater != nullptr) inflater->stream->reset();
  return nullptr;
}

uint32_t number_at(const uint8_t* bytes) {
  return bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

constexpr size_t kTrailer = 8;  // CRC-32 and length of the output (RFC 1952, 2.3.1)

class InflateMembers : public Task {
 public:
  InflateMembers(napi_env env, const DeflateLibrary& library, Bytes input, Bytes output, Bytes ranges)
      : Task(env), library_(library), input_(std::move(input)), output_(std::move(output)), ranges_(std::move(ranges)) {}

  void run() override {
    size_t room_used = 0;
    for (size_t at = 0; at < ranges_.length; at += 8, good_++) {
      const size_t start = number_at(ranges_.data + at), end = number_at(ranges_.data + at + 4);
      if (start > end || end > input_.length || input_.length - end < kTrailer) return;
      const uint32_t crc = number_at(input_.data + end), length = number_at(input_.data + end + 4);
      if (length > output_.length - room_used) return;
      if (!library_.inflate_whole(input_.data + start, end - start, output_.data + room_used, length, crc)) return;
      room_used += length;
    }
  }

  napi_value result(napi_env env) override { return number_value(env, static_cast<double>(good_)); }

 private:
  const DeflateLibrary& library_;
  Bytes input_, output_, ranges_;
  size_t good_ = 0;
};

// inflateMembers(codec, input, output, ranges): where the deflate data of each member starts and ends in `input`, as pairs of 32-bit
// numbers, little-endian; its trailer follows it. Inflates one after the other into `output`, and resolves with the number of members
// that were right.
napi_value inflate_members(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "inflateMembers");
  const DeflateLibrary* library = library_argument(arguments, 0);
  Bytes input = arguments.bytes(1, "input");
  Bytes output = arguments.bytes(2, "output");
  Bytes ranges = arguments.bytes(3, "ranges");
  arguments.require(input.length <= UINT_MAX && output.length <= UINT_MAX, "the codecs count in 32 bits");
  arguments.require(ranges.length % 8 == 0, "ranges are pairs of 32-bit numbers");
  if (arguments.refused()) return nullptr;
  auto task = std::make_unique<InflateMembers>(env, *library, input, output, ranges);
  for (size_t index = 1; index <= 3; index++) task->keep(arguments[index]);
  return submit_computation(env, std::move(task));
}

}  // namespace

// Without an exported zlib there is no Inflater, and src/host/native.ts reports that. So far all builds of Node export it.
void init_inflate(napi_env env, napi_value exports) {
  if (zlib_library() == nullptr) return;
  napi_property_descriptor methods[] = {
      {"run", nullptr, run, nullptr, nullptr, nullptr, napi_default_method, nullptr},
      {"reset", nullptr, reset, nullptr, nullptr, nullptr, napi_default_method, nullptr},
  };
  napi_value type = nullptr;
  napi_define_class(env, "Inflater", NAPI_AUTO_LENGTH, construct, nullptr, 2, methods, &type);
  set_field(env, exports, "Inflater", type);
  export_call(env, exports, "inflateMembers", inflate_members);
}

}  // namespace vdistream
