/* SPDX-License-Identifier: MIT */
/* Shared memory with a name. The contracts stand in named.h. */
#define _GNU_SOURCE
#include "os/named.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "os/process.h"

#define FOLDER "/dev/shm"
#define STEP ((off_t)64 << 20) /* taken at once, between two looks for an interrupt */
enum { PATH = sizeof FOLDER + MP_NAME_MOST + 1, MODE = 0600 };

static const char *path_of(const char *name, char path[PATH]) {
  snprintf(path, PATH, FOLDER "/%s", name);
  return path;
}

/* --- room --- */

/* What is asked for in vain shall not fill the place first. A size of 0 blocks: there is no limit. */
static bool has_room(int fd, uint64_t size) {
  struct statvfs s;
  return fstatvfs(fd, &s) != 0 || s.f_blocks == 0 || size / s.f_frsize < s.f_bavail + (size % s.f_frsize == 0);
}

/* A signal would end the call and undo it: they wait meanwhile, but for the one that cannot. */
static int take_step(int fd, off_t from, off_t n) {
  sigset_t all, old;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &old);
  int err = posix_fallocate(fd, from, n);
  sigprocmask(SIG_SETMASK, &old, NULL);
  return -err;
}

static int take_all(int fd, const mp_os_named_wish *wish) {
  int err = 0;
  if (!has_room(fd, wish->size)) return -ENOSPC;
  for (off_t at = 0, size = (off_t)wish->size; at < size && !err; at += STEP) {
    err = wish->interrupted && wish->interrupted(wish->arg) ? -EINTR : 0;
    if (!err) err = take_step(fd, at, size - at < STEP ? size - at : STEP);
  }
  return err;
}

/* Beyond `ulimit -f` SIGXFSZ would end the process: ignored while it is tried. */
static int give_size(int fd, const mp_os_named_wish *wish) {
  struct sigaction ign = {.sa_handler = SIG_IGN}, old;
  if (wish->size > PTRDIFF_MAX) return -EFBIG;
  sigaction(SIGXFSZ, &ign, &old);
  int err = !wish->sparse ? take_all(fd, wish) : ftruncate(fd, (off_t)wish->size) ? -errno : 0;
  sigaction(SIGXFSZ, &old, NULL);
  return err;
}

/* --- mapping --- */

static int map(int fd, mp_os_named *out) {
  struct stat s;
  if (fstat(fd, &s) != 0) return -errno;
  if (!S_ISREG(s.st_mode)) return -EINVAL;
  if (s.st_size == 0) return -ENODATA;
  if ((uint64_t)s.st_size > PTRDIFF_MAX) return -EFBIG;
  void *p = mmap(NULL, (size_t)s.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) return -errno;
  *out = (mp_os_named){p, (size_t)s.st_size, s.st_dev, s.st_ino};
  return 0;
}

void mp_os_named_detach(const mp_os_named *m) { munmap(m->p, m->size); }

/* --- making --- */

static int fill(int fd, const mp_os_named_wish *wish, mp_os_named *out) {
  int err = give_size(fd, wish);
  return err ? err : map(fd, out);
}

/* The file has no name until all of it is there; the link is the one step by which it gets it. */
static int create_whole(const mp_os_named_wish *wish, const char *path, mp_os_named *out) {
  char link[32];
  int fd = mp_os_descriptor(open(FOLDER, O_TMPFILE | O_RDWR | O_CLOEXEC, MODE));
  if (fd < 0) return fd;
  int err = fill(fd, wish, out);
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (!err && linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW) != 0) {
    err = -errno;
    mp_os_named_detach(out);
  }
  close(fd);
  return err;
}

/* Where the system has no nameless files, or no /proc: a maker that is killed meanwhile leaves what it has. */
static int create_named(const mp_os_named_wish *wish, const char *path, mp_os_named *out) {
  int fd = mp_os_descriptor(open(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, MODE));
  if (fd < 0) return fd;
  int err = fill(fd, wish, out);
  if (err) unlink(path);
  close(fd);
  return err;
}

static bool is_final(int err) {
  return err == 0 || err == -EEXIST || err == -ENOSPC || err == -EINTR || err == -EFBIG || err == -ENOMEM;
}

int mp_os_named_create(const mp_os_named_wish *wish, mp_os_named *out) {
  char path[PATH];
  if (faccessat(AT_FDCWD, path_of(wish->name, path), F_OK, AT_SYMLINK_NOFOLLOW) == 0) return -EEXIST;
  int err = create_whole(wish, path, out);
  return is_final(err) ? err : create_named(wish, path, out);
}

/* --- finding --- */

int mp_os_named_attach(const char *name, mp_os_named *out) {
  char path[PATH];
  int fd = mp_os_descriptor(open(path_of(name, path), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (fd < 0) return fd;
  int err = map(fd, out);
  close(fd);
  return err;
}

int mp_os_named_look(const char *name, const mp_os_named *m) {
  char path[PATH];
  struct stat s;
  if (lstat(path_of(name, path), &s) != 0) return -errno;
  return s.st_dev == m->device && s.st_ino == m->inode ? 0 : -ENOENT;
}

int mp_os_named_unlink(const char *name, const mp_os_named *m) {
  char path[PATH];
  int err = mp_os_named_look(name, m);
  if (err) return err;
  return unlink(path_of(name, path)) == 0 ? 0 : -errno;
}

/* --- names that go with this process --- */

typedef struct owned {
  struct owned *next;
  pid_t owner; /* a fork inherits the list, not the names */
  mp_os_named m;
  char name[MP_NAME_MOST + 1];
} owned;

static owned *all_owned;

int mp_os_named_own(const char *name, const mp_os_named *m) {
  owned *o = malloc(sizeof *o);
  if (!o) return -ENOMEM;
  *o = (owned){.next = all_owned, .owner = getpid(), .m = *m};
  snprintf(o->name, sizeof o->name, "%s", name);
  all_owned = o;
  return 0;
}

static bool is_it(const owned *o, const char *name, const mp_os_named *m) {
  return o->owner == getpid() && o->m.inode == m->inode && o->m.device == m->device && strcmp(o->name, name) == 0;
}

void mp_os_named_disown(const char *name, const mp_os_named *m) {
  for (owned **at = &all_owned; *at; at = &(*at)->next) {
    owned *o = *at;
    if (!is_it(o, name, m)) continue;
    mp_os_named_unlink(name, m);
    *at = o->next;
    free(o);
    return;
  }
}

MP_HOT_AFTER_FORK void mp_os_named_leave(void) {
  for (const owned *o = all_owned; o; o = o->next)
    if (o->owner == getpid()) mp_os_named_unlink(o->name, &o->m);
}
