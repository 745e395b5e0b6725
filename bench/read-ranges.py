"""Reads from a device, with O_DIRECT, the ranges that are data in a sparse file: read-ranges.py FILE DEVICE."""

import mmap
import os
import sys

BLOCK = 2 << 20
CHUNK = 4 << 20

file = os.open(sys.argv[1], os.O_RDONLY)
device = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECT)
size = os.fstat(file).st_size
buffer = mmap.mmap(-1, CHUNK)
at = 0
while at < size:
    try:
        start = os.lseek(file, at, os.SEEK_DATA)
    except OSError:
        break
    # Whole blocks, as in a VHD.
    end = min(size, -(-os.lseek(file, start, os.SEEK_HOLE) // BLOCK) * BLOCK)
    start = max(at, start // BLOCK * BLOCK)
    while start < end:
        read = os.preadv(device, [memoryview(buffer)[: min(CHUNK, end - start)]], start)
        if read <= 0:
            raise SystemExit(f'no data at byte {start}')
        start += read
    at = end
