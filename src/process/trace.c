/* SPDX-License-Identifier: MIT */
/* Writing the timeline. The format and its guarantees stand in trace.h. */
#define _GNU_SOURCE
#include "process/trace.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/process.h"
#include "process/log.h"
#include "shm/arena/monitor.h"
#include "shm/view/view.h"

#define NS_PER_US 1000.0
#define NOTABLE MP_MS             /* a wait for longer is an event */
#define FLUSH_AFTER (500 * MP_MS) /* what was gathered is not kept back for longer, while something happens */
#define FLUSH_ASLEEP (50 * MP_MS) /* and before a sleep */
#define COUNTER_GAP (20 * MP_MS)  /* between two events of a counter */
enum { GATHERED = 64 << 10, LINE = 1024, NAME = 256, ARGS = 256 };

bool mp_process_traces;
static int file = -1;
static mp_os_area identity; /* of the file: its device and inode */

MP_BSS_TAIL char mp_process_trace_text[GATHERED];
static size_t gathered;
static uint64_t flushed_at, counted_at;
static mp_shm_proc_ref noted_by;

/* --- gathering --- */

/* The program may have closed the descriptor, and opened another file there. */
static bool is_ours(void) {
  mp_os_area now;
  return mp_os_identity(file, &now) == 0 && now.device == identity.device && now.inode == identity.inode;
}

static void flush(uint64_t now) {
  flushed_at = now;
  if (gathered && (!is_ours() || mp_os_write(file, mp_process_trace_text, gathered) != 0)) mp_process_traces = false;
  gathered = 0;
}

static void add_line(const char *text, size_t n) {
  if (gathered + n > GATHERED) flush(mp_os_now());
  memcpy(mp_process_trace_text + gathered, text, n);
  gathered += n;
}

/* How many bytes the UTF-8 character at p has; 0: it is none. */
static size_t utf8_bytes(const unsigned char *p) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* of so many bytes */
  size_t n = *p < 0x80 ? 1 : *p < 0xc0 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf8 ? 4 : 0;
  uint32_t c = n < 2 ? *p : *p & (0x7fu >> n);
  for (size_t i = 1; i < n; i++) {
    if (p[i] >> 6 != 2) return 0;
    c = c << 6 | (p[i] & 0x3f);
  }
  return n && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) ? 0 : n;
}

/* Cut where there is no room. Names are any bytes, and Lua cuts them anywhere: what is no UTF-8 would spoil the file. */
static const char *escape(char *to, size_t room, const char *text) {
  enum { MOST = 4 };
  size_t n = 0;
  for (size_t bytes; *text && n + MOST < room; text += bytes ? bytes : 1) {
    bytes = utf8_bytes((const unsigned char *)text);
    if (*text == '"' || *text == '\\') to[n++] = '\\';
    if (bytes > 1)
      memcpy(to + n, text, bytes);
    else
      to[n] = bytes == 0 ? '?' : (unsigned char)*text < ' ' ? ' ' : *text;
    n += bytes ? bytes : 1;
  }
  to[n] = 0;
  return to;
}

static double microseconds(uint64_t ns) { return (double)ns / NS_PER_US; }

static void add(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void add(const char *format, ...) {
  char line[LINE];
  va_list list;
  va_start(list, format);
  int n = vsnprintf(line, sizeof line, format, list);
  va_end(list);
  if (n > 0 && (size_t)n < sizeof line) add_line(line, (size_t)n);
}

/* Before an event: a fork has its parent's lines, which are its parent's to write. */
static void prepare(uint64_t now) {
  char name[MP_PROC_NAME], text[2 * MP_PROC_NAME];
  if (mp_shm_inherited(noted_by)) {
    noted_by = mp_shm_proc_self();
    gathered = 0;
    flushed_at = now;
    mp_process_log_process(name);
    int pid = (int)getpid();
    add("{\"ph\":\"M\",\"ts\":0,\"pid\":%d,\"tid\":%d,\"name\":\"process_name\",\"args\":{\"name\":\"%s\"}},\n", pid,
        pid, escape(text, sizeof text, name));
  }
  if (now - flushed_at > FLUSH_AFTER) flush(now);
}

/* --- events --- */

void mp_process_trace_stretch(const char *kind, const char *name, uint64_t began, uint64_t ended, const char *args) {
  char text[NAME];
  int pid = (int)getpid();
  prepare(ended);
  add("{\"ph\":\"X\",\"ts\":%.3f,\"dur\":%.3f,\"pid\":%d,\"tid\":%d,\"cat\":\"%s\",\"name\":\"%s\",\"args\":{%s}},\n",
      microseconds(began), microseconds(ended > began ? ended - began : 0), pid, pid, kind,
      escape(text, sizeof text, name), args ? args : "");
}

void mp_process_trace_instant(const char *name) {
  char text[NAME];
  uint64_t now = mp_os_now();
  int pid = (int)getpid();
  prepare(now);
  add("{\"ph\":\"i\",\"ts\":%.3f,\"pid\":%d,\"tid\":%d,\"s\":\"p\",\"name\":\"%s\"},\n", microseconds(now), pid, pid,
      escape(text, sizeof text, name));
}

void mp_process_trace_counter(const char *name, const char *what, int64_t value) {
  char text[NAME];
  uint64_t now = mp_os_now();
  int pid = (int)getpid();
  prepare(now);
  if (value != 0 && now - counted_at < COUNTER_GAP) return;
  counted_at = now;
  add("{\"ph\":\"C\",\"ts\":%.3f,\"pid\":%d,\"tid\":%d,\"name\":\"%s\",\"args\":{\"%s\":%lld}},\n", microseconds(now),
      pid, pid, escape(text, sizeof text, name), what, (long long)value);
}

void mp_process_trace_arrow(char end, const char *id, uint64_t at) {
  int pid = (int)getpid();
  prepare(at);
  add("{\"ph\":\"%c\",\"ts\":%.3f,\"pid\":%d,\"tid\":%d,\"cat\":\"task\",\"name\":\"task\",\"id\":\"%s\"%s},\n", end,
      microseconds(at), pid, pid, id, end == 'f' ? ",\"bp\":\"e\"" : "");
}

void mp_process_trace_end(void) {
  char name[MP_PROC_NAME];
  if (!mp_process_traces || !mp_shm_usable()) return;
  uint64_t now = mp_os_now();
  mp_process_log_process(name);
  mp_process_trace_stretch("process", name, mp_shm_proc_at(mp_shm_my_slot)->since, now, NULL);
  flush(now);
}

/* --- waits --- */

/* "waits for lock 7", "waits for a message of queue 3" */
static void name_thing(char *to, size_t room, const mp_shm_view_thing *t, const char *more) {
  const char *kind = mp_shm_view_kind(t->type);
  bool one_of_many = strcmp(t->part, "message") == 0 || strcmp(t->part, "permit") == 0;
  if (strcmp(t->part, kind) == 0)
    snprintf(to, room, "waits for %s %u%s", kind, (unsigned)t->slot, more);
  else
    snprintf(to, room, "waits for %s%s of %s %u%s", one_of_many ? "a " : "", t->part, kind, (unsigned)t->slot, more);
}

static void name_wait(char *to, size_t room, uint64_t waits) {
  mp_shm_view own;
  mp_shm_view_thing thing = {0};
  unsigned kind = (unsigned)(waits >> MP_WAITS_SHIFT);
  uint64_t what = waits & ((UINT64_C(1) << MP_WAITS_SHIFT) - 1);
  if (what && kind != MP_WAITS_PROCESS && mp_shm_view_own(&own)) mp_shm_view_find_thing(&own, what, &thing);
  if (kind == MP_WAITS_PROCESS)
    snprintf(to, room, "waits for the end of %d", (int)what);
  else if (kind == MP_WAITS_SLEEP)
    snprintf(to, room, "sleeps");
  else if (thing.slot)
    name_thing(to, room, &thing, kind == MP_WAITS_MANY ? ", or others" : "");
  else
    snprintf(to, room, "waits for several things");
}

/* The hook of mp_shm_wait_queue_asleep and _awake. */
static void on_wait(uint64_t waits, uint64_t since) {
  char name[NAME];
  uint64_t now = mp_os_now();
  if (!mp_process_traces) return;
  if (!waits) { /* going to sleep */
    if (gathered && !mp_shm_inherited(noted_by) && now - flushed_at > FLUSH_ASLEEP) flush(now);
    return;
  }
  if (now - since < NOTABLE) return;
  name_wait(name, sizeof name, waits);
  mp_process_trace_stretch("wait", name, since, now, NULL);
}

/* --- beginning --- */

/* Programs that this one starts add to the same file, wherever they run. */
static int pass_on(const char *path) {
  char whole[PATH_MAX], value[PATH_MAX + 1];
  const char *absolute = realpath(path, whole);
  if (!absolute) return -errno;
  snprintf(value, sizeof value, "+%s", absolute);
  return setenv("MPROC_TRACE", value, 1) ? -errno : 0;
}

int mp_process_trace_begin(const char **path) {
  const char *asked = getenv("MPROC_TRACE");
  *path = asked && *asked ? asked : NULL;
  if (mp_process_traces) mp_shm_hook.waited = on_wait; /* a module that is loaded anew has set the hooks anew */
  if (!*path || mp_process_traces) return 0;
  bool goes_on = *asked == '+';
  file = mp_os_open_log(asked + goes_on, !goes_on);
  if (file < 0) return file;
  if (!goes_on && mp_os_write(file, "[\n", 2) != 0) return -EIO;
  int err = mp_os_identity(file, &identity);
  if (!err) err = pass_on(asked + goes_on);
  if (err) return err;
  mp_shm_hook.waited = on_wait;
  mp_process_traces = true;
  return 0;
}
