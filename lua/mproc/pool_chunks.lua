-- SPDX-License-Identifier: MIT
-- Chunks: items of a job that went out together. Sends them, gives their results to the job, and says what is to become
-- of those that a dead worker had. Used by pool_feed.lua, pool_drive.lua and pool_crew.lua.
--
-- pool.chunks: id -> { job, version, base (index of the item before the first), count, left, next, cost = ... }. Items
-- below `next` have been reported; once the chunk was cut, had[offset] says so instead and cuts lists the offsets.
-- A job has deliver(job, index, ok, ...), called once for each of its items.

local core = require("mproc.core")
local functions = require("mproc.pool_functions")
local label = require("mproc.pool_label")
local pool_errors = require("mproc.pool_errors")
local words = require("mproc.pool_words")

local chunks = {}

local SHIFT, MASK = label.SHIFT, label.MASK
local SEAT_SHIFT, SEAT_MASK, STATUS_MASK = label.SEAT_SHIFT, label.SEAT_MASK, label.STATUS_MASK
local DONE, SKIPPED = label.DONE, label.SKIPPED
local SMOOTH = 0.3 -- the weight of a new measurement
local FULL_SECONDS = 30 -- how long an arena that stays full is waited for

function chunks.prepare(pool)
  pool.chunks, pool.next_chunk, pool.in_flight = {}, 1, 0
  pool.done, pool.failed, pool.retried = 0, 0, 0
end

local function add(pool, job, base, count, version)
  local id = pool.next_chunk
  pool.next_chunk = id + 1
  pool.chunks[id] = { job = job, version = version, base = base, count = count, left = count, next = 0 }
  if version then
    functions.use(pool, version)
  end
  pool.in_flight = pool.in_flight + count
  job.messages = job.messages + 1
  return id
end

-- The stop word of a job that has ended, once no message names it.
function chunks.free_word(pool, of)
  if of.ended and of.messages == 0 then
    words.give_back(pool, of.stop_word)
    of.stop_word = 0
  end
end

-- `n` of its items need no more.
local function settle(pool, id, chunk, n)
  chunk.left = chunk.left - n
  pool.in_flight = pool.in_flight - n
  if chunk.left == 0 then
    pool.chunks[id] = nil
    chunk.job.messages = chunk.job.messages - 1
    if chunk.version then
      functions.release(pool, chunk.version)
    end
    chunks.free_word(pool, chunk.job)
  end
end

local function post(pool, a, b, c, what, ...)
  if pool.run_here then
    return pool.run_here(a, b, c, ...)
  end
  return core.post(pool.tasks, a, b, c, what, ...)
end

-- Sends `count` items of the job, those after index `base`: a list of items, or for CALL the arguments. `f`: the
-- function, when there is no version. true and bytes; or nil and why not: a value that cannot travel, a full arena.
function chunks.send(pool, job, base, count, version, f, what, ...)
  local id = add(pool, job, base, count, version)
  local b = job.mode | (version and version.id or 0) << label.FUNCTION_SHIFT
  local c = count | job.stop_word << SHIFT
  local now, bytes, name
  if version then
    now, bytes, name = post(pool, id << SHIFT, b, c, what, ...)
  else
    now, bytes, name = post(pool, id << SHIFT, b, c, what, f, ...)
  end
  if now then
    return true, bytes
  end
  settle(pool, id, pool.chunks[id], count)
  return nil, bytes, name
end

-- Items again that a dead worker had: as they were sent then, so that later changes of them stay where they were made.
local function send_again(pool, old, base, count, b, c, ...)
  local id = add(pool, old.job, base, count, old.version)
  local deadline = core.time() + FULL_SECONDS
  c = c & ~MASK | count
  local now, why, name
  repeat
    now, why, name = post(pool, id << SHIFT, b, c, "task", ...)
  until now or name ~= "ENOMEM" or core.time() > deadline or core.sleep(0.001)
  if not now then
    settle(pool, id, pool.chunks[id], count)
    for k = 1, count do
      old.job:deliver(base + k, false, why)
    end
  end
end

-- True when the item had not been reported before.
local function first_report(chunk, offset)
  local had = chunk.had
  if not had then
    if offset == chunk.next then
      chunk.next = offset + 1
      return true
    elseif offset < chunk.next then
      return false
    end
    had = chunks.note_cut(chunk)
  end
  if had[offset] then
    return false
  end
  had[offset] = true
  return true
end

-- From now on each item is noted by itself.
function chunks.note_cut(chunk, offset)
  if not chunk.had then
    chunk.had, chunk.cuts = {}, {}
    for k = 0, chunk.next - 1 do
      chunk.had[k] = true
    end
  end
  if offset then
    table.insert(chunk.cuts, offset)
  end
  return chunk.had
end

local function has_report(chunk, offset)
  if chunk.had then
    return chunk.had[offset]
  end
  return offset < chunk.next
end

-- What `count` items took.
local function measure(pool, job, seat, count, nanoseconds)
  local seconds = nanoseconds * 1e-9
  local each = seconds / count
  job.cost = job.cost and job.cost + SMOOTH * (each - job.cost) or each
  pool.cost = job.cost
  if seat then
    seat.working = seat.working + seconds
  end
end

local function skip(pool, id, chunk, offset, count)
  for k = offset, offset + count - 1 do
    if first_report(chunk, k) then
      settle(pool, id, chunk, 1)
      chunk.job:deliver(chunk.base + k + 1, false) -- it has ended: nobody hears
    end
  end
end

-- A report about an item: a, b, c as pool_label.lua says; ok: whether its values could be decoded. Late ones, of items
-- that were given up or have been reported before their worker died, change nothing.
function chunks.report(pool, a, b, c, bytes, ok, ...)
  local id, offset, status = a >> SHIFT, a & MASK, b & STATUS_MASK
  local chunk = pool.chunks[id]
  if not chunk then
    return
  elseif status == label.CUT then
    chunks.note_cut(chunk, offset)
    return
  elseif status == SKIPPED then
    return skip(pool, id, chunk, offset, b >> SHIFT)
  elseif not first_report(chunk, offset) then
    return
  end
  local job, seat = chunk.job, pool.crew[b >> SEAT_SHIFT & SEAT_MASK]
  if seat and seat.begun == a then
    seat.begun = nil
  end
  if c > 0 then
    measure(pool, job, seat, b >> SHIFT, c)
    job.bytes = job.bytes + SMOOTH * (bytes - job.bytes)
  end
  settle(pool, id, chunk, 1)
  if status == DONE and ok then
    pool.done = pool.done + 1
    if seat then seat.done = seat.done + 1 end
    return job:deliver(chunk.base + offset + 1, true, ...)
  end
  pool.failed = pool.failed + 1
  if seat then seat.failed = seat.failed + 1 end
  job:deliver(chunk.base + offset + 1, false, pool_errors.explain(job, (...)))
end

-- Where the piece that begins at `start` ends now: the next cut, or `stop`.
local function piece_end(chunk, start, stop)
  for _, cut in ipairs(chunk.cuts or {}) do
    if cut > start and cut < stop then
      stop = cut
    end
  end
  return stop
end

local function part(version, from, to, f, items)
  if version then
    items = f
    return table.move(items, from, to, 1, {})
  end
  return f, table.move(items, from, to, 1, {})
end

-- The item that ran fails, or begins again when the pool says so and it has attempts left.
local function charge(pool, chunk, index, death, b, c, ...)
  local job = chunk.job
  local deaths = job.deaths and job.deaths[index] or {}
  local err = pool.death_error(death, pool_errors.name_task(job, index), deaths)
  if err.kind ~= "task_timeout" and pool.on_crash == "retry" and #deaths < pool.retries and not job.ended then
    core.log("warning", ("retry %d of %d: %s"):format(#deaths + 1, pool.retries, tostring(err)))
    job.deaths = job.deaths or {}
    table.insert(deaths, { pid = death.pid, signal = err.signal, exitcode = death.exitcode })
    job.deaths[index] = deaths
    pool.retried = pool.retried + 1
    return send_again(pool, chunk, index - 1, 1, b, c, ...)
  end
  pool.failed = pool.failed + 1
  core.log("warning", ("failed: %s"):format(tostring(err)))
  job:deliver(index, false, err)
end

-- An orphan, with the task as it was sent. death: { pid, exitcode, ... }, innocent: it was idle when it died.
function chunks.orphan(pool, death, a, b, c, ok, ...)
  local id, start, chunk = a >> SHIFT, a & MASK, pool.chunks[a >> SHIFT]
  if not chunk then
    return
  end
  local stop = piece_end(chunk, start, start + (c & MASK))
  local first = start
  while first < stop and has_report(chunk, first) do
    first = first + 1
  end
  if first == stop then
    return
  end
  chunks.note_cut(chunk)
  for k = first, stop - 1 do
    chunk.had[k] = true
  end
  if chunk.job.ended then
    return settle(pool, id, chunk, stop - first)
  end
  local base, single = chunk.base, b & label.MODE_MASK == label.CALL
  if not ok then -- it cannot even be read here: nobody can run it
    for k = first, stop - 1 do
      chunk.job:deliver(base + k + 1, false, (...))
    end
    return settle(pool, id, chunk, stop - first)
  elseif single then
    charge(pool, chunk, base + first + 1, death, b, c, ...)
    return settle(pool, id, chunk, 1)
  end
  local guilty = death.guilty == nil or death.guilty == a - start + first
  local rest = guilty and first + 1 or first
  if rest < stop then
    send_again(pool, chunk, base + rest, stop - rest, b, c, part(chunk.version, rest - start + 1, stop - start, ...))
  end
  if guilty then
    charge(pool, chunk, base + first + 1, death, b, c, part(chunk.version, first - start + 1, first - start + 1, ...))
  end
  settle(pool, id, chunk, stop - first)
end

-- Whatever is out will never be reported.
function chunks.drop_all(pool)
  pool.chunks, pool.in_flight = {}, 0
end

return chunks
