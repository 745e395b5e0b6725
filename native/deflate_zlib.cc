// The zlib inside Node: Chromium's, with vectorized copies and CRC.
#include <dlfcn.h>
#include <zlib.h>

#include "deflate.h"

namespace vdistream {

namespace {

template <typename Function>
Function* look_up(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

struct Zlib {
  decltype(&::inflateInit2_) inflate_init = look_up<decltype(::inflateInit2_)>("inflateInit2_");
  decltype(&::inflate) inflate = look_up<decltype(::inflate)>("inflate");
  decltype(&::inflateReset) inflate_reset = look_up<decltype(::inflateReset)>("inflateReset");
  decltype(&::inflateEnd) inflate_end = look_up<decltype(::inflateEnd)>("inflateEnd");
  decltype(&::deflateInit2_) deflate_init = look_up<decltype(::deflateInit2_)>("deflateInit2_");
  decltype(&::deflate) deflate = look_up<decltype(::deflate)>("deflate");
  decltype(&::deflateEnd) deflate_end = look_up<decltype(::deflateEnd)>("deflateEnd");
  decltype(&::crc32) crc = look_up<decltype(::crc32)>("crc32");
  bool found() const {
    return inflate_init && inflate && inflate_reset && inflate_end && deflate_init && deflate && deflate_end && crc;
  }
};

const Zlib& zlib() {
  static const Zlib symbols;
  return symbols;
}

constexpr int kRaw = -15;     // windowBits: a 32 KiB window, no header, no trailer
constexpr int kMemory = 8;    // memLevel: zlib's default

Bytef* input_of(const uint8_t* bytes) { return const_cast<Bytef*>(bytes); }

class ZlibStream : public InflateStream {
 public:
  bool init() { return usable_ = zlib().inflate_init(&stream_, kRaw, ZLIB_VERSION, sizeof stream_) == Z_OK; }
  ~ZlibStream() override {
    if (usable_) zlib().inflate_end(&stream_);
  }

  InflateStep run(const uint8_t* input, size_t input_length, uint8_t* output, size_t output_length) override {
    stream_.next_in = input_of(input);
    stream_.avail_in = static_cast<uInt>(input_length);
    stream_.next_out = output;
    stream_.avail_out = static_cast<uInt>(output_length);
    int status = zlib().inflate(&stream_, Z_NO_FLUSH);
    InflateStep step{input_length - stream_.avail_in, output_length - stream_.avail_out, status_of(status)};
    if (step.produced > 0) crc_ = static_cast<uint32_t>(zlib().crc(crc_, output, static_cast<uInt>(step.produced)));
    return step;
  }

  void reset() override {
    zlib().inflate_reset(&stream_);
    crc_ = 0;
  }

  uint32_t crc() const override { return crc_; }

 private:
  static Inflated status_of(int status) {
    if (status == Z_STREAM_END) return Inflated::kEnded;
    if (status == Z_MEM_ERROR) return Inflated::kNoMemory;
    // Z_BUF_ERROR only means that there was no input, or no room for output.
    return status == Z_OK || status == Z_BUF_ERROR ? Inflated::kMore : Inflated::kDamaged;
  }

  z_stream stream_{};
  bool usable_ = false;
  uint32_t crc_ = 0;
};

std::unique_ptr<InflateStream> inflate_stream() {
  auto stream = std::make_unique<ZlibStream>();
  if (!stream->init()) return nullptr;
  return stream;
}

bool inflate_whole(const uint8_t* input, size_t input_length, uint8_t* output, size_t output_length, uint32_t crc) {
  ZlibStream stream;
  if (!stream.init()) return false;
  InflateStep step = stream.run(input, input_length, output, output_length);
  return step.status == Inflated::kEnded && step.consumed == input_length && step.produced == output_length && stream.crc() == crc;
}

size_t deflate(const uint8_t* input, size_t input_length, uint8_t* output, size_t output_length, int level) {
  z_stream stream{};
  if (zlib().deflate_init(&stream, level, Z_DEFLATED, kRaw, kMemory, Z_DEFAULT_STRATEGY, ZLIB_VERSION, sizeof stream) != Z_OK) return 0;
  stream.next_in = input_of(input);
  stream.avail_in = static_cast<uInt>(input_length);
  stream.next_out = output;
  stream.avail_out = static_cast<uInt>(output_length);
  bool ended = zlib().deflate(&stream, Z_FINISH) == Z_STREAM_END;
  size_t produced = output_length - stream.avail_out;
  zlib().deflate_end(&stream);
  return ended ? produced : 0;
}

}  // namespace

const DeflateLibrary* zlib_library() {
  static const DeflateLibrary library{inflate_stream, inflate_whole, deflate};
  return zlib().found() ? &library : nullptr;
}

uint32_t zlib_crc(const uint8_t* bytes, size_t length) {
  return static_cast<uint32_t>(zlib().crc(0, bytes, static_cast<uInt>(length)));
}

}  // namespace vdistream
