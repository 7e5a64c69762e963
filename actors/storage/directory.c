/*
 * directory.c - mkdir -p with each name on the disk, and fcntl(2) on a file of a
 * run's directory.
 *
 * Such a lock belongs to the process and is lost when any of its descriptors
 * of that file is closed, so nothing else here opens the file while it is held.
 */
#include "actors/storage/directory.h"
#include "actors/storage/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fedmq/base/clock.h"

#define SIGN_MAX  512 /* bytes of what the file says */
#define TRIES_MAX 16  /* files that vanish while they are locked */

int fmq_directory_sync(const char *directory, fmq_error_t *err)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fmq_file_error(err, "open directory", directory);
    int rc = fsync(fd) < 0 ? fmq_file_error(err, "sync directory", directory) : 0;
    (void)close(fd);
    return rc;
}

/* A name is durable once the directory that holds it is. */
int fmq_directory_sync_of(const char *path, fmq_error_t *err)
{
    const char *slash = strrchr(path, '/');
    char *directory =
        slash ? fmq_file_path(err, "%.*s/", (int)(slash - path), path) : fmq_file_path(err, ".");
    int rc = directory ? fmq_directory_sync(directory, err) : -1;
    free(directory);
    return rc;
}

int fmq_directory_make(const char *path, fmq_error_t *err)
{
    char *copy = fmq_file_path(err, "%s", path);
    if (!copy)
        return -1;
    int rc = 0;
    for (char *at = copy + 1; rc == 0; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char kept = *at;
        *at = '\0';
        if (mkdir(copy, 0755) == 0)
            rc = fmq_directory_sync_of(copy, err);
        else if (errno != EEXIST)
            rc = fmq_file_error(err, "create directory", copy);
        *at = kept;
        if (kept == '\0')
            break;
    }
    free(copy);
    return rc;
}

struct fmq_lock {
    int fd;
    char *path; /* owned */
    bool made;  /* by us */
    bool is_signed;
};

static char *lock_path(const char *directory, fmq_error_t *err)
{
    return fmq_file_path(err, "%s/" FMQ_LOCK_NAME, directory);
}

static int try_lock(int fd, struct flock *lock)
{
    *lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_SETLK, lock);
}

/* Who came first, as the file says it; a lock that is not signed has at least
 * its process. */
static int name_leader(const fmq_lock_t *self, const char *directory, fmq_error_t *err)
{
    char sign[SIGN_MAX] = "", who[64] = "process ";
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    ssize_t size = pread(self->fd, sign, sizeof sign - 1, 0);
    sign[size > 0 ? size : 0] = '\0';
    sign[strcspn(sign, "\n")] = '\0';
    for (unsigned char *c = (unsigned char *)sign; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = ' ';
    if (fcntl(self->fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0)
        (void)snprintf(who, sizeof who, "process %ld ", (long)lock.l_pid);
    if (strncmp(sign, who, strlen(who)) != 0) /* a former leader's */
        sign[0] = '\0';
    return fmq_error_set(err, FMQ_ERR_DENIED,
                         "'%s' is led by %s: a run has one leader; end that one first, or choose "
                         "another directory",
                         directory,
                         *sign    ? sign
                         : who[8] ? who
                                  : "another process");
}

/* True when the path still leads to the file that is open. */
static bool is_there(const fmq_lock_t *self)
{
    struct stat open_one, named;
    return fstat(self->fd, &open_one) == 0 && stat(self->path, &named) == 0 &&
           open_one.st_dev == named.st_dev && open_one.st_ino == named.st_ino;
}

/* 1: locked, 0: the file vanished meanwhile, -1: not. */
static int open_once(fmq_lock_t *self, const char *directory, fmq_error_t *err)
{
    struct flock lock;
    self->made = access(self->path, F_OK) != 0;
    self->fd = open(self->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (self->fd < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot write into '%s': %s", directory,
                             strerror(errno));
    if (try_lock(self->fd, &lock) < 0) {
        self->made = false;
        if (errno == EACCES || errno == EAGAIN)
            return name_leader(self, directory, err);
        return fmq_error_set(err, FMQ_ERR_IO,
                             "cannot lock '%s': %s; does its file system know locks?", self->path,
                             strerror(errno));
    }
    if (is_there(self))
        return 1;
    (void)close(self->fd);
    self->fd = -1;
    return 0;
}

fmq_lock_t *fmq_lock_take(const char *directory, fmq_error_t *err)
{
    fmq_lock_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a lock");
        return NULL;
    }
    self->fd = -1;
    self->path = lock_path(directory, err);
    for (int i = 0; self->path && i < TRIES_MAX; i++) {
        int got = open_once(self, directory, err);
        if (got > 0)
            return self;
        if (got < 0)
            break;
        fmq_error_set(err, FMQ_ERR_IO, "cannot lock '%s': it vanishes again and again", self->path);
    }
    fmq_lock_release(&self);
    return NULL;
}

/* A read lock would be refused; asking for one takes none. */
bool fmq_lock_is_held(const char *directory)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    char *path = lock_path(directory, NULL);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool held = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0)
        (void)close(fd);
    free(path);
    return held;
}

int fmq_lock_sign(fmq_lock_t *self, const char *command, fmq_error_t *err)
{
    char sign[SIGN_MAX], host[256] = "", since[FMQ_CLOCK_UTC_SIZE];
    if (gethostname(host, sizeof host - 1) < 0)
        (void)snprintf(host, sizeof host, "an unknown host");
    fmq_clock_utc(since);
    int size = snprintf(sign, sizeof sign, "process %ld on %s since %s (fedmq %s)\n",
                        (long)getpid(), host, since, command);
    if (size < 0 || (size_t)size >= sizeof sign)
        size = (int)strlen(sign);
    if (ftruncate(self->fd, 0) < 0 || pwrite(self->fd, sign, (size_t)size, 0) != size)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot write '%s': %s", self->path, strerror(errno));
    self->is_signed = true;
    return 0;
}

void fmq_lock_release(fmq_lock_t **self_p)
{
    fmq_lock_t *self = *self_p;
    if (!self)
        return;
    if (self->fd >= 0 && self->made && !self->is_signed)
        (void)unlink(self->path);
    if (self->fd >= 0)
        (void)close(self->fd);
    free(self->path);
    free(self);
    *self_p = NULL;
}
