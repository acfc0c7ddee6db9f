-- SPDX-License-Identifier: MIT
-- The three integers ahead of each message between a pool and its workers, and what they say. Used by pool_*.lua.
--
-- task     a = chunk << 24 | first offset   b = mode | function << 8            c = count | stop word << 24
--          values: items (a list of `count`); for CALL the arguments; before them the function when its number is 0
-- result   a = chunk << 24 | offset         b = status | seat << 4 | count << 24   c = nanoseconds those `count` took
--          values: the result, the error, or what the status says
-- mailbox  a = function                     b = FUNCTION (value: it) or FORGET
-- A chunk is a run of items of one job that went out together; offsets count its items from 0. Its items are run and
-- reported in order. A worker may cut a chunk and put the rest back, as a task with the same chunk and a later offset.

local of_core = require("mproc.core").label -- what C serves by itself is known there

return {
  SHIFT = 24, MASK = (1 << 24) - 1, -- of chunk and count
  FUNCTION_SHIFT = of_core.FUNCTION_SHIFT,
  SEAT_SHIFT = 4, SEAT_MASK = (1 << 20) - 1,

  -- Modes: how an item is given to the function, and what of it comes back.
  MAP = 0, -- f(item) -> its first result
  STAR = 1, -- f(unpacked item) -> its first result
  CALL = of_core.CALL, -- one item: f(...) -> all its results
  RETIRE = 3, -- no task: the worker that takes it leaves
  MODE_MASK = 3,
  NO_RESULT = 4, -- flags: the results are not wanted;
  TEST = 8, -- only whether they are true;
  WHOLE = 16, -- the chunk shall not be cut

  -- Statuses of what a worker reports.
  DONE = of_core.DONE, FAILED = 1, SKIPPED = 2, -- of an item; SKIPPED: of `count` items from it on
  CUT = 3, -- the chunk was cut before this offset
  BEGUN = 4, -- of an item; value: when. Only with a task_timeout
  READY = 5, -- the worker has started; a: its pid
  BROKEN = 6, -- its initializer failed; value: the error
  LEAVING = 7, -- it was told to leave, and does; a: its pid
  STATUS_MASK = of_core.STATUS_MASK,

  FUNCTION = 0, FORGET = 1,
}
