/* SPDX-License-Identifier: MIT */
/* Lines of the log. The contracts stand in log.h. */
#include "process/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/process.h"
#include "process/trace.h"
#include "shm/arena/registry.h"

#define NS_PER_S 1e9

const char *const mp_process_log_names[MP_LOG_LEVELS] = {"off", "warning", "info", "debug"};
int mp_process_log_level = MP_LOG_OFF;
static uint64_t began;

void mp_process_log_begin(void) {
  if (!began) began = mp_os_now();
}

void mp_process_log_process(char *to) {
  mp_shm_proc_name(mp_shm_proc_self(), to);
  if (!*to) strcpy(to, "MainProcess");
}

static size_t write_head(char *line, int level) {
  char name[MP_PROC_NAME];
  mp_process_log_process(name);
  return (size_t)snprintf(line, MP_LOG_LINE, "mproc: %.6f %s '%s' (pid %d): ", (double)(mp_os_now() - began) / NS_PER_S,
                          mp_process_log_names[level], name, (int)getpid());
}

static void keep_one_line(char *line, size_t n) {
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)line[i] < ' ') line[i] = ' ';
}

void mp_process_log(int level, const char *format, ...) {
  char line[MP_LOG_LINE];
  va_list args;
  if (mp_process_traces && level == MP_LOG_WARNING) {
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    mp_process_trace_instant(line);
  }
  if (!mp_process_log_wants(level)) return;
  size_t n = write_head(line, level);
  va_start(args, format);
  int more = vsnprintf(line + n, sizeof line - n, format, args);
  va_end(args);
  n += more < 0 ? 0 : (size_t)more;
  if (n > sizeof line - 1) n = sizeof line - 1;
  keep_one_line(line, n);
  line[n] = '\n';
  mp_os_write_line(STDERR_FILENO, line, n + 1);
}
