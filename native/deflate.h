// Raw deflate (RFC 1951), in and out. Two libraries can do it: the zlib inside Node, and ISA-L. Neither sees the gzip framing, which
// src/codec/ reads and writes, so that headers and trailers are judged alike whichever library does the work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace vdistream {

enum class Inflated { kMore, kEnded, kDamaged, kNoMemory };

struct InflateStep {
  size_t consumed = 0;
  size_t produced = 0;
  Inflated status = Inflated::kMore;
};

// One deflate stream that is inflated piece by piece.
class InflateStream {
 public:
  InflateStream() = default;
  virtual ~InflateStream() = default;
  InflateStream(const InflateStream&) = delete;
  InflateStream& operator=(const InflateStream&) = delete;
  // Both lengths are below 4 GiB. Continues until the input is used up, the output is full, or the stream ends; at its end, `consumed` is
  // exact.
  virtual InflateStep run(const uint8_t* input, size_t input_length, uint8_t* output, size_t output_length) = 0;
  virtual void reset() = 0;
  // Of all output of a stream that has ended.
  virtual uint32_t crc() const = 0;
};

struct DeflateLibrary {
  // Null without memory.
  std::unique_ptr<InflateStream> (*inflate_stream)();
  // Whether `input` is exactly one stream, of exactly `output_length` bytes with this CRC-32. Never writes more.
  bool (*inflate_whole)(const uint8_t* input, size_t input_length, uint8_t* output, size_t output_length, uint32_t crc);
  // The length of the stream; 0 if it does not fit, or without memory. `level` is one of gzip.
  size_t (*deflate)(const uint8_t* input, size_t input_length, uint8_t* output, size_t output_length, int level);
};

// The zlib inside Node, looked up at run time, so that the addon can still be loaded if a build of Node does not export it; then null.
const DeflateLibrary* zlib_library();
uint32_t zlib_crc(const uint8_t* bytes, size_t length);

// ISA-L, once `load_isal` has succeeded; until then null.
const DeflateLibrary* isal_library();
// Loads libisal.so.2 from this path or name, and tests it. Null, or why it cannot be used. The first that can be used stays.
const char* load_isal(const char* path);

// The argument `codec`: 0 is zlib, 1 is ISA-L. Refuses one that is not loaded.
class Arguments;
const DeflateLibrary* library_argument(Arguments& arguments, size_t index);

}  // namespace vdistream
