#pragma once

#include <cstddef>
#include <cstdint>

namespace vdistream {

// Each sum covers 2 MiB of disk: it adds up the hashes of the 512-byte sectors.
constexpr int64_t kSumSpan = 2 << 20;
constexpr size_t kSumSector = 512;

// The hash of one sector: XXH64 with the sector number as the seed; 0 for a sector of zeros.
uint64_t sector_hash(const uint8_t* sector, uint64_t number);

// Adds the sectors of `data`, at byte `offset` of the disk (both multiples of 512), to their sums; with `take` subtracts
// them. Several threads may call this concurrently for different sectors.
void add_sums(uint64_t* sums, size_t count, const uint8_t* data, size_t length, int64_t offset,
              bool take = false);

}  // namespace vdistream
