// Deflate on all processors, and loading ISA-L.
#include "deflate.h"

#include <climits>
#include <cstring>

#include "addon.h"
#include "arguments.h"

namespace vdistream {

const DeflateLibrary* library_argument(Arguments& arguments, size_t index) {
  const bool is_isal = arguments.integer(index, "codec", 0, 1) == 1;
  const DeflateLibrary* library = is_isal ? isal_library() : zlib_library();
  arguments.require(library != nullptr, "this codec is not loaded");
  return library;
}

namespace {

constexpr size_t kStored = 65'535;  // bytes of a stored block, at most
constexpr size_t kStoredHeader = 5;

size_t stored_length(size_t length) { return length + kStoredHeader * (length / kStored + 1); }

// As stored blocks (RFC 1951, 3.2.4), for what does not compress.
size_t store(const uint8_t* input, size_t length, uint8_t* output) {
  uint8_t* next = output;
  for (size_t rest = length;;) {
    const size_t count = rest < kStored ? rest : kStored;
    *next++ = count == rest ? 1 : 0;  // the last one
    for (size_t field : {count, ~count}) {
      *next++ = static_cast<uint8_t>(field);
      *next++ = static_cast<uint8_t>(field >> 8);
    }
    if (count > 0) std::memcpy(next, input, count);
    next += count;
    input += count;
    rest -= count;
    if (rest == 0) return static_cast<size_t>(next - output);
  }
}

class Deflate : public Task {
 public:
  Deflate(napi_env env, const DeflateLibrary& library, int level, Bytes input, Bytes output)
      : Task(env), library_(library), level_(level), input_(std::move(input)), output_(std::move(output)) {}

  void run() override {
    crc_ = input_.length > 0 ? zlib_crc(input_.data, input_.length) : 0;
    produced_ = library_.deflate(input_.data, input_.length, output_.data, output_.length, level_);
    if (produced_ == 0) produced_ = store(input_.data, input_.length, output_.data);
  }

  napi_value result(napi_env env) override {
    napi_value object = object_value(env);
    set_field(env, object, "produced", number_value(env, static_cast<double>(produced_)));
    set_field(env, object, "crc", number_value(env, crc_));
    return object;
  }

 private:
  const DeflateLibrary& library_;
  const int level_;
  Bytes input_, output_;
  size_t produced_ = 0;
  uint32_t crc_ = 0;
};

// deflate(codec, level, input, output): `level` is one of gzip; `output` has room for `input` and five bytes more for each 65535 of it,
// and the last. Resolves with { produced, crc }: the length of the stream, and the CRC-32 of `input`.
napi_value deflate(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "deflate");
  const DeflateLibrary* library = library_argument(arguments, 0);
  const int level = static_cast<int>(arguments.integer(1, "level", 1, 9));
  Bytes input = arguments.bytes(2, "input");
  Bytes output = arguments.bytes(3, "output");
  arguments.require(input.length <= UINT_MAX && output.length <= UINT_MAX, "the codecs count in 32 bits");
  arguments.require(output.length >= stored_length(input.length), "output is too short");
  if (arguments.refused()) return nullptr;
  auto task = std::make_unique<Deflate>(env, *library, level, input, output);
  task->keep(arguments[2]);
  task->keep(arguments[3]);
  return submit_computation(env, std::move(task));
}

// loadIsal(path): undefined, or why the library at this path cannot be used.
napi_value load(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "loadIsal");
  std::string path = arguments.path(0);
  if (arguments.refused()) return nullptr;
  const char* reason = load_isal(path.c_str());
  return reason == nullptr ? nullptr : text_value(env, reason);
}

}  // namespace

void init_deflate(napi_env env, napi_value exports) {
  if (zlib_library() == nullptr) return;
  export_call(env, exports, "deflate", deflate);
  export_call(env, exports, "loadIsal", load);
}

}  // namespace vdistream
