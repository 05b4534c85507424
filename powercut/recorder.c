/* Loaded before everything else (LD_PRELOAD) into the gateway: notes what it does to the files of its state
 * directory, and when it begins to say 250, in one log; makes chosen calls fail; kills the process at a chosen call.
 *
 * POWERCUT_STATE  the directory whose files are watched (absolute, without a slash at its end)
 * POWERCUT_LOG    the file the log is appended to; empty: no log
 * POWERCUT_PAGE   a file of 4096 octets, shared by all processes: struct page below
 *
 * A change is noted after it was made and before the caller goes on, under one lock a process; a sync is noted when
 * it begins and when it has returned; a reply before its first octet is given to the kernel. So whatever the program
 * may rely on having happened before a call stands before that call in the log. powercut/tracing.py reads it.
 */
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
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <limits.h>

#define FDS 65536
#define MAGIC 0x31435047u
#define HIGH_FD 900

enum op { OPEN = 1, WRITE, TRUNCATE, ALLOCATE, RENAME, LINK, UNLINK, SYNC_BEGIN, SYNC_END, MKDIR, SAY, MAP, DELIVERED, UNKNOWN };
enum { IS_DIRECTORY = 1, IS_NEW = 2 };

struct __attribute__((packed)) head {
    uint32_t magic;
    uint8_t op, flags;
    uint16_t zero;
    int32_t result; /* 0, or the errno */
    uint32_t pid;
    uint64_t ino;
    int64_t offset;
    uint32_t path_bytes, other_bytes;
    uint64_t data_bytes;
};

struct page {
    uint64_t calls;      /* write and sync calls so far, of all processes */
    uint64_t fail_first; /* the first call that fails; 0: none */
    uint64_t fail_count; /* how many calls from there on fail */
    uint64_t fail_errno;
    uint64_t die_at;     /* the call at which the process is killed instead; 0: never */
    uint64_t failed;     /* how many calls have failed */
    uint64_t aim_thread; /* a thread whose calls are counted for themselves; 0: none */
    uint64_t aim_at;     /* the one of them at which its process is killed instead; 0: never */
    uint64_t aim_calls;  /* how many it has made */
    uint64_t aim_hit_ns; /* when it was killed (CLOCK_MONOTONIC); 0: it was not */
};

static const char *state;
static size_t state_bytes;
static int log_fd = -1;
static struct page *page;
static uint8_t watched[FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) \
    static type (*real_##name)(__VA_ARGS__); \
    if (!real_##name) *(void **)&real_##name = dlsym(RTLD_NEXT, #name)

static void in_child(void) { pthread_mutex_init(&lock, NULL); }

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("POWERCUT_LOG"), *shared = getenv("POWERCUT_PAGE");
    state = getenv("POWERCUT_STATE");
    if (!state || !*state) return;
    state_bytes = strlen(state);
    if (log && *log) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0) {
            log_fd = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
            syscall(SYS_close, fd);
        }
        if (log_fd < 0) {
            dprintf(2, "powercut: %s cannot be opened: %s\n", log, strerror(errno));
            _exit(99);
        }
    }
    if (shared && *shared) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, shared, O_RDWR | O_CLOEXEC);
        page = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED) {
            dprintf(2, "powercut: %s cannot be mapped: %s\n", shared, strerror(errno));
            _exit(99);
        }
        syscall(SYS_close, fd);
    }
    pthread_atfork(NULL, NULL, in_child);
}

/* One record, in one call: records of several processes do not mix. */
static void note(int op, int flags, int result, uint64_t ino, int64_t offset, const char *path, const char *other,
                 const struct iovec *data, int pieces, size_t data_bytes) {
    if (log_fd < 0) return;
    int kept = errno;
    struct head head = {.magic = MAGIC, .op = (uint8_t)op, .flags = (uint8_t)flags, .result = result,
                        .pid = (uint32_t)getpid(), .ino = ino, .offset = offset,
                        .path_bytes = path ? (uint32_t)strlen(path) : 0,
                        .other_bytes = other ? (uint32_t)strlen(other) : 0, .data_bytes = data_bytes};
    struct iovec all[3 + 64] = {{&head, sizeof head}, {(void *)path, head.path_bytes}, {(void *)other, head.other_bytes}};
    size_t total = sizeof head + head.path_bytes + head.other_bytes + data_bytes;
    int count = 3;
    for (size_t left = data_bytes; left > 0 && pieces > 0; data++, pieces--) {
        if (count == 3 + 64) break;
        size_t take = data->iov_len < left ? data->iov_len : left;
        all[count++] = (struct iovec){data->iov_base, take};
        left -= take;
    }
    if (syscall(SYS_writev, log_fd, all, count) != (ssize_t)total) {
        dprintf(2, "powercut: the log cannot be written: %s\n", strerror(errno));
        _exit(99);
    }
    errno = kept;
}

static void note_path(int op, int flags, uint64_t ino, const char *path, const char *other) {
    note(op, flags, 0, ino, 0, path, other, NULL, 0, 0);
}

static int is_ours(const char *path) {
    return state && strncmp(path, state, state_bytes) == 0 && (path[state_bytes] == 0 || path[state_bytes] == '/');
}

/* The absolute path in `into` when it is of the state directory, else NULL. */
static const char *ours(int directory, const char *path, char into[PATH_MAX]) {
    if (!state || !path) return NULL;
    if (path[0] == '/') return is_ours(path) ? path : NULL;
    char link[64];
    size_t used = 0;
    if (directory == AT_FDCWD) {
        if (syscall(SYS_getcwd, into, PATH_MAX) < 0) return NULL;
        used = strlen(into);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t got = syscall(SYS_readlinkat, AT_FDCWD, link, into, PATH_MAX - 1);
        if (got < 0) return NULL;
        used = (size_t)got;
    }
    if (used + strlen(path) + 2 > PATH_MAX) return NULL;
    into[used] = '/';
    strcpy(into + used + 1, path);
    return is_ours(into) ? into : NULL;
}

static int is_watched(int fd) { return fd >= 0 && fd < FDS && watched[fd]; }

static uint64_t ino_of(int fd) {
    struct stat seen;
    int kept = errno;
    uint64_t ino = fstat(fd, &seen) == 0 ? seen.st_ino : 0;
    errno = kept;
    return ino;
}

/* Kills the process at a chosen call of the thread that is aimed at. */
static void aim(void) {
    if (!page->aim_thread || page->aim_thread != (uint64_t)syscall(SYS_gettid)) return;
    if (++page->aim_calls != page->aim_at) return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    page->aim_hit_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    kill(getpid(), SIGKILL);
}

/* Counts a write or sync call; the errno it is to fail with, or 0. */
static int turn(void) {
    if (!page) return 0;
    uint64_t call = __atomic_add_fetch(&page->calls, 1, __ATOMIC_SEQ_CST);
    if (page->die_at && call == page->die_at) kill(getpid(), SIGKILL);
    aim();
    uint64_t first = page->fail_first;
    if (!first || call < first || call - first >= page->fail_count) return 0;
    __atomic_add_fetch(&page->failed, 1, __ATOMIC_SEQ_CST);
    return (int)page->fail_errno;
}

/* ---- replies ---------------------------------------------------------------------------------------------- */

#define QUEUED "Queued as "

static void listen_to(int fd, const struct iovec *pieces, int count) {
    if (log_fd < 0) return;
    for (int n = 0; n < count; n++) {
        if (pieces[n].iov_len < 20 || pieces[n].iov_len > 65536) continue;
        if (!memmem(pieces[n].iov_base, pieces[n].iov_len, QUEUED, sizeof QUEUED - 1)) continue;
        struct stat seen;
        if (fstat(fd, &seen) != 0 || !S_ISSOCK(seen.st_mode)) return;
        note(SAY, 0, 0, 0, 0, NULL, NULL, &pieces[n], 1, pieces[n].iov_len);
    }
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    REAL(ssize_t, send, int, const void *, size_t, int);
    listen_to(fd, &(struct iovec){(void *)data, size}, 1);
    return real_send(fd, data, size, flags);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    REAL(ssize_t, sendto, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    listen_to(fd, &(struct iovec){(void *)data, size}, 1);
    return real_sendto(fd, data, size, flags, to, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
    listen_to(fd, message->msg_iov, (int)message->msg_iovlen);
    return real_sendmsg(fd, message, flags);
}

/* ---- contents --------------------------------------------------------------------------------------------- */

static ssize_t fail(int error) {
    pthread_mutex_unlock(&lock);
    errno = error;
    return -1;
}

static ssize_t written(int fd, ssize_t done, int64_t offset, const struct iovec *pieces, int count) {
    if (done > 0) {
        if (offset < 0) offset = lseek(fd, 0, SEEK_CUR) - done;
        note(WRITE, 0, 0, ino_of(fd), offset, NULL, NULL, pieces, count, (size_t)done);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

#define CHANGE() \
    pthread_mutex_lock(&lock); \
    int error = turn(); \
    if (error) return fail(error)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    struct iovec piece = {(void *)data, size};
    if (!is_watched(fd)) {
        listen_to(fd, &piece, 1);
        return real_write(fd, data, size);
    }
    CHANGE();
    return written(fd, real_write(fd, data, size), -1, &piece, 1);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    if (!is_watched(fd)) {
        listen_to(fd, pieces, count);
        return real_writev(fd, pieces, count);
    }
    CHANGE();
    return written(fd, real_writev(fd, pieces, count < 64 ? count : 64), -1, pieces, count);
}

#define POSITIONED(name, type) \
    ssize_t name(int fd, const void *data, size_t size, type offset) { \
        REAL(ssize_t, name, int, const void *, size_t, type); \
        if (!is_watched(fd)) return real_##name(fd, data, size, offset); \
        CHANGE(); \
        return written(fd, real_##name(fd, data, size, offset), offset, &(struct iovec){(void *)data, size}, 1); \
    }
POSITIONED(pwrite, off_t)
POSITIONED(pwrite64, off64_t)

#define POSITIONED_PIECES(name, type) \
    ssize_t name(int fd, const struct iovec *pieces, int count, type offset) { \
        REAL(ssize_t, name, int, const struct iovec *, int, type); \
        if (!is_watched(fd)) return real_##name(fd, pieces, count, offset); \
        CHANGE(); \
        return written(fd, real_##name(fd, pieces, count < 64 ? count : 64, offset), offset, pieces, count); \
    }
POSITIONED_PIECES(pwritev, off_t)
POSITIONED_PIECES(pwritev64, off64_t)

static int sized(int op, int fd, int done, int64_t size) {
    if (done == 0) note(op, 0, 0, ino_of(fd), size, NULL, NULL, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

#define TRUNCATES(name, type) \
    int name(int fd, type size) { \
        REAL(int, name, int, type); \
        if (!is_watched(fd)) return real_##name(fd, size); \
        CHANGE(); \
        return sized(TRUNCATE, fd, real_##name(fd, size), size); \
    }
TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

#define ALLOCATES(name, type) \
    int name(int fd, type offset, type size) { \
        REAL(int, name, int, type, type); \
        if (!is_watched(fd)) return real_##name(fd, offset, size); \
        pthread_mutex_lock(&lock); \
        int error = turn(); \
        if (error) { \
            pthread_mutex_unlock(&lock); \
            return error; \
        } \
        return sized(ALLOCATE, fd, real_##name(fd, offset, size), offset + size); \
    }
ALLOCATES(posix_fallocate, off_t)
ALLOCATES(posix_fallocate64, off64_t)

/* Calls that the gateway does not make today: when it does, the explorer says that it cannot judge. */
static void not_modelled(const char *call, int fd) {
    if (is_watched(fd)) note(UNKNOWN, 0, 0, ino_of(fd), 0, call, NULL, NULL, 0, 0);
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
    REAL(int, fallocate, int, int, off_t, off_t);
    not_modelled("fallocate", fd);
    return real_fallocate(fd, mode, offset, size);
}

int truncate(const char *path, off_t size) {
    REAL(int, truncate, const char *, off_t);
    char into[PATH_MAX];
    if (ours(AT_FDCWD, path, into)) note_path(UNKNOWN, 0, 0, "truncate", NULL);
    return real_truncate(path, size);
}

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t size, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    not_modelled("copy_file_range", to);
    return real_copy_file_range(from, at, to, there, size, flags);
}

ssize_t sendfile(int to, int from, off_t *at, size_t size) {
    REAL(ssize_t, sendfile, int, int, off_t *, size_t);
    not_modelled("sendfile", to);
    return real_sendfile(to, from, at, size);
}

/* ---- syncs ------------------------------------------------------------------------------------------------ */

static int synced(int fd, int (*real)(int)) {
    uint64_t ino = ino_of(fd);
    pthread_mutex_lock(&lock);
    int error = turn();
    note(SYNC_BEGIN, 0, 0, ino, 0, NULL, NULL, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    if (!error && real(fd) != 0) error = errno;
    pthread_mutex_lock(&lock);
    note(SYNC_END, 0, error, ino, 0, NULL, NULL, NULL, 0, 0);
    if (error) return (int)fail(error);
    pthread_mutex_unlock(&lock);
    return 0;
}

#define SYNCS(name) \
    int name(int fd) { \
        REAL(int, name, int); \
        return is_watched(fd) ? synced(fd, real_##name) : real_##name(fd); \
    }
SYNCS(fsync)
SYNCS(fdatasync)
/* sync_file_range and msync promise nothing after a power cut, so they are not noted. */

/* ---- names ------------------------------------------------------------------------------------------------ */

static int opened(int fd, const char *path, int is_new) {
    if (fd >= FDS || fd < 0) return fd;
    watched[fd] = path != NULL;
    if (path) {
        struct stat seen;
        int kept = errno;
        if (fstat(fd, &seen) == 0) {
            if (S_ISDIR(seen.st_mode)) note_path(OPEN, IS_DIRECTORY, seen.st_ino, path, NULL);
            else if (S_ISREG(seen.st_mode)) note_path(OPEN, is_new ? IS_NEW : 0, seen.st_ino, path, NULL);
            else watched[fd] = 0;
        }
        errno = kept;
    }
    return fd;
}

static int is_absent(const char *path) {
    int kept = errno, absent = syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0 && errno == ENOENT;
    errno = kept;
    return absent;
}

static int open_at(int (*real)(int, const char *, int, ...), int directory, const char *path, int flags, mode_t mode) {
    char into[PATH_MAX];
    const char *mine = ours(directory, path, into);
    if (!mine) return opened(real(directory, path, flags, mode), NULL, 0);
    pthread_mutex_lock(&lock);
    int is_new = (flags & O_CREAT) && is_absent(mine);
    int fd = opened(real(directory, path, flags, mode), mine, is_new);
    if (fd >= 0 && (flags & O_TRUNC) && !is_new) note(TRUNCATE, 0, 0, ino_of(fd), 0, NULL, NULL, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE() \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = (mode_t)va_arg(more, int); \
        va_end(more); \
    } \
    REAL(int, openat64, int, const char *, int, ...)

int open(const char *path, int flags, ...) { MODE(); return open_at(real_openat64, AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(); return open_at(real_openat64, AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(); return open_at(real_openat64, at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(); return open_at(real_openat64, at, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    REAL(int, close, int);
    if (fd >= 0 && fd < FDS) watched[fd] = 0;
    return real_close(fd);
}

/* A second name for an open file. Whoever makes it with dup2 or dup3 may replace a watched one. */
static int doubled(int from, int to) {
    if (to >= 0 && to < FDS) watched[to] = (uint8_t)is_watched(from);
    return to;
}
int dup(int fd) { REAL(int, dup, int); return doubled(fd, real_dup(fd)); }
int dup2(int fd, int to) { REAL(int, dup2, int, int); return doubled(fd, real_dup2(fd, to)); }
int dup3(int fd, int to, int flags) { REAL(int, dup3, int, int, int); return doubled(fd, real_dup3(fd, to, flags)); }

static int renamed(int done, const char *from, const char *to) {
    if (done == 0) note_path(RENAME, 0, 0, from, to);
    return done;
}

int renameat(int from_at, const char *from, int to_at, const char *to) {
    REAL(int, renameat, int, const char *, int, const char *);
    char a[PATH_MAX], b[PATH_MAX];
    const char *mine = ours(from_at, from, a), *other = ours(to_at, to, b);
    if (!mine && !other) return real_renameat(from_at, from, to_at, to);
    pthread_mutex_lock(&lock);
    int done = renamed(real_renameat(from_at, from, to_at, to), mine ? mine : from, other ? other : to);
    pthread_mutex_unlock(&lock);
    return done;
}
int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    char a[PATH_MAX], b[PATH_MAX];
    const char *mine = ours(from_at, from, a), *other = ours(to_at, to, b);
    if (!mine && !other) return real_linkat(from_at, from, to_at, to, flags);
    pthread_mutex_lock(&lock);
    int done = real_linkat(from_at, from, to_at, to, flags);
    if (done == 0) note_path(LINK, 0, 0, mine ? mine : from, other ? other : to);
    pthread_mutex_unlock(&lock);
    return done;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int at, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    char into[PATH_MAX];
    const char *mine = ours(at, path, into);
    if (!mine) return real_unlinkat(at, path, flags);
    pthread_mutex_lock(&lock);
    int done = real_unlinkat(at, path, flags);
    if (done == 0) note_path(UNLINK, flags & AT_REMOVEDIR ? IS_DIRECTORY : 0, 0, mine, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int at, const char *path, mode_t mode) {
    REAL(int, mkdirat, int, const char *, mode_t);
    char into[PATH_MAX];
    const char *mine = ours(at, path, into);
    if (!mine) return real_mkdirat(at, path, mode);
    pthread_mutex_lock(&lock);
    int done = real_mkdirat(at, path, mode);
    struct stat seen;
    if (done == 0 && stat(mine, &seen) == 0) note_path(MKDIR, IS_DIRECTORY, seen.st_ino, mine, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* ---- mappings: what is written through them is not seen, so it must not matter ------------------------------ */

static void mapped(int fd, int protection, int flags) {
    if (is_watched(fd) && (flags & MAP_SHARED) && (protection & PROT_WRITE)) note_path(MAP, 0, ino_of(fd), NULL, NULL);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
    REAL(void *, mmap, void *, size_t, int, int, int, off_t);
    mapped(fd, protection, flags);
    return real_mmap(at, size, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset) {
    REAL(void *, mmap64, void *, size_t, int, int, int, off64_t);
    mapped(fd, protection, flags);
    return real_mmap64(at, size, protection, flags, fd, offset);
}
