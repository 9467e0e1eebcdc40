/* A disk that fills up or gets slow, for one folder of one process. Loaded with LD_PRELOAD.

   STRESS_DISK_FOLDER   files whose path contains this text are on the disk
   STRESS_DISK_CONTROL  a file of two 32-bit integers, mapped: what fails now, and how long a write waits
                        first: 0 all is well, 1 writes, new files and new folders fail with ENOSPC
                        second: milliseconds before each write and sync

   Only what is opened through the C library is seen; RocksDB does so. Reads never fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS 65536
static volatile unsigned char on_disk[FDS];
static volatile int32_t *control;
static const char *folder;

static int (*real_open)(const char *, int, ...);
static int (*real_open64)(const char *, int, ...);
static int (*real_close)(int);
static int (*real_mkdir)(const char *, mode_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);

__attribute__((constructor)) static void begin(void) {
  real_open = dlsym(RTLD_NEXT, "open");
  real_open64 = dlsym(RTLD_NEXT, "open64");
  real_close = dlsym(RTLD_NEXT, "close");
  real_mkdir = dlsym(RTLD_NEXT, "mkdir");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_write = dlsym(RTLD_NEXT, "write");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite");
  real_writev = dlsym(RTLD_NEXT, "writev");
  folder = getenv("STRESS_DISK_FOLDER");
  const char *path = getenv("STRESS_DISK_CONTROL");
  if (!folder || !path) return;
  int fd = real_open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void *map = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
  real_close(fd);
  if (map != MAP_FAILED) control = map;
}

static int watched(const char *path) { return control && path && strstr(path, folder) != NULL; }

static int full(void) {
  if (control[0] != 1) return 0;
  errno = ENOSPC;
  return 1;
}

static void wait_a_little(void) {
  int32_t ms = control[1];
  if (ms <= 0) return;
  struct timespec pause = {ms / 1000, (ms % 1000) * 1000000L};
  nanosleep(&pause, NULL);
}

/* Whether the operation on this descriptor must fail; waits when the disk is slow. */
static int fails(int fd) {
  if (!control || fd < 0 || fd >= FDS || !on_disk[fd]) return 0;
  wait_a_little();
  return full();
}

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
  int ours = watched(path);
  if (ours && (flags & O_CREAT) && access(path, F_OK) != 0 && full()) return -1;
  int fd = real(path, flags, mode);
  if (fd >= 0 && fd < FDS) on_disk[fd] = (unsigned char)ours;
  return fd;
}

#define MODE_OF(flags, mode)                   \
  mode_t mode = 0;                             \
  if ((flags) & (O_CREAT | O_TMPFILE)) {       \
    va_list rest;                              \
    va_start(rest, flags);                     \
    mode = va_arg(rest, mode_t);               \
    va_end(rest);                              \
  }

int open(const char *path, int flags, ...) {
  MODE_OF(flags, mode)
  return opened(real_open, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  MODE_OF(flags, mode)
  return opened(real_open64, path, flags, mode);
}

int close(int fd) {
  if (fd >= 0 && fd < FDS) on_disk[fd] = 0;
  return real_close(fd);
}

int mkdir(const char *path, mode_t mode) {
  if (watched(path) && full()) return -1;
  return real_mkdir(path, mode);
}

int ftruncate(int fd, off_t length) { return fails(fd) ? -1 : real_ftruncate(fd, length); }
int fsync(int fd) { return fails(fd) ? -1 : real_fsync(fd); }
int fdatasync(int fd) { return fails(fd) ? -1 : real_fdatasync(fd); }
ssize_t write(int fd, const void *from, size_t size) { return fails(fd) ? -1 : real_write(fd, from, size); }
ssize_t pwrite(int fd, const void *from, size_t size, off_t at) {
  return fails(fd) ? -1 : real_pwrite(fd, from, size, at);
}
ssize_t pwrite64(int fd, const void *from, size_t size, off_t at) {
  return fails(fd) ? -1 : real_pwrite(fd, from, size, at);
}
ssize_t writev(int fd, const struct iovec *from, int count) {
  return fails(fd) ? -1 : real_writev(fd, from, count);
}
