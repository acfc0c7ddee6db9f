/* SPDX-License-Identifier: MIT */
/* What bindings tell the timeline (layer 3). Asked for only where mp_process_traces is set. */
#ifndef MP_BIND_TRACE_H
#define MP_BIND_TRACE_H

#include "bind/bind.h"
#include "process/trace.h"

#pragma GCC visibility push(hidden)

enum { MP_TRACE_NAME = 128 };

/* A name for a call of the function at idx: "map prog.lua:12". */
void mp_lua_trace_name(lua_State *L, int idx, const char *verb, char *to);

typedef struct mp_lua_trace_chunk {
  int64_t chunk;
  uint32_t job, first, count; /* job: the number of its cancel flag, 0: none */
} mp_lua_trace_chunk;
/* This process, a worker, has run that since `began`. single: an arrow from where it was submitted ends here. */
void mp_lua_trace_work(const char *name, uint64_t began, const mp_lua_trace_chunk *c, bool single);

#pragma GCC visibility pop
#endif
