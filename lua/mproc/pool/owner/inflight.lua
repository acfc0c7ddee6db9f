-- SPDX-License-Identifier: MIT
-- The book of what is in flight: chunks, which are items of a job that went out together. Sends them, accounts for
-- their results, and says what is to become of those that a dead worker had. It names no worker.
--
-- state.inflight, which this file alone writes: chunks, by their number: { job, base (index of the item before the
-- first), count, left, next }; count: items in flight; moves: accounts so far; done, failed, retried: items that ended;
-- cost: seconds that the last one took; noting, noting_index: the item that is being accounted for, or false. Items
-- below `next` have been reported; once a chunk was cut, reported[offset] says so instead, and cuts lists the offsets.
-- A single task is its own chunk.
--
-- Invariant: an item is accounted for once, whoever reads its result. What user code or memory can interrupt comes
-- before, and what follows (job:note) can be done again: conclude() does so for an account that was cut off.

local core = require("mproc.core")
local errors = require("mproc.errors")
local job_of = require("mproc.pool.owner.job")
local pool_errors = require("mproc.pool.errors")
local protocol = require("mproc.pool.protocol")

local inflight = {}

local CALL, RETURNED, SKIPPED, CUT = protocol.CALL, protocol.RETURNED, protocol.SKIPPED, protocol.CUT
local retire = job_of.retire
local SMOOTH = 0.3 -- the weight of a new measurement

inflight.COUNT_MAX = 1 << 31 -- items of a chunk

function inflight.prepare(state)
  state.inflight = {
    chunks = {}, next_id = 1, count = 0, moves = 0, done = 0, failed = 0, retried = 0, cost = false,
    noting = false, noting_index = 0,
  }
end

-- --- sending ---

local tracing = core.tracing

-- For the timeline.
local function trace_pending(state)
  core.trace_pending(state.number, state.inflight.count)
end

local function claim(state, job, base, count)
  local book = state.inflight
  local chunk = {
    job = job, base = base, count = count, left = count, next = 0, reported = false, cuts = false, begun = false,
  }
  local id = book.next_id
  book.next_id = id + 1
  book.chunks[id] = chunk
  book.count, job.messages = book.count + count, job.messages + 1
  if tracing then
    trace_pending(state)
  end
  return id, chunk
end

-- A single task is claimed with the job's own fields.
local function claim_task(state, job)
  local book = state.inflight
  local id = book.next_id
  book.next_id = id + 1
  book.chunks[id] = job
  book.count, job.messages, job.left, job.id = book.count + 1, 1, 1, id
  if tracing then
    trace_pending(state)
    core.trace_sent(state.number, id)
  end
  return id
end

-- `n` items of a chunk need no more.
local function settle(state, id, chunk, n)
  local book, job = state.inflight, chunk.job
  if book.chunks[id] ~= chunk then -- the book was closed meanwhile
    return
  end
  chunk.left, book.count = chunk.left - n, book.count - n
  if tracing then
    trace_pending(state)
  end
  if chunk.left == 0 then
    book.chunks[id] = nil
    job.messages = job.messages - 1
  end
  return retire(job)
end

-- Sends the items base + 1 to base + count of the job, which has counted them as sent. true and bytes; or nil and why
-- not: a value that cannot travel, a full arena.
function inflight.send(state, job, mode, base, count, items)
  local id, chunk = claim(state, job, base, count)
  local way = state.transport
  local now, bytes, name = way.post(way.tasks, id, 0, mode, count, job.cancel, job.version.id, "items", items)
  if now then
    return true, bytes
  end
  settle(state, id, chunk, count)
  return nil, bytes, name
end

-- The error of an item that could not be sent: the caller's line, and where in the item that lies.
function inflight.explain_unsent(state, index, item, why, name)
  local what, far = ("items[%d]"):format(index), state.far
  if far and name == far.TOO_LARGE then
    return pool_errors.too_large(what, why)
  end
  local bytes, precise, refused = (far and far.pack or core.pack)(item, what)
  if refused and not bytes then
    return ("%s: %s"):format(errors.where(), precise)
  end
  return bytes and why or precise
end

-- Sends a single task, f(...) or the job's version of it. True, or nil and why not.
function inflight.send_task(state, job, ...)
  local id, version = claim_task(state, job), job.version
  local way = state.transport
  local posted, why, name
  if version then
    posted, why, name = way.post(way.tasks, id, 0, CALL, 1, job.cancel, version.id, "args", ...)
  else
    posted, why, name = way.post(way.tasks, id, 0, CALL, 1, job.cancel, 0, "args", job.f, ...)
  end
  if posted then
    return true
  end
  settle(state, id, job, 1)
  return nil, why, name
end

-- --- accounting ---

-- What follows from an account that was begun.
local function conclude(state)
  local book = state.inflight
  local job, index = book.noting, book.noting_index
  if job then
    if not job.ended then
      job:note(index)
    end
    retire(job)
    if book.noting == job and book.noting_index == index then
      book.noting = false
    end
  end
end
inflight.conclude = conclude

local function has_report(chunk, offset)
  if chunk.reported then
    return chunk.reported[offset]
  end
  return offset < chunk.next
end

-- From now on each item is noted by itself.
local function note_cut(chunk, offset)
  if not chunk.reported then
    local reported = {}
    for k = 0, chunk.next - 1 do
      reported[k] = true
    end
    chunk.cuts = {}
    chunk.reported = reported
  end
  if offset then
    table.insert(chunk.cuts, offset)
  end
end

-- The account of one item: failure is { err } or nil, value its result, or all of a single task's. Plain assignments
-- alone, so that nothing runs in between; the first two may find no memory, and have changed nothing then.
local function commit(book, chunk, id, offset, failure, value)
  local job, index = chunk.job, chunk.base + offset + 1
  if job.ended then
    index = 0
  elseif chunk == job then
    job.failure, job.results = failure, value
  elseif failure then
    job.errors[index], job.values[index] = failure, job.failed_value
  else
    job.values[index] = value
  end
  if chunk.reported then
    chunk.reported[offset] = true
  elseif offset == chunk.next then
    chunk.next = offset + 1
  end
  local arrivals_to = job.arrivals_to
  if index > 0 and job.arrivals then
    job.arrivals[arrivals_to + 1] = index
    job.arrivals_to = arrivals_to + 1
  end
  book.noting, book.noting_index = (failure or chunk.left == 1 or not job.plain) and job, index
  job.arrived = job.arrived + 1
  chunk.left, book.count, book.moves = chunk.left - 1, book.count - 1, book.moves + 1
  if chunk.left == 0 then
    book.chunks[id] = nil
    job.messages = job.messages - 1
  end
end

-- What `count` items took, and the bytes of a result.
local function measure(book, job, count, nanoseconds, bytes)
  local each = nanoseconds * 1e-9 / count
  job.cost = job.cost and job.cost + SMOOTH * (each - job.cost) or each
  job.bytes = job.bytes + SMOOTH * (bytes - job.bytes)
  book.cost = job.cost
end

-- An item's outcome. Prepares all that needs memory, then commits unless somebody else has done so meanwhile.
local function account(state, chunk, id, offset, ok, value)
  local book, failure = state.inflight, nil
  if not ok then
    failure, value = { value }, nil
  elseif value == nil then
    value = chunk.job.nil_value
  end
  if book.noting then
    conclude(state)
  end
  if not chunk.reported and offset > chunk.next then
    note_cut(chunk)
  end
  if book.chunks[id] ~= chunk or has_report(chunk, offset) then
    return false
  end
  commit(book, chunk, id, offset, failure, value)
  if not ok then
    book.failed = book.failed + 1
  elseif ok == true then
    book.done = book.done + 1
  end
  if book.noting then
    conclude(state)
  end
  return true
end

local function skip(state, id, chunk, offset, count)
  for k = offset, offset + count - 1 do
    account(state, chunk, id, k, "skipped", nil) -- its job has ended: nobody hears
  end
end

-- In short what report() does for what a single task returned. False when it is not so simple, and nothing was done.
function inflight.accept_task(state, id, nanoseconds, results)
  local book = state.inflight
  local task = book.chunks[id]
  if not task or not task.single or task.left == 0 or book.noting then
    return false
  end
  book.chunks[id] = nil -- from here to the next comment without a call
  book.noting, book.noting_index = task, 1
  task.results, task.left, task.messages, task.arrived = results, 0, 0, 1
  book.count, book.moves, book.done, book.cost = book.count - 1, book.moves + 1, book.done + 1, nanoseconds * 1e-9
  job_of.finish(task) -- what note() comes to
  book.noting = false
  return true
end

-- A report about items of a chunk, as a message has it; ok: whether its values could be decoded. Late ones, of items
-- that were given up or have been reported before their worker died, change nothing. True when it counted.
function inflight.report(state, id, offset, status, count, nanoseconds, bytes, ok, value)
  local chunk = state.inflight.chunks[id]
  if not chunk then
    return false
  elseif status == CUT then
    return note_cut(chunk, offset)
  elseif status == SKIPPED then
    return skip(state, id, chunk, offset, count)
  elseif has_report(chunk, offset) then
    return false
  end
  if nanoseconds > 0 then
    measure(state.inflight, chunk.job, count, nanoseconds, bytes)
  end
  if status <= RETURNED and ok then
    return account(state, chunk, id, offset, true, value)
  end
  return account(state, chunk, id, offset, false, pool_errors.explain(chunk.job, value))
end

-- An item that fails here.
local function fail_item(state, chunk, id, offset, err)
  return account(state, chunk, id, offset, false, err)
end

-- An item that was never in flight.
function inflight.fail(state, job, index, err)
  local id, chunk = claim(state, job, index - 1, 1)
  return fail_item(state, chunk, id, 0, err)
end

-- --- deaths ---

-- Items again that a dead worker had: as they were sent then, so that later changes of them stay where they were made.
local function send_again(state, old, base, count, mode, flag, f, ...)
  local job, way = old.job, state.transport
  if job.ended or not way.tasks then
    return
  end
  local id, chunk = claim(state, job, base, count)
  local now, why = protocol.post_when_room(way.tasks, id, 0, mode, count, flag, f, "task", ...)
  for k = 0, now and -1 or count - 1 do
    fail_item(state, chunk, id, k, why)
  end
end

-- Where the piece that begins at `start` ends now: the next cut, or `stop`.
local function split_end(chunk, start, stop)
  for _, cut in ipairs(chunk.cuts or {}) do
    if cut > start and cut < stop then
      stop = cut
    end
  end
  return stop
end

-- The items from `from` to `to` of a message's, behind its function if that came along (its number f is 0).
local function part(f, from, to, first, second)
  if f ~= 0 then
    return table.move(first, from, to, 1, {})
  end
  return first, table.move(second, from, to, 1, {})
end

-- Whether the item that ran when its worker died shall be tried again. Else its error.
local function blame_item(state, job, index, death)
  local deaths = job.deaths and job.deaths[index] or {}
  local err = death.error(pool_errors.name_task(job, index), deaths)
  if err.kind == "worker_died" and state.on_crash == "retry" and #deaths < state.retries and not job.ended then
    core.log("warning", ("retry %d of %d: %s"):format(#deaths + 1, state.retries, tostring(err)))
    job.deaths = job.deaths or {}
    table.insert(deaths, { pid = err.pid, signal = err.signal, exitcode = err.exitcode })
    job.deaths[index] = deaths
    state.inflight.retried = state.inflight.retried + 1
    return true
  end
  core.log("warning", ("failed: %s"):format(tostring(err)))
  return false, err
end

-- Gives up the items of a chunk from `from` up to `to` without an account: others stand for them, or nobody waits.
local function give_up(state, id, chunk, from, to)
  note_cut(chunk)
  local n = 0
  for k = from, to - 1 do
    if not chunk.reported[k] then
      chunk.reported[k] = true
      n = n + 1
    end
  end
  settle(state, id, chunk, n)
end

-- A single task again, under a new number, so that a late report of the old one is nobody's.
local function task_again(state, id, task, mode, flag, f, ...)
  local book, way = state.inflight, state.transport
  if book.chunks[id] ~= task or not way.tasks then
    return
  end
  local new = book.next_id
  book.next_id = new + 1
  book.chunks[new] = task
  book.chunks[id], task.id = nil, new
  local now, why = protocol.post_when_room(way.tasks, new, 0, mode, 1, flag, f, "task", ...)
  if not now then
    fail_item(state, task, new, 0, why)
  end
end

local function orphaned_task(state, death, id, task, ...)
  local again, err = true, nil
  if death.chunk == id then
    again, err = blame_item(state, task, 1, death)
  end
  if again then
    return task_again(state, id, task, ...)
  end
  fail_item(state, task, id, 0, err)
end

-- Sends the items of a chunk from `from` up to `to` again, of a message that begins at `start`, but for those that have
-- been reported: a dead worker may have put them back, and another one run them, before it could tell.
local function send_missing(state, id, chunk, start, from, to, mode, flag, f, ...)
  while from < to do
    local stop = from
    while stop < to and not has_report(chunk, stop) do
      stop = stop + 1
    end
    if from < stop then
      local n = stop - from
      give_up(state, id, chunk, from, stop)
      send_again(state, chunk, chunk.base + from, n, mode, flag, f, part(f, from - start + 1, stop - start, ...))
    end
    from = stop + 1
  end
end

-- Items first up to stop of a chunk, of a message that begins at `start`.
local function orphaned_items(state, death, id, chunk, start, first, stop, mode, flag, f, ...)
  local guilty, again, err = death.chunk == id and math.max(first, death.offset or first), nil, nil
  if guilty then
    again, err = blame_item(state, chunk.job, chunk.base + guilty + 1, death)
  end
  note_cut(chunk)
  send_missing(state, id, chunk, start, first, guilty or stop, mode, flag, f, ...)
  if guilty then
    send_missing(state, id, chunk, start, guilty + 1, stop, mode, flag, f, ...)
  end
  if again then
    send_missing(state, id, chunk, start, guilty, guilty + 1, mode, flag, f, ...)
  elseif guilty then
    fail_item(state, chunk, id, guilty, err)
  end
end

-- A message of a worker that died, with the task as it was sent. death.error(task, deaths) makes the error of the item
-- that ran; death.chunk: what ran, or nil; death.offset: the item, or nil for the first without a report.
function inflight.orphan(state, death, id, start, mode, count, flag, f, ok, ...)
  local chunk = state.inflight.chunks[id]
  if not chunk then
    return
  end
  local stop = split_end(chunk, start, start + count)
  local first = start
  while first < stop and has_report(chunk, first) do
    first = first + 1
  end
  if first == stop then
    return
  elseif chunk.job.ended then
    give_up(state, id, chunk, first, stop)
  elseif not ok then -- it cannot even be read here: nobody can run it
    note_cut(chunk)
    for k = first, stop - 1 do
      fail_item(state, chunk, id, k, (...))
    end
  elseif chunk.single then
    orphaned_task(state, death, id, chunk, mode, flag, f, ...)
  else
    orphaned_items(state, death, id, chunk, start, first, stop, mode, flag, f, ...)
  end
end

-- Whatever is in flight will never be reported.
function inflight.close(state)
  local book = state.inflight
  book.chunks, book.count, book.noting = {}, 0, false
end

-- The same, while the pool goes on: the jobs, which have ended, have nothing in flight any more.
function inflight.give_up(state)
  local book, ids = state.inflight, {}
  book.noting = false
  for id in pairs(book.chunks) do
    ids[#ids + 1] = id
  end
  for _, id in ipairs(ids) do
    local chunk = book.chunks[id]
    if chunk then -- no finalizer has seen to it meanwhile
      settle(state, id, chunk, chunk.left)
    end
  end
end

-- A single task that another way sends, and takes back.
inflight.claim_task = claim_task

function inflight.settle_task(state, task)
  settle(state, task.id, task, 1)
end

-- The job whose chunk that is, if it is in flight.
function inflight.job_of(state, id)
  local chunk = state.inflight.chunks[id]
  return chunk and chunk.job
end

return inflight
