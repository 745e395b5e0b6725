"""The page cache of a file: counts its pages (mincore(2)), and maps some. A request is a line of JSON, and so is the answer."""

import ctypes
import json
import mmap
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def resident(path):
    fd = os.open(path, os.O_RDONLY)
    size = os.fstat(fd).st_size
    address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    pages = ctypes.create_string_buffer((size + mmap.PAGESIZE - 1) // mmap.PAGESIZE)
    if libc.mincore(address, size, pages) != 0:
        raise OSError(ctypes.get_errno(), "mincore")
    libc.munmap(address, size)
    os.close(fd)
    return sum(flags & 1 for flags in pages.raw[: len(pages)])


def mapped(path, dirty):
    with open(path, "r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
    memory[0]
    if dirty:
        memory[0] = 1
    return memory


held = None
for line in sys.stdin:
    request = json.loads(line)
    if "count" in request:
        print(resident(request["count"]), flush=True)
    elif "map" in request:
        held = mapped(request["map"], request["dirty"])
        print("true", flush=True)
    else:
        held.close()
        print("true", flush=True)
