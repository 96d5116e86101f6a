/* Stands between a process and its files: records what is written, synced and answered, kills the process before the n-th
 * file operation, or lets the n-th fail. Built by shim.ts, loaded with LD_PRELOAD.
 *
 *   FAULT_PREFIX   only files whose path begins with this count; required
 *   FAULT_TRACE    file that records are appended to
 *   FAULT_KILL_AT  SIGKILL to itself before the n-th operation (from 1)
 *   FAULT_FAIL_AT  the n-th operation of a kind in FAULT_OPS fails with FAULT_ERRNO (a number); FAULT_PERSIST=1: and all after it
 *   FAULT_OPS      letters of the operations that may fail, of W (write), S (sync), T (truncate); WST unless said
 *   FAULT_COUNT    file that holds, as text, how many operations there were
 *
 * Operations are the kinds W, S, T, R (rename or link) and U (unlink). A record is a head of 24 bytes - kind, 3 bytes of padding,
 * u32 file, u64 offset or size, u32 length, u32 zero, little endian - and length bytes: O (opened for the first time: its
 * path), W (bytes at an offset), T (size), S (synced), D (their directory was synced), R (the new path), U, E (what failed: its
 * letter),
 * A (bytes sent on a socket that hold event_id). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FDS 4096
#define MAX_FILES 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
#define DIRECTORY (-1)
static int fd_file[MAX_FDS]; /* file number, 0: none */
static char *paths[MAX_FILES];
static int files;
static const char *prefix;
static size_t prefix_length, directory_length;
static int trace = -1, count_fd = -1;
static long operations, kill_at, fail_at, failures_met;
static int fail_errno, persist;
static const char *fail_ops = "WST";

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_close)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_link)(const char *, const char *);
static int (*real_unlink)(const char *);

static long number(const char *name) {
  const char *text = getenv(name);
  return text ? atol(text) : 0;
}

__attribute__((constructor)) static void begin(void) {
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_write = dlsym(RTLD_NEXT, "write");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
  real_close = dlsym(RTLD_NEXT, "close");
  real_rename = dlsym(RTLD_NEXT, "rename");
  real_link = dlsym(RTLD_NEXT, "link");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  prefix = getenv("FAULT_PREFIX");
  prefix_length = prefix ? strlen(prefix) : 0;
  directory_length = prefix ? (size_t)(strrchr(prefix, '/') - prefix) : 0;
  kill_at = number("FAULT_KILL_AT");
  fail_at = number("FAULT_FAIL_AT");
  fail_errno = (int)number("FAULT_ERRNO");
  persist = (int)number("FAULT_PERSIST");
  if (getenv("FAULT_OPS")) fail_ops = getenv("FAULT_OPS");
  int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
  const char *path = getenv("FAULT_TRACE");
  if (path) trace = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  path = getenv("FAULT_COUNT");
  if (path) count_fd = real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  /* Children are none of this. */
  unsetenv("LD_PRELOAD");
}

static void record(char kind, int file, uint64_t at, const void *bytes, uint32_t length) {
  if (trace < 0) return;
  unsigned char head[24] = {0};
  uint32_t number32 = (uint32_t)file;
  head[0] = (unsigned char)kind;
  memcpy(head + 4, &number32, 4);
  memcpy(head + 8, &at, 8);
  memcpy(head + 16, &length, 4);
  struct iovec parts[2] = {{head, 24}, {(void *)bytes, length}};
  real_writev(trace, parts, length ? 2 : 1);
}

/* Before an operation, the lock held: 0, or the errno that it is to fail with. */
static int before(char kind, int file) {
  operations++;
  if (count_fd >= 0) {
    char text[32];
    int length = snprintf(text, sizeof text, "%ld\n", operations);
    real_pwrite(count_fd, text, (size_t)length, 0);
  }
  if (kill_at && operations == kill_at) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  if (fail_at && strchr(fail_ops, kind)) {
    failures_met++;
    if (failures_met == fail_at || (persist && failures_met > fail_at)) {
      char of = file == DIRECTORY ? 'D' : kind;
      record('E', file, (uint64_t)operations, &of, 1);
      return fail_errno;
    }
  }
  return 0;
}

static int known(const char *path) {
  for (int file = 1; file <= files; file++)
    if (paths[file] && strcmp(paths[file], path) == 0) return file;
  return 0;
}

static int ours(const char *path) { return prefix_length && path && strncmp(path, prefix, prefix_length) == 0; }

static void opened(int fd, const char *path) {
  if (fd < 0 || fd >= MAX_FDS) return;
  fd_file[fd] = 0;
  if (directory_length && strlen(path) == directory_length && strncmp(path, prefix, directory_length) == 0) fd_file[fd] = DIRECTORY;
  if (!ours(path)) return;
  pthread_mutex_lock(&lock);
  int file = known(path);
  if (!file && files + 1 < MAX_FILES) {
    file = ++files;
    paths[file] = strdup(path);
    record('O', file, 0, path, (uint32_t)strlen(path));
  }
  fd_file[fd] = file;
  pthread_mutex_unlock(&lock);
}

static int file_of(int fd) { return fd >= 0 && fd < MAX_FDS ? fd_file[fd] : 0; }

#define OPEN(name)                                                    \
  int name(const char *path, int flags, ...) {                        \
    static int (*real)(const char *, int, ...);                       \
    if (!real) real = dlsym(RTLD_NEXT, #name);                        \
    mode_t mode = 0;                                                  \
    if (flags & (O_CREAT | __O_TMPFILE)) {                            \
      va_list rest;                                                   \
      va_start(rest, flags);                                          \
      mode = va_arg(rest, mode_t);                                    \
      va_end(rest);                                                   \
    }                                                                 \
    int fd = real(path, flags, mode);                                 \
    opened(fd, path);                                                 \
    return fd;                                                        \
  }
OPEN(open)
OPEN(open64)

int close(int fd) {
  if (fd >= 0 && fd < MAX_FDS) fd_file[fd] = 0;
  return real_close(fd);
}

static ssize_t written(int fd, const void *bytes, size_t length, off_t at) {
  pthread_mutex_lock(&lock);
  int error = before('W', file_of(fd));
  if (error) {
    pthread_mutex_unlock(&lock);
    errno = error;
    return -1;
  }
  ssize_t done = real_pwrite(fd, bytes, length, at);
  if (done > 0) record('W', file_of(fd), (uint64_t)at, bytes, (uint32_t)done);
  pthread_mutex_unlock(&lock);
  return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
  return file_of(fd) ? written(fd, bytes, length, at) : real_pwrite(fd, bytes, length, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) { return pwrite(fd, bytes, length, at); }

static int is_socket(int fd) {
  struct stat found;
  return fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode);
}

/* What is answered is noted before it leaves. */
static void sending(int fd, const struct iovec *parts, int count) {
  if (trace < 0 || fd == trace || !is_socket(fd)) return;
  for (int at = 0; at < count; at++)
    if (parts[at].iov_len && memmem(parts[at].iov_base, parts[at].iov_len, "event_id", 8)) {
      pthread_mutex_lock(&lock);
      record('A', fd, 0, parts[at].iov_base, (uint32_t)parts[at].iov_len);
      pthread_mutex_unlock(&lock);
    }
}

ssize_t write(int fd, const void *bytes, size_t length) {
  if (file_of(fd)) {
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = written(fd, bytes, length, at);
    if (done > 0) lseek(fd, at + done, SEEK_SET);
    return done;
  }
  struct iovec part = {(void *)bytes, length};
  sending(fd, &part, 1);
  return real_write(fd, bytes, length);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  sending(fd, parts, count);
  return real_writev(fd, parts, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  sending(fd, message->msg_iov, (int)message->msg_iovlen);
  return real_sendmsg(fd, message, flags);
}

static int synced(int fd, int (*real)(int)) {
  if (!file_of(fd)) return real(fd);
  pthread_mutex_lock(&lock);
  int error = before('S', file_of(fd));
  pthread_mutex_unlock(&lock);
  if (error) {
    errno = error;
    return -1;
  }
  int done = real(fd);
  pthread_mutex_lock(&lock);
  if (done == 0) record(file_of(fd) == DIRECTORY ? 'D' : 'S', file_of(fd), 0, 0, 0);
  pthread_mutex_unlock(&lock);
  return done;
}
int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

int ftruncate(int fd, off_t size) {
  if (!file_of(fd)) return real_ftruncate(fd, size);
  pthread_mutex_lock(&lock);
  int error = before('T', file_of(fd));
  int done = error ? -1 : real_ftruncate(fd, size);
  if (done == 0) record('T', file_of(fd), (uint64_t)size, 0, 0);
  pthread_mutex_unlock(&lock);
  if (error) errno = error;
  return done;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

/* Gives a file another name by rename or link, and records it as renamed. */
static int named(int (*call)(const char *, const char *), const char *from, const char *to) {
  if (!ours(from) && !ours(to)) return call(from, to);
  pthread_mutex_lock(&lock);
  before('R', 0);
  int file = known(from);
  int done = call(from, to);
  if (done == 0) record('R', file, 0, to, (uint32_t)strlen(to));
  if (done == 0 && file) {
    free(paths[file]);
    paths[file] = strdup(to);
  }
  pthread_mutex_unlock(&lock);
  return done;
}

int rename(const char *from, const char *to) { return named(real_rename, from, to); }

/* A file that gets its name by a link is recorded as renamed: the router removes the other name at once, and that is no operation
   on its content. */
int link(const char *from, const char *to) { return named(real_link, from, to); }

int unlink(const char *path) {
  if (!ours(path)) return real_unlink(path);
  pthread_mutex_lock(&lock);
  before('U', 0);
  int file = known(path);
  int done = real_unlink(path);
  if (done == 0 && file) {
    record('U', file, 0, 0, 0);
    free(paths[file]);
    paths[file] = 0;
  }
  pthread_mutex_unlock(&lock);
  return done;
}
