/* Stands between a program and the C library and records what it does to the files of one folder:
 * writes, cuts, syncs and renames, in order, one a line. For the tests of power loss only. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int out = -1;
static const char *below;

static ssize_t (*real_write)(int, const void *, size_t);

static void start(void) {
    if (real_write) return;
    real_write = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    below = getenv("TRACE_BELOW");
    const char *to = getenv("TRACE_TO");
    if (below && to) out = open(to, O_WRONLY | O_CREAT | O_APPEND, 0600);
}

/* The path behind a descriptor, if it is in the folder. */
static const char *path_of(int fd, char *path, size_t size) {
    char link[64];
    start();
    if (out < 0 || fd == out) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, size - 1);
    if (n <= 0) return NULL;
    path[n] = 0;
    return strncmp(path, below, strlen(below)) == 0 ? path : NULL;
}

static void record_write(const char *path, off_t at, const unsigned char *bytes, size_t n) {
    char *line = malloc(4200 + 2 * n);
    int end = sprintf(line, "w %s %lld ", path, (long long)at);
    for (size_t i = 0; i < n; i++) end += sprintf(line + end, "%02x", bytes[i]);
    line[end++] = '\n';
    real_write(out, line, end);
    free(line);
}

static void record(const char *what, const char *path, long long number) {
    char line[4200];
    int end = number < 0 ? sprintf(line, "%s %s\n", what, path) : sprintf(line, "%s %s %lld\n", what, path, number);
    real_write(out, line, end);
}

/* The operation and its record are one step: a later operation of another thread is recorded later. */
#define REAL(type, name, ...) type (*real)(__VA_ARGS__) = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static ssize_t at_offset(ssize_t (*real)(int, const void *, size_t, off_t), int fd, const void *p, size_t n, off_t at) {
    char path[4096];
    const char *name = path_of(fd, path, sizeof path);
    if (!name) return real(fd, p, n, at);
    pthread_mutex_lock(&lock);
    ssize_t done = real(fd, p, n, at);
    if (done > 0) record_write(name, at, p, done);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    return at_offset(real, fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
    return at_offset(real, fd, p, n, at);
}

ssize_t write(int fd, const void *p, size_t n) {
    char path[4096];
    const char *name = path_of(fd, path, sizeof path);
    if (!name) return real_write(fd, p, n);
    pthread_mutex_lock(&lock);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = real_write(fd, p, n);
    if (done > 0) record_write(name, at < 0 ? 0 : at, p, done);
    pthread_mutex_unlock(&lock);
    return done;
}

static int cut(int (*real)(int, off_t), int fd, off_t size) {
    char path[4096];
    const char *name = path_of(fd, path, sizeof path);
    pthread_mutex_lock(&lock);
    int done = real(fd, size);
    if (name && done == 0) record("t", name, size);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t size) {
    REAL(int, "ftruncate", int, off_t);
    return cut(real, fd, size);
}

int ftruncate64(int fd, off64_t size) {
    REAL(int, "ftruncate64", int, off_t);
    return cut(real, fd, size);
}

/* No other recorded operation runs during a sync, so what stands before it in the record is what it synced. */
static int synced(int (*real)(int), int fd) {
    char path[4096];
    const char *name = path_of(fd, path, sizeof path);
    pthread_mutex_lock(&lock);
    int done = real(fd);
    if (name && done == 0) record("s", name, -1);
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    return synced(real, fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    return synced(real, fd);
}

/* A file that is opened to be written anew is cut. */
static int opened(int fd, int flags) {
    char path[4096];
    const char *name = fd >= 0 && (flags & O_TRUNC) ? path_of(fd, path, sizeof path) : NULL;
    if (name) {
        pthread_mutex_lock(&lock);
        record("t", name, 0);
        pthread_mutex_unlock(&lock);
    }
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & O_CREAT) { \
        va_list list; \
        va_start(list, flags); \
        mode = va_arg(list, mode_t); \
        va_end(list); \
    }

int open(const char *path, int flags, ...) {
    REAL(int, "open", const char *, int, ...);
    MODE(flags)
    return opened(real(path, flags, mode), flags);
}

int open64(const char *path, int flags, ...) {
    REAL(int, "open64", const char *, int, ...);
    MODE(flags)
    return opened(real(path, flags, mode), flags);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    start();
    pthread_mutex_lock(&lock);
    int done = real(from, to);
    if (done == 0 && out >= 0 && strncmp(from, below, strlen(below)) == 0) {
        char line[8400];
        int end = snprintf(line, sizeof line, "r %s %s\n", from, to);
        real_write(out, line, end);
    }
    pthread_mutex_unlock(&lock);
    return done;
}
