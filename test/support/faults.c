/*
 * Makes system calls of one process fail: gcc -shared -fPIC, then LD_PRELOAD.
 *
 *   FAULTS       rules separated by spaces: CALL:ACTION:FIRST:COUNT, COUNT 0 for all from FIRST on, the first call being 1
 *                CALL    open read write sync zero truncate close link map thread
 *                ACTION  an errno as a number, or "short" and a number of bytes: the call moves no more than that
 *   FAULTS_PATH  counts only calls on descriptors, and opens of paths, that contain it
 *   FAULTS_LOG   a file that gets a line for each counted call: its name, and "!" if it was made to fail
 *
 * "zero" is fallocate, and ioctl with BLKZEROOUT. Of "map" (mmap) and "thread", only the addon's own calls count.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum call { OPEN, READ, WRITE, SYNC, ZERO, TRUNCATE, CLOSE, LINK, MAP, THREAD, CALLS };
static const char *const names[CALLS] = {"open", "read", "write", "sync", "zero", "truncate", "close", "link", "map", "thread"};

struct rule {
  enum call call;
  int error; /* 0: short */
  long bytes, first, count;
};

static struct rule rules[16];
static int rule_count;
static const char *path_part;
static int log_fd = -1;
static pid_t self;
static atomic_long counts[CALLS];

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void start(void) {
  path_part = getenv("FAULTS_PATH");
  const char *log = getenv("FAULTS_LOG");
  if (log != NULL) log_fd = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  char *text = strdup(getenv("FAULTS") != NULL ? getenv("FAULTS") : ""), *rest = text, *word;
  while ((word = strsep(&rest, " ")) != NULL && rule_count < 16) {
    char call[16], action[32];
    struct rule rule;
    if (sscanf(word, "%15[^:]:%31[^:]:%ld:%ld", call, action, &rule.first, &rule.count) != 4) continue;
    rule.bytes = strncmp(action, "short", 5) == 0 ? atol(action + 5) : 0;
    rule.error = strncmp(action, "short", 5) == 0 ? 0 : atoi(action);
    for (rule.call = 0; rule.call < CALLS && strcmp(call, names[rule.call]) != 0;) rule.call++;
    if (rule.call < CALLS) rules[rule_count++] = rule;
  }
  free(text);
  unsetenv("LD_PRELOAD"); /* not for the programs that this one starts */
  self = getpid();
}

/* The rule for this call, or NULL. Counts it. */
static const struct rule *hit(enum call call) {
  if (self == 0 || getpid() != self) return NULL;
  long number = atomic_fetch_add(&counts[call], 1) + 1;
  const struct rule *found = NULL;
  for (int i = 0; i < rule_count; i++) {
    const struct rule *rule = &rules[i];
    if (rule->call == call && number >= rule->first && (rule->count == 0 || number < rule->first + rule->count)) found = rule;
  }
  if (log_fd >= 0) {
    char line[24];
    int length = snprintf(line, sizeof line, "%s%s\n", names[call], found != NULL ? "!" : "");
    if (write(log_fd, line, length) < 0) return found;
  }
  return found;
}

static int concerns_path(const char *path) { return path_part == NULL || strstr(path, path_part) != NULL; }

static int concerns(int fd) {
  if (path_part == NULL) return 1;
  char link[32], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return concerns_path(path);
}

static const struct rule *hit_fd(enum call call, int fd) {
  int saved = errno;
  const struct rule *rule = concerns(fd) ? hit(call) : NULL;
  errno = saved;
  return rule;
}

static int fail(const struct rule *rule) {
  errno = rule->error;
  return -1;
}

/* Whether this address is in the addon. */
static int in_addon(const void *address) {
  Dl_info found;
  return dladdr(address, &found) != 0 && found.dli_fname != NULL && strstr(found.dli_fname, "vdistream") != NULL &&
         strstr(found.dli_fname, ".node") != NULL;
}

/* What a short call moves: never more than it was asked to. */
static size_t at_most(const struct rule *rule, size_t count) { return count < (size_t)rule->bytes ? count : (size_t)rule->bytes; }

/* O_DIRECT refuses odd lengths, so the whole is moved and less is reported. */
#define MOVE(call, fd, length, action)                                           \
  const struct rule *rule = hit_fd(call, fd);                                    \
  if (rule != NULL && rule->error != 0) return fail(rule);                       \
  ssize_t moved = (action);                                                      \
  return rule != NULL && moved > 0 ? (ssize_t)at_most(rule, (size_t)moved) : moved;

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { MOVE(WRITE, fd, length, REAL(pwrite64)(fd, data, length, at)) }
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }
ssize_t pread64(int fd, void *data, size_t length, off64_t at) { MOVE(READ, fd, length, REAL(pread64)(fd, data, length, at)) }
ssize_t pread(int fd, void *data, size_t length, off_t at) { return pread64(fd, data, length, at); }
ssize_t preadv64(int fd, const struct iovec *parts, int count, off64_t at) { MOVE(READ, fd, count, REAL(preadv64)(fd, parts, count, at)) }
ssize_t preadv(int fd, const struct iovec *parts, int count, off_t at) { return preadv64(fd, parts, count, at); }

#define CALL(call, fd, action)                   \
  const struct rule *rule = hit_fd(call, fd);    \
  return rule != NULL ? fail(rule) : (action);

int fsync(int fd) { CALL(SYNC, fd, REAL(fsync)(fd)) }
int fdatasync(int fd) { CALL(SYNC, fd, REAL(fdatasync)(fd)) }
int ftruncate64(int fd, off64_t length) { CALL(TRUNCATE, fd, REAL(ftruncate64)(fd, length)) }
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }
int fallocate64(int fd, int mode, off64_t at, off64_t length) { CALL(ZERO, fd, REAL(fallocate64)(fd, mode, at, length)) }
int fallocate(int fd, int mode, off_t at, off_t length) { return fallocate64(fd, mode, at, length); }

int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  if (request != BLKZEROOUT) return REAL(ioctl)(fd, request, argument);
  CALL(ZERO, fd, REAL(ioctl)(fd, request, argument))
}

/* As on Linux, the descriptor is closed even if close fails. */
int close(int fd) {
  const struct rule *rule = hit_fd(CLOSE, fd);
  int status = REAL(close)(fd);
  return rule != NULL ? fail(rule) : status;
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  const struct rule *rule = concerns_path(path) ? hit(OPEN) : NULL;
  return rule != NULL ? fail(rule) : REAL(open64)(path, flags, mode);
}
int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open64(path, flags, mode);
}

int linkat(int from, const char *path, int to, const char *name, int flags) {
  const struct rule *rule = concerns_path(name) ? hit(LINK) : NULL;
  return rule != NULL ? fail(rule) : REAL(linkat)(from, path, to, name, flags);
}

static void *map(const void *caller, void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
  static void *(*next)(void *, size_t, int, int, int, off64_t);
  if (next == NULL) next = REAL(mmap64);
  const struct rule *rule = self != 0 && fd < 0 && in_addon(caller) ? hit(MAP) : NULL;
  if (rule == NULL) return next(at, length, protection, flags, fd, offset);
  errno = rule->error;
  return MAP_FAILED;
}
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
  return map(__builtin_return_address(0), at, length, protection, flags, fd, offset);
}
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
  return map(__builtin_return_address(0), at, length, protection, flags, fd, offset);
}

/* Returns the error, as pthread_create does. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
  const struct rule *rule = in_addon((void *)body) ? hit(THREAD) : NULL;
  return rule != NULL ? rule->error : REAL(pthread_create)(thread, attributes, body, argument);
}
