/* Lets system calls on the files of journals fail, and records what they write. For LD_PRELOAD.
 *
 * FAILING_DISK names a file of three 32-bit numbers, for fdatasync, fsync and pwrite: the number of the next call that fails, once, or 0. The
 * same name with ".log" gets a line for each call: "write INODE OFFSET LENGTH", "sync INODE" or "failed INODE". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FDATASYNC, FSYNC, PWRITE };
static volatile int32_t *failing;
static int record = -1;

__attribute__((constructor)) static void map(void) {
    char name[4096];
    const char *control = getenv("FAILING_DISK");
    int file = control ? open(control, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(0, 3 * sizeof *failing, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) abort();
    failing = mapped;
    snprintf(name, sizeof name, "%s.log", control);
    record = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int is_journal(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return strstr(path, "/litestream-vfs-journal-1/") != 0;
}

static int fails(int call) {
    return failing[call] > 0 && --failing[call] == 0;
}

static unsigned long inode(int file) {
    struct stat found;
    return fstat(file, &found) ? 0 : found.st_ino;
}

static int sync_file(int call, const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (!is_journal(file)) return real(file);
    int failed = fails(call), result = failed ? -1 : real(file);
    dprintf(record, "%s %lu\n", result ? "failed" : "sync", inode(file));
    if (failed) errno = EIO;
    return result;
}

int fdatasync(int file) { return sync_file(FDATASYNC, "fdatasync", file); }

int fsync(int file) { return sync_file(FSYNC, "fsync", file); }

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset) {
    ssize_t (*real)(int, const void *, size_t, off64_t) =
        (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    if (!is_journal(file)) return real(file, bytes, length, offset);
    if (fails(PWRITE)) {
        errno = ENOSPC;
        return -1;
    }
    dprintf(record, "write %lu %ld %zu\n", inode(file), (long)offset, length);
    return real(file, bytes, length, offset);
}
