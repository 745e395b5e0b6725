#pragma once

#include <cstddef>
#include <cstdint>

namespace vdistream {

// Sums cover 2 MiB of disk each; a sum adds up what its 512-byte sectors hash to.
constexpr int64_t kSumSpan = 2 << 20;
constexpr size_t kSumSector = 512;

// The hash of one sector: XXH64 with the sector's number as the seed, and 0 for a sector of zeros.
uint64_t sector_hash(const uint8_t* sector, uint64_t number);

// Adds the sectors of data, which lies at byte `offset` of the disk (both multiples of 512), to their sums.
// Safe to call for different sectors from several threads at once. With `take` they are taken away again.
void add_sums(uint64_t* sums, size_t count, const uint8_t* data, size_t length, int64_t offset,
              bool take = false);

}  // namespace vdistream
