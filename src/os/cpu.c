/* SPDX-License-Identifier: MIT */
/*
 * How many CPUs this process may use. The quota of a cgroup bounds those below it, so every level up to the root
 * is asked; what cannot be read bounds nothing (a container may not see the path it is told).
 */
#include "os/process.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { LEVELS = 64 };

/* quota/period of one file or two, rounded up; 0 when there is none. */
static int ratio(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return 0;
  long long n = quota / period + (quota % period != 0);
  return n > INT_MAX ? 0 : (int)n;
}

static int scan(const char *dir, const char *file, const char *format, long long *a, long long *b) {
  char path[PATH_MAX + 64];
  snprintf(path, sizeof path, "%s/%s", dir, file);
  FILE *f = fopen(path, "re");
  if (!f) return 0;
  int n = fscanf(f, format, a, b);
  fclose(f);
  return n;
}

/* Both versions' files: cpu.max holds "quota period", quota being "max" for none. */
static int level_quota(const char *dir) {
  long long quota = 0, period = 0;
  if (scan(dir, "cpu.max", "%lld %lld", &quota, &period) == 2) return ratio(quota, period);
  if (scan(dir, "cpu.cfs_quota_us", "%lld", &quota, NULL) != 1) return 0;
  if (scan(dir, "cpu.cfs_period_us", "%lld", &period, NULL) != 1) return 0;
  return ratio(quota, period);
}

static int tighter(int a, int b) { return !a || (b && b < a) ? b : a; }

/* The tightest from mount/path up to mount. */
static int walk_up(const char *mount, const char *path) {
  char dir[PATH_MAX];
  int n = snprintf(dir, sizeof dir, "%s%s", mount, path);
  if (n < 0 || (size_t)n >= sizeof dir) return level_quota(mount);
  int quota = level_quota(dir);
  for (int i = 0; i < LEVELS && strlen(dir) > strlen(mount); i++) {
    char *slash = strrchr(dir, '/');
    if (!slash || (size_t)(slash - dir) < strlen(mount)) break;
    *slash = '\0';
    quota = tighter(quota, level_quota(dir));
  }
  return quota;
}

static bool names_cpu(char *controllers) {
  char *rest = NULL;
  for (char *c = strtok_r(controllers, ",", &rest); c; c = strtok_r(NULL, ",", &rest))
    if (strcmp(c, "cpu") == 0) return true;
  return false;
}

/* A line of /proc/self/cgroup, "id:controllers:path"; no controllers means version 2. */
static int line_quota(char *line, const char *mount) {
  char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL, dir[PATH_MAX];
  if (!path) return 0;
  *controllers++ = *path++ = '\0';
  path[strcspn(path, "\n")] = '\0';
  if (!*controllers) {
    snprintf(dir, sizeof dir, "%s/unified", mount);
    return tighter(walk_up(mount, path), walk_up(dir, path));
  }
  snprintf(dir, sizeof dir, "%s/%s", mount, controllers);
  if (!names_cpu(controllers)) return 0;
  int quota = walk_up(dir, path);
  snprintf(dir, sizeof dir, "%s/cpu", mount);
  return tighter(quota, walk_up(dir, path));
}

int mp_os_cpu_quota(const char *membership, const char *mount) {
  char line[PATH_MAX + 256];
  int quota = 0;
  FILE *f = fopen(membership, "re");
  if (!f) return 0;
  while (fgets(line, sizeof line, f)) quota = tighter(quota, line_quota(line, mount));
  fclose(f);
  return quota;
}

int mp_os_cpu_count(void) {
  int usable = mp_os_cpu_usable(), quota = mp_os_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
  return quota && quota < usable ? quota : usable;
}
