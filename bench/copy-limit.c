// The limit of any copy of a plain image: reads what a dynamic VHD holds, and writes it where it belongs, with nothing in between.
// Threads take pieces from a list that is complete before the first one starts; the writes are O_DIRECT if the target has it.
//
//   copy-limit IMAGE OFFSET TARGET [PIECE_BYTES [DEPTH [COPIES STRIDE]]]
//
// With COPIES, the disk is written that many times, each copy STRIDE bytes after the one before, and the copies grow at the same pace.
// IMAGE holds the VHD from byte OFFSET on. Only sectors that are present according to the bitmaps are moved. TARGET `null:` reads only.
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECTOR = 512, ALIGN = 4096 };

struct piece {
  uint64_t from, to, length;
};

static struct piece *pieces;
static size_t count, room;
static atomic_size_t next;
static int image, target = -1;
static size_t most = 2 << 20;

static void fail(const char *what) {
  fprintf(stderr, "copy-limit: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void read_all(void *into, size_t length, uint64_t at) {
  for (size_t filled = 0; filled < length;) {
    ssize_t got = pread(image, (char *)into + filled, length - filled, at + filled);
    if (got <= 0) fail("read");
    filled += got;
  }
}

// Extends the last piece if the range follows it on both sides.
static void add(uint64_t from, uint64_t to, uint64_t length) {
  struct piece *last = count > 0 ? &pieces[count - 1] : NULL;
  while (length > 0) {
    if (last != NULL && last->from + last->length == from && last->to + last->length == to && last->length < most) {
      uint64_t part = most - last->length < length ? most - last->length : length;
      last->length += part;
      from += part, to += part, length -= part;
      continue;
    }
    if (count == room) {
      room = room > 0 ? 2 * room : 1024;
      pieces = realloc(pieces, room * sizeof *pieces);
      if (pieces == NULL) fail("memory");
    }
    last = &pieces[count++];
    *last = (struct piece){from, to, 0};
  }
}

static void add_block(const uint8_t *bitmap, uint64_t from, uint64_t to, uint64_t sectors) {
  for (uint64_t start = 0; start < sectors;) {
    uint64_t end = start;
    while (end < sectors && (bitmap[end / 8] >> (7 - end % 8) & 1) != 0) end++;
    if (end > start) add(from + start * SECTOR, to + start * SECTOR, (end - start) * SECTOR);
    start = end > start ? end : start + 1;
  }
}

static uint64_t big(const uint8_t *at, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
  return value;
}

static void plan(uint64_t offset) {
  uint8_t footer[SECTOR], header[1024];
  read_all(footer, sizeof footer, offset);
  if (memcmp(footer, "conectix", 8) != 0 || big(footer + 60, 4) != 3) {
    errno = EINVAL;
    fail("no dynamic VHD there");
  }
  uint64_t size = big(footer + 48, 8);
  read_all(header, sizeof header, offset + big(footer + 16, 8));
  uint64_t block = big(header + 32, 4), entries = (size + block - 1) / block;
  uint64_t bitmap_bytes = (block / SECTOR / 8 + SECTOR - 1) / SECTOR * SECTOR;
  uint8_t *table = malloc(entries * 4), *bitmap = malloc(bitmap_bytes);
  if (table == NULL || bitmap == NULL) fail("memory");
  read_all(table, entries * 4, offset + big(header + 16, 8));
  for (uint64_t number = 0; number < entries; number++) {
    uint64_t sector = big(table + 4 * number, 4);
    if (sector == 0xffffffff) continue;
    uint64_t left = size - number * block;
    read_all(bitmap, bitmap_bytes, offset + sector * SECTOR);
    add_block(bitmap, offset + sector * SECTOR + bitmap_bytes, number * block, (left < block ? left : block) / SECTOR);
  }
  free(table);
  free(bitmap);
}

// Piece by piece for all copies, as programs that write them at the same time do.
static void repeat(size_t copies, uint64_t stride) {
  struct piece *all = malloc(count * copies * sizeof *all);
  if (all == NULL) fail("memory");
  for (size_t i = 0; i < count * copies; i++) {
    all[i] = pieces[i / copies];
    all[i].to += i % copies * stride;
  }
  free(pieces);
  pieces = all;
  count *= copies;
}

static void *worker(void *unused) {
  char *buffer = aligned_alloc(ALIGN, most);
  if (buffer == NULL) fail("memory");
  for (size_t at; (at = atomic_fetch_add(&next, 1)) < count;) {
    struct piece piece = pieces[at];
    read_all(buffer, piece.length, piece.from);
    for (uint64_t done = 0; target >= 0 && done < piece.length;) {
      ssize_t put = pwrite(target, buffer + done, piece.length - done, piece.to + done);
      if (put <= 0) fail("write");
      done += put;
    }
  }
  free(buffer);
  return unused;
}

int main(int argc, char **argv) {
  if (argc < 4 || argc == 7 || argc > 8)
    return fprintf(stderr, "copy-limit IMAGE OFFSET TARGET [PIECE_BYTES [DEPTH [COPIES STRIDE]]]\n"), 2;
  if (argc > 4) most = strtoull(argv[4], NULL, 10);
  int depth = argc > 5 ? atoi(argv[5]) : 8;
  if (most == 0 || most % ALIGN != 0 || depth < 1 || depth > 256) return fprintf(stderr, "no such size or depth\n"), 2;
  image = open(argv[1], O_RDONLY | O_CLOEXEC);
  if (image < 0) fail(argv[1]);
  if (strcmp(argv[3], "null:") != 0) {
    target = open(argv[3], O_WRONLY | O_DIRECT | O_CLOEXEC);
    if (target < 0 && errno == EINVAL) target = open(argv[3], O_WRONLY | O_CLOEXEC);
    if (target < 0) fail(argv[3]);
  }
  plan(strtoull(argv[2], NULL, 10));
  if (argc > 7) repeat(strtoull(argv[6], NULL, 10), strtoull(argv[7], NULL, 10));
  pthread_t threads[256];
  for (int i = 0; i < depth; i++)
    if (pthread_create(&threads[i], NULL, worker, NULL) != 0) fail("thread");
  for (int i = 0; i < depth; i++) pthread_join(threads[i], NULL);
  if (target >= 0 && fsync(target) != 0) fail("sync");
  return 0;
}
