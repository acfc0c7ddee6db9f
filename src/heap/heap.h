/* SPDX-License-Identifier: MIT */
/*
 * A private heap that a fork leaves alone (layer 0): what a process allocates lies in pages that it took itself, and
 * blocks that it inherited are neither handed out again nor written when they are given back. For src/bind/heap.c,
 * which makes a Lua state allocate here. One per process, for the thread that mproc belongs to; knows no Lua.
 *
 * Whose a block is, its address tells, never its size:
 *   ours       in a segment or a mapping that this process took
 *   inherited  in one that an ancestor took. Small: given back it stays as it is, so that its page stays shared; grown or
 *              shrunk it is copied. Large (a mapping of its own): unmapped or moved, which writes none of its pages
 *   foreign    anywhere else: of the allocator that was there before. In the process that called mp_heap_begin it goes
 *              back there; in processes forked from it, it is treated as inherited
 */
#ifndef MP_HEAP_HEAP_H
#define MP_HEAP_HEAP_H

#include "os/os.h"

#pragma GCC visibility push(hidden)

/* Of both allocators; an allocator of Lua is one. size 0 frees; NULL: no memory, and the block is as it was. */
typedef void *mp_heap_allocator(void *ud, void *p, size_t old, size_t size);

/* heap.c */
/* From now on mp_heap_of_lua may be called. before, ud: the allocator that has given out what it will be asked to take back.
 * 0 or -errno. Idempotent. */
int mp_heap_begin(mp_heap_allocator *before, void *ud);
/* Blocks are aligned as malloc's are, to 16 bytes. Making a block smaller never fails. */
mp_heap_allocator mp_heap_of_lua;

#pragma GCC visibility pop
#endif
