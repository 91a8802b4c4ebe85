/* Between a process and the C library: writes down what is done to the files of one folder, or sets the clock.

   FACEDEX_LAYER_LOG     the log, outside the folder; without it nothing is written down
   FACEDEX_LAYER_FOLDER  the folder, absolute, without a slash at the end
   FACEDEX_LAYER_CLOCK   a file of eight bytes: nanoseconds that are added to the time of day, whenever it is asked

   A record is a header of six 64-bit numbers (kind, file, offset, length of the data, of the path, of the second path),
   then data and paths. Files are told by their inode. Records stand in the order in which the calls took place, because
   each call and its record are made under one lock. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPENED = 1, WRITTEN, TRUNCATED, SYNCED, RENAMED, UNLINKED, FOLDER_SYNCED };
enum { MOST = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static const char *folder;
static size_t folder_length;
static uint64_t inode_of[MOST]; /* file descriptor -> inode, 0 where it is not watched */
static unsigned char is_folder[MOST], appends[MOST];
static volatile int64_t *shift;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    static int begun;
    if (begun) return;
    begun = 1;
    *(void **)&real_write = dlsym(RTLD_NEXT, "write");
    *(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    *(void **)&real_writev = dlsym(RTLD_NEXT, "writev");
    *(void **)&real_openat = dlsym(RTLD_NEXT, "openat");
    *(void **)&real_open = dlsym(RTLD_NEXT, "open");
    *(void **)&real_close = dlsym(RTLD_NEXT, "close");
    *(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
    *(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    *(void **)&real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
    *(void **)&real_rename = dlsym(RTLD_NEXT, "rename");
    *(void **)&real_unlink = dlsym(RTLD_NEXT, "unlink");
    *(void **)&real_unlinkat = dlsym(RTLD_NEXT, "unlinkat");
    *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *clock = getenv("FACEDEX_LAYER_CLOCK"), *log = getenv("FACEDEX_LAYER_LOG");
    if (clock) {
        int fd = real_open(clock, O_RDONLY);
        if (fd >= 0) {
            void *at = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
            if (at != MAP_FAILED) shift = at;
            real_close(fd);
        }
    }
    folder = getenv("FACEDEX_LAYER_FOLDER");
    if (log && folder) {
        folder_length = strlen(folder);
        log_fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
}

static int inside(const char *path) {
    return log_fd >= 0 && path && strncmp(path, folder, folder_length) == 0 &&
           (path[folder_length] == '/' || path[folder_length] == '\0');
}

static uint64_t watched(int fd) { return log_fd >= 0 && fd >= 0 && fd < MOST ? inode_of[fd] : 0; }

static void note(int kind, uint64_t file, uint64_t offset, const void *data, uint64_t length, const char *path,
                 const char *second) {
    uint64_t head[6] = {kind, file, offset, length, path ? strlen(path) : 0, second ? strlen(second) : 0};
    struct iovec parts[4] = {{head, sizeof head}, {(void *)data, length}, {(void *)path, head[4]}, {(void *)second, head[5]}};
    int before = errno;
    uint64_t all = sizeof head + length + head[4] + head[5];
    if ((uint64_t)real_writev(log_fd, parts, 4) != all) abort();
    errno = before;
}

static int opened(int fd, const char *path, int flags) {
    struct stat about;
    if (fd < 0 || fd >= MOST || !inside(path) || fstat(fd, &about)) return fd;
    inode_of[fd] = about.st_ino;
    is_folder[fd] = S_ISDIR(about.st_mode);
    appends[fd] = !!(flags & O_APPEND);
    if (!is_folder[fd]) note(OPENED, about.st_ino, !!(flags & O_TRUNC), NULL, 0, path, NULL);
    return fd;
}

#define MODE(last)                                                                                                     \
    mode_t mode = 0;                                                                                                   \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                                                             \
        va_list rest;                                                                                                  \
        va_start(rest, last);                                                                                          \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    begin();
    if (!inside(path)) return real_open(path, flags, mode);
    pthread_mutex_lock(&lock);
    int fd = opened(real_open(path, flags, mode), path, flags);
    pthread_mutex_unlock(&lock);
    return fd;
}

int openat(int at, const char *path, int flags, ...) {
    MODE(flags)
    begin();
    if (!inside(path)) return real_openat(at, path, flags, mode);
    pthread_mutex_lock(&lock);
    int fd = opened(real_openat(at, path, flags, mode), path, flags);
    pthread_mutex_unlock(&lock);
    return fd;
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return open(path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    MODE(flags)
    return openat(at, path, flags, mode);
}

int close(int fd) {
    begin();
    if (!watched(fd)) return real_close(fd);
    pthread_mutex_lock(&lock);
    inode_of[fd] = 0;
    int done = real_close(fd);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *data, size_t length) {
    begin();
    if (!watched(fd)) return real_write(fd, data, length);
    pthread_mutex_lock(&lock);
    off_t at = lseek(fd, 0, appends[fd] ? SEEK_END : SEEK_CUR);
    ssize_t done = real_write(fd, data, length);
    if (done > 0) note(WRITTEN, inode_of[fd], at, data, done, NULL, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at) {
    begin();
    if (!watched(fd)) return real_pwrite(fd, data, length, at);
    pthread_mutex_lock(&lock);
    ssize_t done = real_pwrite(fd, data, length, at);
    if (done > 0) note(WRITTEN, inode_of[fd], at, data, done, NULL, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t at) { return pwrite(fd, data, length, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    begin();
    if (!watched(fd)) return real_writev(fd, parts, count);
    ssize_t all = 0; /* one part after the other, each as a write of its own */
    for (int part = 0; part < count; part++) {
        ssize_t done = write(fd, parts[part].iov_base, parts[part].iov_len);
        if (done < 0) return all ? all : done;
        all += done;
        if ((size_t)done < parts[part].iov_len) break;
    }
    return all;
}

static int synced(int fd, int (*real)(int)) {
    begin();
    if (!watched(fd)) return real(fd);
    pthread_mutex_lock(&lock);
    int done = real(fd);
    if (!done) note(is_folder[fd] ? FOLDER_SYNCED : SYNCED, inode_of[fd], 0, NULL, 0, NULL, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) {
    begin();
    return synced(fd, real_fsync);
}

int fdatasync(int fd) {
    begin();
    return synced(fd, real_fdatasync);
}

int ftruncate(int fd, off_t length) {
    begin();
    if (!watched(fd)) return real_ftruncate(fd, length);
    pthread_mutex_lock(&lock);
    int done = real_ftruncate(fd, length);
    if (!done) note(TRUNCATED, inode_of[fd], length, NULL, 0, NULL, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

int rename(const char *from, const char *to) {
    begin();
    if (!inside(from) && !inside(to)) return real_rename(from, to);
    pthread_mutex_lock(&lock);
    int done = real_rename(from, to);
    if (!done) note(RENAMED, 0, 0, NULL, 0, from, to);
    pthread_mutex_unlock(&lock);
    return done;
}

int unlink(const char *path) {
    begin();
    if (!inside(path)) return real_unlink(path);
    pthread_mutex_lock(&lock);
    int done = real_unlink(path);
    if (!done) note(UNLINKED, 0, 0, NULL, 0, path, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}

int unlinkat(int at, const char *path, int flags) {
    begin();
    if (!inside(path) || (flags & AT_REMOVEDIR)) return real_unlinkat(at, path, flags);
    pthread_mutex_lock(&lock);
    int done = real_unlinkat(at, path, flags);
    if (!done) note(UNLINKED, 0, 0, NULL, 0, path, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    begin();
    int done = real_clock_gettime(which, now);
    if (!done && shift && which == CLOCK_REALTIME) {
        int64_t all = now->tv_sec * INT64_C(1000000000) + now->tv_nsec + *shift;
        now->tv_sec = all / INT64_C(1000000000);
        now->tv_nsec = all % INT64_C(1000000000);
    }
    return done;
}
