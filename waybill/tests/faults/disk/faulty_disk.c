/* Fails writes to SQLite's files as a full or a broken disk does. LD_PRELOAD loads it into the program under test; the test
 * writes into a file, which is mapped here, what fails next. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOTHING, WRITE, TORN_WRITE, SYNC, GROWTH };

/* As the test writes it. */
struct control {
    atomic_int kind;
    atomic_int countdown; /* which one fails, from 1 on; of GROWTH every one does */
    atomic_int failures;
    char file[52]; /* the beginning of the file's name */
};

static struct control *control;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("FAULTY_DISK");
    int fd = path ? open(path, O_RDWR) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) control = mapped;
    close(fd);
    /* A write beyond a limit on file sizes then fails instead of ending the program. */
    signal(SIGXFSZ, SIG_IGN);
}

static int concerns(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    return strstr(name, ".sqlite") && strncmp(name, control->file, strlen(control->file)) == 0;
}

static int has_turn(int kind, int fd) {
    if (!control || control->kind != kind || !concerns(fd)) return 0;
    return atomic_fetch_sub(&control->countdown, 1) == 1;
}

static ssize_t failed(int error) {
    control->failures++;
    errno = error;
    return -1;
}

typedef ssize_t pwrite_function(int, const void *, size_t, off64_t);

static ssize_t checked_pwrite(int fd, const void *bytes, size_t length, off64_t offset) {
    static pwrite_function *really;
    if (!really) really = (pwrite_function *)dlsym(RTLD_NEXT, "pwrite64");
    if (has_turn(WRITE, fd)) return failed(EIO);
    if (has_turn(TORN_WRITE, fd)) {
        ssize_t written = length > 1 ? really(fd, bytes, length / 2, offset) : 0;
        if (written > 0) fsync(fd); /* what a crash then leaves */
        return failed(ENOSPC);
    }
    if (control && control->kind == GROWTH && concerns(fd)) {
        struct stat status;
        if (fstat(fd, &status) == 0 && offset + (off64_t)length > status.st_size) {
            if (offset >= status.st_size) return failed(ENOSPC);
            length = status.st_size - offset;
        }
    }
    return really(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    return checked_pwrite(fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return checked_pwrite(fd, bytes, length, offset);
}

typedef int sync_function(int);

int fdatasync(int fd) {
    static sync_function *really;
    if (!really) really = (sync_function *)dlsym(RTLD_NEXT, "fdatasync");
    return has_turn(SYNC, fd) ? failed(EIO) : really(fd);
}

int fsync(int fd) {
    static sync_function *really;
    if (!really) really = (sync_function *)dlsym(RTLD_NEXT, "fsync");
    return has_turn(SYNC, fd) ? failed(EIO) : really(fd);
}
