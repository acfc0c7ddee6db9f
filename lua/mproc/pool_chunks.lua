-- SPDX-License-Identifier: MIT
-- Chunks: items of a job that went out together. Sends them, gives their results to the job, and says what is to become
-- of those that a dead worker had. Used by pool_feed.lua, pool_drive.lua and pool_crew.lua.
--
-- pool.chunks: id -> { job, version, base (index of the item before the first), count, left, next, cost = ... }. Items
-- below `next` have been reported; once the chunk was cut, had[offset] says so instead and cuts lists the offsets.
-- A job has deliver(job, index, ok, ...), called once for each of its items. A single task (pool_tasks.lua) is its own
-- chunk: it has no `job`. pool.sent: id -> false, from when a single task is sent until it is adopted, or what came of
-- it meanwhile: finalizers and decode hooks may use the pool in between, and take in what is not theirs. pool.asking:
-- the id of one that is sent and whose result is awaited at once, or false.

local core = require("mproc.core")
local functions = require("mproc.pool_functions")
local label = require("mproc.pool_label")
local pool_errors = require("mproc.pool_errors")
local words = require("mproc.pool_words")

local chunks = {}

local SEAT_SHIFT, SEAT_MASK, STATUS_MASK = label.SEAT_SHIFT, label.SEAT_MASK, label.STATUS_MASK
local post_message, use, release = core.post, functions.use, functions.release
local SHIFT, MASK, FUNCTION_SHIFT = label.SHIFT, label.MASK, label.FUNCTION_SHIFT
local CALL, DONE, SKIPPED = label.CALL, label.DONE, label.SKIPPED
local pack, unpack = table.pack, table.unpack
local SMOOTH = 0.3 -- the weight of a new measurement
local FULL_SECONDS = 30 -- how long an arena that stays full is waited for

function chunks.prepare(pool)
  pool.chunks, pool.next_chunk, pool.in_flight = {}, 1, 0
  pool.sent, pool.asking = {}, false
  pool.done, pool.failed, pool.retried = 0, 0, 0
end

local function take_id(pool, version)
  local id = pool.next_chunk
  pool.next_chunk = id + 1
  if version then
    use(version)
  end
  return id
end

local function add(pool, job, base, count, version)
  local id = take_id(pool, version)
  pool.chunks[id] = { job = job, version = version, base = base, count = count, left = count, next = 0 }
  pool.in_flight = pool.in_flight + count
  job.messages = job.messages + 1
  return id
end

local function job_of(chunk)
  return chunk.job or chunk
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
    local job = job_of(chunk)
    job.messages = job.messages - 1
    if chunk.version then
      release(pool, chunk.version)
    end
    chunks.free_word(pool, job)
  end
end

local function post(pool, a, b, c, what, ...)
  if pool.run_here then
    return pool.run_here(a, b, c, ...)
  end
  return post_message(pool.tasks, a, b, c, what, ...)
end

-- Sends `count` items of the job, those after index `base`. true and bytes; or nil and why not: a value that cannot
-- travel, a full arena.
function chunks.send(pool, job, base, count, items)
  local version = job.version
  local id = add(pool, job, base, count, version)
  local now, bytes, name = post(pool, id << SHIFT, job.mode | version.id << FUNCTION_SHIFT,
    count | job.stop_word << SHIFT, "items", items)
  if now then
    return true, bytes
  end
  settle(pool, id, pool.chunks[id], count)
  return nil, bytes, name
end

-- Sends a single task, which is f(...), or the version's function. Its id, for chunks.adopt; or nil and why not. It can
-- be running before there is a job for it: what the owner has to write down, it does meanwhile.
function chunks.send_task(pool, stop_word, version, f, what, ...)
  local id = take_id(pool, version)
  local posted, why, name
  pool.sent[id] = false
  if version and not pool.run_here then
    posted, why, name = post_message(pool.tasks, id << SHIFT, CALL | version.id << FUNCTION_SHIFT,
      1 | stop_word << SHIFT, what, ...)
  elseif version then
    posted, why, name = post(pool, id << SHIFT, CALL | version.id << FUNCTION_SHIFT, 1 | stop_word << SHIFT, what,
      ...)
  else
    posted, why, name = post(pool, id << SHIFT, CALL, 1 | stop_word << SHIFT, what, f, ...)
  end
  if posted then
    return id
  end
  pool.sent[id] = nil
  if version then
    release(pool, version)
  end
  return nil, why, name
end

-- What was sent as `id` is this task, which has what a chunk has.
function chunks.adopt(pool, id, task)
  local early = pool.sent[id]
  pool.sent[id] = nil
  pool.chunks[id] = task
  pool.in_flight = pool.in_flight + 1
  if early then
    early.handle(pool, unpack(early, 1, early.n))
  end
end

-- handle(pool, ...) is to be called again once there is a task for that id, if there will be one. Only the first
-- counts: results are taken in before orphans.
local function keep_early(pool, id, handle, ...)
  if pool.sent[id] == false or id == pool.asking and not pool.sent[id] then
    pool.sent[id] = pack(...)
    pool.sent[id].handle = handle
  end
end

-- Items again that a dead worker had: as they were sent then, so that later changes of them stay where they were made.
local function send_again(pool, old, base, count, b, c, ...)
  local job = job_of(old)
  local id = add(pool, job, base, count, old.version)
  local deadline = core.time() + FULL_SECONDS
  c = c & ~MASK | count
  local now, why, name
  repeat
    now, why, name = post(pool, id << SHIFT, b, c, "task", ...)
  until now or name ~= "ENOMEM" or core.time() > deadline or core.sleep(0.001)
  if not now then
    settle(pool, id, pool.chunks[id], count)
    for k = 1, count do
      job:deliver(base + k, false, why)
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

-- The result of a single task, which is what comes most when each is waited for: report() in short.
local function end_task(pool, id, task, a, b, c, ...)
  local seat, seconds, version = pool.crew[b >> SEAT_SHIFT & SEAT_MASK], c * 1e-9, task.version
  pool.chunks[id] = nil
  if task.stop_word ~= 0 then
    task.messages = 0
  end
  pool.in_flight, pool.done, pool.cost = pool.in_flight - 1, pool.done + 1, seconds
  if version then
    release(pool, version)
  end
  if seat then
    seat.done, seat.working = seat.done + 1, seat.working + seconds
    if seat.begun == a then
      seat.begun = nil
    end
  end
  return task:deliver(1, true, ...)
end

-- What `count` items took, and the bytes of a result.
local function measure(pool, job, seat, count, nanoseconds, bytes)
  local seconds = nanoseconds * 1e-9
  local each = seconds / count
  job.cost = job.cost and job.cost + SMOOTH * (each - job.cost) or each
  job.bytes = job.bytes + SMOOTH * (bytes - job.bytes)
  pool.cost = job.cost
  if seat then
    seat.working = seat.working + seconds
  end
end

local function skip(pool, id, chunk, offset, count)
  for k = offset, offset + count - 1 do
    if first_report(chunk, k) then
      settle(pool, id, chunk, 1)
      job_of(chunk):deliver(chunk.base + k + 1, false) -- it has ended: nobody hears
    end
  end
end

-- A report about an item: a, b, c as pool_label.lua says; ok: whether its values could be decoded. Late ones, of items
-- that were given up or have been reported before their worker died, change nothing.
function chunks.report(pool, a, b, c, bytes, ok, ...)
  local id, offset, status = a >> SHIFT, a & MASK, b & STATUS_MASK
  local chunk = pool.chunks[id]
  if not chunk then
    return keep_early(pool, id, chunks.report, a, b, c, bytes, ok, ...)
  elseif status == DONE and ok and chunk.single and not chunk.had then
    return end_task(pool, id, chunk, a, b, c, ...)
  elseif status == label.CUT then
    chunks.note_cut(chunk, offset)
    return
  elseif status == SKIPPED then
    return skip(pool, id, chunk, offset, b >> SHIFT)
  elseif not first_report(chunk, offset) then
    return
  end
  local job, seat = job_of(chunk), pool.crew[b >> SEAT_SHIFT & SEAT_MASK]
  if seat and seat.begun == a then
    seat.begun = nil
  end
  if c > 0 then
    measure(pool, job, seat, b >> SHIFT, c, bytes)
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
  local job = job_of(chunk)
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
    return keep_early(pool, id, chunks.orphan, death, a, b, c, ok, ...)
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
  local job = job_of(chunk)
  if job.ended then
    return settle(pool, id, chunk, stop - first)
  end
  local base, single = chunk.base, b & label.MODE_MASK == label.CALL
  if not ok then -- it cannot even be read here: nobody can run it
    for k = first, stop - 1 do
      job:deliver(base + k + 1, false, (...))
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
  pool.chunks, pool.in_flight, pool.sent = {}, 0, {}
end

return chunks
