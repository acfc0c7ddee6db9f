-- SPDX-License-Identifier: MIT
-- A pool's calls that give less than a list of results: reduce, filter, any, all, find. The last three stop as soon as
-- the answer is known. What is made of the partial results is made by the call itself, once its job has ended.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")
local job_of = require("mproc.pool.owner.job")
local protocol = require("mproc.pool.protocol")
local loop = require("mproc.pool.owner.loop")
local map = require("mproc.pool.calls.map")
local names = require("mproc.pool.owner.names")
local partial = require("mproc.pool.worker.partial")
local record = require("mproc.pool.record")

local calls = {}

local shield, of_pool, outside = core.shield, record.of_pool, core.outside
local GROUP_SECONDS = 0.002 -- what one partial result of reduce shall take
local GROUP_GROWTH, GROUP_MAX, GROUPS_EACH = 8, 100000, 4

-- --- what f says of each item ---

local Keeping = {} -- a source that remembers its items

function Keeping:pull(n)
  local batch = self.from:pull(n)
  for k = 1, batch.count do
    self.items[self.count + k] = batch.list[k]
  end
  self.count = self.count + batch.count
  return batch
end

function Keeping:close(err)
  return self.from:close(err)
end

function Keeping:counted()
  self.from:counted()
end

-- `size` is the inner source's.
function Keeping:__index(key)
  return Keeping[key] or self.from[key]
end

local function keep_items(from)
  return setmetatable({ from = from, items = {}, count = 0 }, Keeping)
end

-- The list of the items for which f gives something true, in order.
calls.filter = shield(function(pool, f, ...)
  local state = of_pool(pool)
  local from, options = map.read(state, "filter", f, ...)
  local keeping = keep_items(from)
  local job = map.run(state, { verb = "filter", f = f, mode = protocol.MAP | protocol.TEST, source = keeping }, options)
  local kept, n = {}, 0
  for index = 1, job.sent do
    if job.values[index] then
      n = n + 1
      kept[n] = keeping.items[index]
    end
  end
  return kept
end)

-- Of a search: the item that decides it, `decisive`, is the first with an error or the wanted answer; all before it
-- have arrived up to `upto`. at_once: any item with the wanted answer will do.
local function note_test(self, index)
  local failed, value = self.errors[index], self.values[index]
  if (failed or value == self.wanted) and index > 0 and (not self.decisive or index < self.decisive) then
    self.decisive, self.decided_by_error = index, failed
    self.exhausted, self.held = true, nil -- no more is sent
  end
  if failed or value ~= nil then
    self.seen[index] = true
  end
  while self.seen[self.upto + 1] do
    self.seen[self.upto + 1], self.values[self.upto + 1] = nil, nil
    self.upto = self.upto + 1
  end
  local decisive = self.decisive
  if decisive and (self.at_once and not self.decided_by_error or self.upto >= decisive - 1) then
    if self.decided_by_error then
      self.failed, self.err = true, self.decided_by_error[1]
    end
    job_of.discard(self)
  elseif job_of.is_complete(self) then
    self.failed, self.err = self.source_failed or false, self.source_error
    job_of.finish(self)
  end
end

-- wanted: what f's answer must be to end the search. Returns the index of the first such item, and its source.
local function search(pool, verb, f, wanted, at_once, ...)
  local state = of_pool(pool)
  local from, options = map.read(state, verb, f, ...)
  local keeping = at_once and from or keep_items(from)
  local job = map.run(state, {
    verb = verb, f = f, mode = protocol.MAP | protocol.TEST, source = keeping, note = note_test, plain = false,
    wanted = wanted, at_once = at_once, upto = 0, seen = {},
  }, options)
  return job.decisive, keeping
end

-- True when f gives something true for at least one item.
calls.any = shield(function(pool, f, ...)
  return search(pool, "any", f, true, true, ...) ~= nil
end)

-- True when f gives something true for every item.
calls.all = shield(function(pool, f, ...)
  return search(pool, "all", f, false, true, ...) == nil
end)

-- The first item for which f gives something true, and its index; nil when there is none.
calls.find = shield(function(pool, f, ...)
  local index, keeping = search(pool, "find", f, true, false, ...)
  if index then
    return keeping.items[index], index
  end
end)

-- --- reduce ---

local Groups = {} -- a source whose items are lists of the inner source's items
Groups.__index = Groups

function Groups:close(err)
  return self.from:close(err)
end

function Groups:counted()
  self.busy = false
  self.from:counted()
end

local function group_size(self)
  local of = self.job
  if self.fixed then
    return self.fixed
  elseif of.cost then
    self.count = math.min(self.count * GROUP_GROWTH, self.count * GROUP_SECONDS / of.cost // 1 | 0, GROUP_MAX)
  end
  local size = self.from.size
  if size then
    self.count = math.min(self.count, (size - self.taken) // (GROUPS_EACH * of.state.size))
  end
  self.count = math.max(1, self.count)
  return self.count
end

function Groups:pull()
  local group = { list = {}, count = 0, packed = false, base = 0 }
  if self.busy then
    group.waiting = true
    return group
  end
  self.busy = true
  local batch = self.from:pull(group_size(self))
  group.interrupted, group.err = batch.interrupted, batch.err
  self.taken = self.taken + batch.count
  if batch.failed and not batch.interrupted then -- said at the next pull, which finds nothing
    self.failed, self.err = true, batch.err
  end
  group.waiting = batch.waiting
  if batch.count > 0 then
    group.list[1], group.count = { n = batch.count, items = batch.list, packed = batch.packed }, 1
  elseif self.failed then
    group.failed, group.err = true, self.err
  end
  return group
end

-- Combines the partial results here: code of the user's.
local function fold(combine, values, first, last, acc)
  for i = first, last do
    acc = combine(acc, values[i])
  end
  return acc
end

-- combine(combine(initial, f(item 1)), f(item 2)) and so on; combine must not care how that is bracketed, for the
-- workers combine what they have. Without items it is `initial`.
calls.reduce = shield(function(pool, f, items, combine, initial, chunksize)
  local state = of_pool(pool)
  job_of.check_function(f, "pool:%s(f, items, combine, initial)", "reduce")
  if not check.is_callable(combine) then
    errors.raise("combine must be a function of two values, got %s; write pool:reduce(f, items, combine, initial)",
      errors.show(combine))
  end
  combine = errors.callee(combine)
  local from, options = map.read(state, "reduce", f, items, chunksize)
  local groups = setmetatable({ from = from, count = 1, taken = 0, fixed = options.chunksize }, Groups)
  options.chunksize = nil
  local both = state.far and names.pair(f, combine) or partial(f, combine)
  local job = { verb = "reduce", f = both, mode = protocol.MAP, source = groups, one_by_one = true }
  groups.job, job.named = job, f
  map.run(state, job, options)
  local ok, value
  if initial ~= nil then
    ok, value = outside(fold, combine, job.values, 1, job.sent, initial)
  else
    ok, value = outside(fold, combine, job.values, 2, job.sent, job.values[1])
  end
  if ok == nil then
    loop.raise_interrupt(value)
  elseif not ok then
    error(value, 0)
  end
  return value
end)

return calls
