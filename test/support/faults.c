/*
 * Makes system calls of one process fail: gcc -shared -fPIC, then LD_PRELOAD.
 *
 *   FAULTS       rules separated by spaces: CALL:ACTION:FIRST:COUNT, COUNT 0 for all from FIRST on, the first call being 1
 *                CALL    open direct unnamed read write sync zero truncate advise lock close link unlink rename map thread
 *                ACTION  an errno as a number, or "short" and a number of bytes: the call moves no more than that. Only calls that
 *                        would have moved more count for FIRST and COUNT.
 *   FAULTS_PATH  counts only calls on descriptors, and on paths, that contain it
 *   FAULTS_LOG   a file that gets a line for each counted call: its name, "!" if it was made to fail, and of reads and writes the
 *                number of bytes that they could have moved
 *
 * "direct" is an open with O_DIRECT, "unnamed" one with O_TMPFILE; both are "open" too. "zero" is fallocate, and ioctl with BLKZEROOUT.
 * "lock" is fcntl with F_OFD_SETLK. Of "map" (mmap) and "thread", only the addon's own calls count.
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

enum call { OPEN, DIRECT, UNNAMED, READ, WRITE, SYNC, ZERO, TRUNCATE, ADVISE, LOCK, CLOSE, LINK, UNLINK, RENAME, MAP, THREAD, CALLS };
static const char *const names[CALLS] = {"open", "direct", "unnamed", "read", "write", "sync", "zero", "truncate",
                                         "advise", "lock", "close", "link", "unlink", "rename", "map", "thread"};

struct rule {
  enum call call;
  int error; /* 0: short */
  long bytes, first, count;
  atomic_long seen;
};

static struct rule rules[16];
static int rule_count;
static const char *path_part;
static int log_fd = -1;
static pid_t self;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void start(void) {
  path_part = getenv("FAULTS_PATH");
  const char *log = getenv("FAULTS_LOG");
  if (log != NULL) log_fd = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  char *text = strdup(getenv("FAULTS") != NULL ? getenv("FAULTS") : ""), *rest = text, *word;
  while ((word = strsep(&rest, " ")) != NULL && rule_count < 16) {
    char call[16], action[32];
    struct rule *rule = &rules[rule_count];
    if (sscanf(word, "%15[^:]:%31[^:]:%ld:%ld", call, action, &rule->first, &rule->count) != 4) continue;
    rule->bytes = strncmp(action, "short", 5) == 0 ? atol(action + 5) : 0;
    rule->error = strncmp(action, "short", 5) == 0 ? 0 : atoi(action);
    for (rule->call = 0; rule->call < CALLS && strcmp(call, names[rule->call]) != 0;) rule->call++;
    if (rule->call < CALLS) rule_count++;
  }
  free(text);
  unsetenv("LD_PRELOAD"); /* not for the programs that this one starts */
  self = getpid();
}

static int is_self(void) { return self != 0 && getpid() == self; }

/* Counts the call in each rule that it is a case of, and returns the rule that makes it fail, or NULL. */
static const struct rule *rule_for(enum call call, int is_short, ssize_t moved) {
  const struct rule *found = NULL;
  for (int i = 0; i < rule_count; i++) {
    struct rule *rule = &rules[i];
    if (rule->call != call || (rule->error == 0) != is_short || (is_short && moved <= rule->bytes)) continue;
    long number = atomic_fetch_add(&rule->seen, 1) + 1;
    if (number >= rule->first && (rule->count == 0 || number < rule->first + rule->count)) found = rule;
  }
  return found;
}

static void log_call(enum call call, int failed, ssize_t moved) {
  int saved = errno;
  char line[48];
  int length = snprintf(line, sizeof line, "%s%s", names[call], failed ? "!" : "");
  if (moved > 0) length += snprintf(line + length, sizeof line - length, " %zd", moved);
  line[length++] = '\n';
  if (log_fd >= 0 && write(log_fd, line, length) < 0) abort();
  errno = saved;
}

static const struct rule *hit(enum call call) {
  if (!is_self()) return NULL;
  const struct rule *rule = rule_for(call, 0, 0);
  log_call(call, rule != NULL, 0);
  return rule;
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

/* Of a call that is short each time, no more than needed is moved: else 4 MiB in steps of 512 bytes would move 16 GiB. */
static size_t capped(enum call call, size_t length) {
  for (int i = 0; i < rule_count; i++) {
    const struct rule *rule = &rules[i];
    size_t enough = (rule->bytes / 4096 + 1) * 4096;
    if (rule->call == call && rule->error == 0 && rule->first <= 1 && rule->count == 0 && enough < length) length = enough;
  }
  return length;
}

/* O_DIRECT refuses odd lengths, so whole pages are moved and less is reported. */
#define MOVE(call, fd, action)                                                \
  if (!is_self() || !concerns(fd)) return (action);                           \
  const struct rule *rule = rule_for(call, 0, 0);                             \
  if (rule != NULL) log_call(call, 1, 0);                                     \
  if (rule != NULL) return fail(rule);                                        \
  ssize_t moved = (action);                                                   \
  int saved = errno;                                                          \
  rule = moved > 0 ? rule_for(call, 1, moved) : NULL;                         \
  log_call(call, rule != NULL, moved);                                        \
  errno = saved;                                                              \
  return rule != NULL ? rule->bytes : moved;

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { MOVE(WRITE, fd, REAL(pwrite64)(fd, data, capped(WRITE, length), at)) }
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }
ssize_t pread64(int fd, void *data, size_t length, off64_t at) { MOVE(READ, fd, REAL(pread64)(fd, data, capped(READ, length), at)) }
ssize_t pread(int fd, void *data, size_t length, off_t at) { return pread64(fd, data, length, at); }
ssize_t preadv64(int fd, const struct iovec *parts, int count, off64_t at) { MOVE(READ, fd, REAL(preadv64)(fd, parts, count, at)) }
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

/* Returns the error. */
int posix_fadvise64(int fd, off64_t at, off64_t length, int advice) {
  const struct rule *rule = hit_fd(ADVISE, fd);
  return rule != NULL ? rule->error : REAL(posix_fadvise64)(fd, at, length, advice);
}
int posix_fadvise(int fd, off_t at, off_t length, int advice) { return posix_fadvise64(fd, at, length, advice); }

int fcntl64(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  if (command != F_OFD_SETLK) return REAL(fcntl64)(fd, command, argument);
  CALL(LOCK, fd, REAL(fcntl64)(fd, command, argument))
}
/* What the addon calls, so that it runs with a glibc that has no fcntl64. */
int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  return fcntl64(fd, command, argument);
}

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

/* A file system without O_DIRECT refuses it once it has found or created the file (before Linux 6.6, do_dentry_open of fs/open.c). */
static int open_without_direct(const struct rule *rule, const char *path, int flags, mode_t mode) {
  int fd = REAL(open64)(path, flags & ~O_DIRECT, mode);
  if (fd < 0) return -1;
  REAL(close)(fd);
  return fail(rule);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if (!concerns_path(path)) return REAL(open64)(path, flags, mode);
  const struct rule *rule = hit(OPEN);
  if (rule == NULL && (flags & O_TMPFILE) == O_TMPFILE) rule = hit(UNNAMED);
  if (rule != NULL) return fail(rule);
  rule = flags & O_DIRECT ? hit(DIRECT) : NULL;
  return rule != NULL ? open_without_direct(rule, path, flags, mode) : REAL(open64)(path, flags, mode);
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

int link(const char *path, const char *name) {
  const struct rule *rule = concerns_path(name) ? hit(LINK) : NULL;
  return rule != NULL ? fail(rule) : REAL(link)(path, name);
}
int unlink(const char *path) {
  const struct rule *rule = concerns_path(path) ? hit(UNLINK) : NULL;
  return rule != NULL ? fail(rule) : REAL(unlink)(path);
}
int rename(const char *path, const char *name) {
  const struct rule *rule = concerns_path(path) ? hit(RENAME) : NULL;
  return rule != NULL ? fail(rule) : REAL(rename)(path, name);
}

static void *map(const void *caller, void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
  static void *(*next)(void *, size_t, int, int, int, off64_t);
  if (next == NULL) next = REAL(mmap64);
  const struct rule *rule = self != 0 && in_addon(caller) ? hit(MAP) : NULL;
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
