-- SPDX-License-Identifier: MIT
-- What a worker program has in hand: chunks from the moment the server gave them until their commit is answered.
-- Runs them in the local pool, as bytes: the supervisor decodes nothing.
-- Invariant: a chunk is in w.hand by its id until it is committed, put back, or known to be another's; w.inhand counts
-- them, w.settled those that have their records.
--
-- A chunk: id, task (message.read_task), mode (message.read_mode), deaths (workers that died of it before), futures
-- (future -> true, those that run), records (its results, once it has ended), gone (its owner is). Run in pieces, also:
-- pieces (offset of a piece's first item -> records), left (items to come).

local allow = require("mproc.far.redis.worker.allow")
local child = require("mproc.far.redis.worker.child")
local far_errors = require("mproc.far.redis.errors")
local message = require("mproc.far.redis.message")
local suspects = require("mproc.far.redis.worker.suspects")
local protocol = require("mproc.lazy").load("mproc.pool.protocol")

local hand = {
  NOBODY = "none", -- a pool that does not exist: what is committed for it is deleted
}

local PIECES = 1000 -- that are made of a chunk at once
local SPLIT_TRIES = 3
local POISON = 3 -- deaths of worker programs that an item may cause
local WEIGHT = 0.2 -- of the last chunk in the mean time that one takes

-- --- ends ---

-- The chunk has its records: they go out with the next commit.
local function ended(w, chunk, records)
  chunk.records = records
  w.settled = w.settled + 1
  w.ended[#w.ended + 1] = chunk
  suspects.ended(w, chunk)
end

local function error_bytes(err)
  return protocol.pack_abroad("error", err) or protocol.pack_abroad("error", tostring(err))
end

local function fail_all(w, chunk, err)
  w.failed = w.failed + chunk.task.n
  ended(w, chunk, message.records(chunk.task.n, protocol.FAILED, error_bytes(err)))
end

-- Forgets a chunk: it is committed, or another's.
function hand.drop(w, chunk)
  if w.hand[chunk.id] == chunk then
    w.hand[chunk.id] = nil
    w.inhand = w.inhand - 1
    w.settled = w.settled - (chunk.records and 1 or 0)
    suspects.ended(w, chunk)
  end
end

local function count(w, n, failed, seconds)
  w.done, w.failed, w.busy = w.done + n, w.failed + failed, w.busy + seconds
end

-- --- running ---

local run_piece, run_parts

local function is_a(err, kind)
  return type(err) == "table" and rawget(err, "kind") == kind
end

local function is_death(err)
  return is_a(err, "worker_died")
end

-- What the local pool said of the end of a task, as the task's owner shall see it. deaths: of attempts before.
local function shown(w, chunk, err, deaths)
  if is_death(err) then
    return far_errors.child_died(err, chunk.task.f, w.name, deaths or {})
  elseif is_a(err, "task_timeout") then
    return far_errors.timeout(err, chunk.task.f, w.name)
  end
  return err
end

-- Whether the local pool has given up: a task fails before it has begun. Then this worker program ends, and others
-- run what it had in hand.
local function is_broken(w)
  local err = w.pool:submit(child.ready):exception(0)
  if err ~= nil then
    w.refused = ("its processes do not start: %s"):format(tostring(err))
  end
  return err ~= nil
end

-- Calls then(...) with what the child gave, or failed(err). A chunk that was called off ends without either.
local function watch(w, chunk, future, on_end, on_error)
  chunk.futures[future] = true
  w.running = w.running + 1
  future:add_done_callback(function()
    chunk.futures[future] = nil
    w.running = w.running - 1
    local err = future:exception(0)
    if chunk.gone or chunk.dropped then
      if not next(chunk.futures) and chunk.gone and not chunk.records then
        ended(w, chunk, "")
      end
    elseif is_death(err) and is_broken(w) then
      chunk.dropped = true
    elseif err ~= nil then
      on_error(err)
    else
      on_end(future:get(0))
    end
  end)
end

local function submit(w, timeout, f, ...)
  if timeout then
    return w.pool:apply_async(f, { n = select("#", ...), ... }, nil, { timeout = timeout })
  end
  return w.pool:submit(f, ...)
end

-- --- in pieces ---

-- A piece of a chunk: offset (of its first item), n, bytes, deaths (of attempts before, once it is a single item).

local function note_piece(w, chunk, piece, records)
  chunk.pieces[piece.offset] = records
  chunk.left = chunk.left - piece.n
  if chunk.left > 0 then
    return
  end
  local offsets, all = {}, {}
  for offset in pairs(chunk.pieces) do
    offsets[#offsets + 1] = offset
  end
  table.sort(offsets)
  for i, offset in ipairs(offsets) do
    all[i] = chunk.pieces[offset]
  end
  ended(w, chunk, table.concat(all))
end

local function fail_piece(w, chunk, piece, err)
  count(w, piece.n, piece.n, 0)
  note_piece(w, chunk, piece, message.records(piece.n, protocol.FAILED,
    error_bytes(shown(w, chunk, err, piece.deaths))))
end

-- Calls on_end(list of bytes, items of each) with a piece's parts: single items, unless there would be too many. A
-- process that dies meanwhile has run nothing of a user's, and another one tries.
local function split(w, chunk, piece, on_end, on_error, tries)
  local size = -(-piece.n // PIECES)
  watch(w, chunk, w.pool:submit(child.split, piece.n, piece.bytes, size), function(each)
    on_end(each, size)
  end, function(err)
    if is_death(err) and (tries or 1) < SPLIT_TRIES then
      return split(w, chunk, piece, on_end, on_error, (tries or 1) + 1)
    end
    on_error(err)
  end)
end

-- Runs a piece by itself: so that in the end only the guilty item fails. A limit of time is each item's own.
function run_piece(w, chunk, piece)
  local task, mode = chunk.task, chunk.mode
  if piece.n > 1 and mode.timeout then
    return run_parts(w, chunk, piece)
  end
  local attempt = 1 + chunk.deaths + #piece.deaths
  local future = submit(w, mode.timeout, child.run, w.name, task.f, task.m, piece.n, piece.bytes, attempt)
  watch(w, chunk, future, function(records, failed, seconds)
    count(w, piece.n, failed, seconds)
    note_piece(w, chunk, piece, records)
  end, function(err)
    if is_death(err) and piece.n > 1 then
      return run_parts(w, chunk, piece)
    elseif is_death(err) and #piece.deaths < mode.retries then
      table.insert(piece.deaths, { pid = err.pid, signal = err.signal, exitcode = err.exitcode })
      return run_piece(w, chunk, piece)
    end
    fail_piece(w, chunk, piece, err)
  end)
end

function run_parts(w, chunk, piece)
  split(w, chunk, piece, function(each, size)
    for i, bytes in ipairs(each) do
      local before = (i - 1) * size
      run_piece(w, chunk, { offset = piece.offset + before, n = math.min(size, piece.n - before), bytes = bytes,
        deaths = {} })
    end
  end, function(err)
    fail_piece(w, chunk, piece, err)
  end)
end

-- first: the death that its only item has caused already.
local function run_in_pieces(w, chunk, first)
  local task = chunk.task
  local piece = { offset = 0, n = task.n, bytes = task.bytes, deaths = first or {} }
  chunk.pieces, chunk.left = {}, task.n
  if task.n > 1 then
    return run_parts(w, chunk, piece)
  end
  return run_piece(w, chunk, piece)
end

-- The death of a process that had a whole chunk.
local function child_died(w, chunk, err)
  if chunk.task.n > 1 then
    return run_in_pieces(w, chunk)
  elseif chunk.mode.retries > 0 then
    return run_in_pieces(w, chunk, { { pid = err.pid, signal = err.signal, exitcode = err.exitcode } })
  end
  fail_all(w, chunk, shown(w, chunk, err))
end

-- --- whole chunks ---

local function run_whole(w, chunk)
  local task = chunk.task
  local future = submit(w, chunk.mode.timeout, child.run, w.name, task.f, task.m, task.n, task.bytes, 1 + chunk.deaths)
  watch(w, chunk, future, function(records, failed, seconds)
    count(w, task.n, failed, seconds)
    w.chunk_seconds = w.chunk_seconds + (seconds - w.chunk_seconds) * WEIGHT
    ended(w, chunk, records)
  end, function(err)
    if is_death(err) then
      return child_died(w, chunk, err)
    end
    fail_all(w, chunk, shown(w, chunk, err))
  end)
end

function hand.run(w, chunk)
  local task = chunk.task
  if task.f ~= w.allowed and not allow.matches(w.allow, task.f) then
    return fail_all(w, chunk, far_errors.unknown_function(w.name, task.f, "no --allow of it matches"))
  end
  w.allowed = task.f
  if chunk.mode.timeout and task.n > 1 then
    run_in_pieces(w, chunk)
  else
    run_whole(w, chunk)
  end
end

-- --- taking ---

-- What died with a worker program goes back in pieces, so that what killed it is parted from what did not. One item
-- that has done so too often is answered. info: what the dead one had told of itself.
local function take_from_dead(w, chunk, whose, info)
  local task = chunk.task
  if not suspects.is_to_blame(chunk, info) then
    chunk.deaths = task.deaths
    return w.put_back(chunk, { task.bytes }, task.n, task.hosts or "")
  end
  local host = whose:match("^(.*):%d+:[^:]*$") or whose
  local hosts = (task.hosts or "") == "" and host or task.hosts .. "," .. host
  if task.n <= 1 and chunk.deaths >= POISON then
    return fail_all(w, chunk, far_errors.poison(task.f, chunk.deaths, hosts))
  elseif task.n <= 1 then
    return w.put_back(chunk, { task.bytes }, 1, hosts)
  end
  split(w, chunk, { n = task.n, bytes = task.bytes }, function(each, size)
    w.put_back(chunk, each, size, hosts)
  end, function(err)
    fail_all(w, chunk, shown(w, chunk, err))
  end)
end

-- An entry is this worker's now. When it comes from dead ones: deaths, how many have died of it; whose, the last one's
-- name; info, what that had told of itself.
function hand.take(w, id, fields, deaths, whose, info)
  if w.hand[id] then
    return
  end
  local task = message.read_task(id, fields)
  local chunk = { id = id, task = task, deaths = (deaths or 0) + (task and task.deaths or 0), futures = {} }
  w.hand[id], w.inhand = chunk, w.inhand + 1
  if not task then
    chunk.task = { pool = hand.NOBODY, label = "0", n = 0 }
    return ended(w, chunk, "")
  end
  local why
  chunk.mode, why = message.read_mode(task.m)
  if not chunk.mode then
    fail_all(w, chunk, far_errors.unknown_version(w.name, why))
  elseif (deaths or 0) > 0 then
    take_from_dead(w, chunk, whose, info)
  elseif suspects.is_one(chunk) then
    suspects.add(w, chunk)
  else
    hand.run(w, chunk)
  end
end

-- --- calling off ---

-- Its owner is gone: what runs is ended, and all of it deleted.
function hand.abandon(w, pool)
  for _, chunk in pairs(w.hand) do
    if chunk.task.pool == pool and not chunk.gone and not chunk.records then
      chunk.gone = true
      for future in pairs(chunk.futures) do
        future:terminate()
      end
      if not next(chunk.futures) and not chunk.records then
        ended(w, chunk, "")
      end
    end
  end
end

-- The local pool is about to be ended: what still runs shall not be answered for, and stays this worker's at the
-- server.
function hand.give_up(w)
  for _, chunk in pairs(w.hand) do
    chunk.dropped = not chunk.records
  end
end

-- Lets go of what has not begun: the chunk stays this worker's at the server. True when nothing of it ran.
function hand.release(w, chunk)
  if chunk.records or chunk.pieces then
    return false
  end
  for future in pairs(chunk.futures) do
    if not future:cancel() then
      return false
    end
  end
  chunk.dropped = true
  hand.drop(w, chunk)
  return true
end

-- The pools of which it has something in hand.
function hand.pools(w)
  local set, list = {}, {}
  for _, chunk in pairs(w.hand) do
    local pool = chunk.task.pool
    if not set[pool] and pool ~= hand.NOBODY then
      set[pool] = true
      list[#list + 1] = pool
    end
  end
  return list
end

return hand
