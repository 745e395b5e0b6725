// Checksums that do not depend on the order of writes or on how a disk is split: for every 2 MiB of disk, the sum
// modulo 2^64 of the hashes of its sectors. A zero sector has hash 0, so skipped or zeroed regions add nothing. Reading
// the target back produces the same sums if it holds the same sectors. 8 bytes for 2 MiB of disk.
//
// The hash is XXH64, as specified; 512 bytes are sixteen whole stripes, so its tail rules never apply.
#include "sums.h"

#include <atomic>
#include <bit>
#include <cstring>

#include "addon.h"
#include "arguments.h"

namespace vdistream {

namespace {

constexpr uint64_t kP1 = 0x9E3779B185EBCA87u;
constexpr uint64_t kP2 = 0xC2B2AE3D27D4EB4Fu;
constexpr uint64_t kP3 = 0x165667B19E3779F9u;
constexpr uint64_t kP4 = 0x85EBCA77C2B2AE63u;

inline uint64_t word(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline uint64_t lane_round(uint64_t lane, uint64_t input) { return std::rotl(lane + input * kP2, 31) * kP1; }
inline uint64_t merge(uint64_t hash, uint64_t lane) { return (hash ^ lane_round(0, lane)) * kP1 + kP4; }

}  // namespace

uint64_t sector_hash(const uint8_t* sector, uint64_t number) {
  // Zero regions are often most of a disk.
  if (word(sector) == 0 && std::memcmp(sector, sector + 8, kSumSector - 8) == 0) return 0;
  uint64_t a = number + kP1 + kP2, b = number + kP2, c = number, d = number - kP1;
  for (size_t at = 0; at < kSumSector; at += 32) {
    uint64_t w0 = word(sector + at), w1 = word(sector + at + 8), w2 = word(sector + at + 16), w3 = word(sector + at + 24);
    a = lane_round(a, w0);
    b = lane_round(b, w1);
    c = lane_round(c, w2);
    d = lane_round(d, w3);
  }
  uint64_t hash = std::rotl(a, 1) + std::rotl(b, 7) + std::rotl(c, 12) + std::rotl(d, 18);
  hash = merge(merge(merge(merge(hash, a), b), c), d) + kSumSector;
  hash = (hash ^ (hash >> 33)) * kP2;
  hash = (hash ^ (hash >> 29)) * kP3;
  return hash ^ (hash >> 32);
}

void add_sums(uint64_t* sums, size_t count, const uint8_t* data, size_t length, int64_t offset, bool take) {
  size_t done = 0;
  while (done < length) {
    size_t index = static_cast<size_t>((offset + done) / kSumSpan);
    if (index >= count) return;
    uint64_t sum = 0;
    do {
      sum += sector_hash(data + done, (offset + done) / kSumSector);
      done += kSumSector;
    } while (done < length && (offset + done) % kSumSpan != 0);
    std::atomic_ref<uint64_t>(sums[index]).fetch_add(take ? 0 - sum : sum, std::memory_order_relaxed);
  }
}

// addSums(sums, data, offset), takeSums(sums, data, offset)
template <bool kTake>
static napi_value add(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, kTake ? "takeSums" : "addSums");
  Sums sums = arguments.sums(0);
  Bytes data = arguments.bytes(1, "bytes");
  int64_t offset = arguments.offset(2);
  arguments.sectors(offset, data.length);
  if (arguments.refused()) return nullptr;
  add_sums(sums.data, sums.count, data.data, data.length, offset, kTake);
  return nullptr;
}

void init_sums(napi_env env, napi_value exports) {
  export_call(env, exports, "addSums", add<false>);
  export_call(env, exports, "takeSums", add<true>);
}

}  // namespace vdistream
