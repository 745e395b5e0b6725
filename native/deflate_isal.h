// The structures of libisal.so.2, with the fields that are used here. Their offsets and sizes are part of its ABI.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vdistream {

constexpr uint32_t kIsalGzipNoHeader = 2;  // crc_flag: compute the CRC-32 of gzip, expect neither header nor trailer
constexpr uint32_t kIsalFinish = 5;        // block_state: the stream has ended, and all of it has been output
constexpr uint32_t kIsalDeflateEnd = 11;   // state: the stream is complete
constexpr int kIsalMaxLevel = 3;
constexpr size_t kIsalLevelBuffer = 610'304;  // for the highest level, the largest that the header suggests

struct IsalInflate {
  uint8_t* next_out;
  uint32_t avail_out;
  uint32_t total_out;
  uint8_t* next_in;
  uint64_t read_in;  // bits that have been read ahead
  uint32_t avail_in;
  int32_t read_in_length;  // their number
  uint8_t tables[21'120];
  uint32_t block_state;
  uint32_t dict_length;
  uint32_t bfinal;
  uint32_t crc_flag;
  uint32_t crc;
  uint32_t hist_bits;
  uint8_t rest[66'184];
};

struct IsalDeflate {
  uint8_t* next_in;
  uint32_t avail_in;
  uint32_t total_in;
  uint8_t* next_out;
  uint32_t avail_out;
  uint32_t total_out;
  void* hufftables;
  uint32_t level;
  uint32_t level_buffer_size;
  uint8_t* level_buffer;
  uint16_t end_of_stream;
  uint16_t flush;
  uint16_t gzip_flag;
  uint16_t hist_bits;
  uint32_t internal[5];
  uint32_t state;
  uint8_t rest[82'296];
};

static_assert(sizeof(void*) != 8 || (offsetof(IsalInflate, block_state) == 21'160 && sizeof(IsalInflate) == 87'368));
static_assert(sizeof(void*) != 8 || (offsetof(IsalDeflate, state) == 84 && sizeof(IsalDeflate) == 82'384));

}  // namespace vdistream
