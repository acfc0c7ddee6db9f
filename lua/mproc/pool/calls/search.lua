-- SPDX-License-Identifier: MIT
-- A pool's calls that give less than a list of results: reduce, filter, any, all, find. The last three stop as soon as
-- the answer is known. Used by pool.lua.

local errors = require("mproc.errors")
local job = require("mproc.pool_job")
local label = require("mproc.pool_label")
local lists = require("mproc.pool_lists")

local search = {}

local GROUP_SECONDS = 0.002 -- what one partial result of reduce shall take
local GROUP_GROWTH, GROUP_MAX, GROUPS_EACH = 8, 100000, 4

-- --- what f says of each item ---

local Keeping = {} -- a source that remembers its items

function Keeping:pull(n)
  local items, count, packed, failed, err = self.from:pull(n)
  for k = 1, count do
    self.items[self.count + k] = items[k]
  end
  self.count = self.count + count
  return items, count, packed, failed, err
end

function Keeping:close(err)
  self.from:close(err)
end

-- `busy` and `size` are the inner source's.
function Keeping:__index(key)
  return Keeping[key] or self.from[key]
end

local function keep_items(from)
  return setmetatable({ from = from, items = {}, count = 0 }, Keeping)
end

local function kept_of(self)
  local kept, n = {}, 0
  for index = 1, self.fed do
    if self.values[index] then
      n = n + 1
      kept[n] = self.items[index]
    end
  end
  return kept
end

-- The list of the items for which f gives something true, in order.
function search.filter(pool, f, ...)
  local more = { shape = kept_of, wrap = keep_items }
  return lists.finish(lists.begin(pool, "filter", label.MAP | label.TEST, f, more, ...))
end

-- The answer can be given once all items before the decisive one have arrived.
local function check_decided(self)
  local values = self.values
  while values[self.upto + 1] ~= nil do
    self.upto = self.upto + 1
    values[self.upto] = nil
  end
  if self.decisive and (self.at_once and not self.failed or self.upto >= self.decisive - 1) then
    if self.failed then
      self:abort(self.err)
    else
      self:succeed(self:answer(self.decisive))
    end
    self.pool:abandon(self)
  end
end

-- wanted: what f's answer must be to end the search.
local function deliver_test(self, index, ok, value)
  if self.ended then
    return
  end
  self.arrived = self.arrived + 1
  self.values[index] = true
  if (not ok or value == self.wanted) and (not self.decisive or index < self.decisive) then
    self.decisive = index
    self.failed, self.err = not ok, not ok and value or nil
    self.exhausted = true -- no more is sent
  end
  check_decided(self)
  job.check_complete(self)
end

local function begin_search(pool, verb, f, wanted, at_once, answer, ...)
  return lists.finish(lists.begin(pool, verb, label.MAP | label.TEST, f, {
    deliver = deliver_test, wanted = wanted, at_once = at_once, answer = answer, upto = 0, wrap = keep_items,
    shape = function(self) return self:answer(nil) end,
  }, ...))
end

-- True when f gives something true for at least one item.
function search.any(pool, f, ...)
  return begin_search(pool, "any", f, true, true, function(_, index) return index ~= nil end, ...)
end

-- True when f gives something true for every item.
function search.all(pool, f, ...)
  return begin_search(pool, "all", f, false, true, function(_, index) return index == nil end, ...)
end

-- The first item for which f gives something true, and its index; nil when there is none.
function search.find(pool, f, ...)
  return begin_search(pool, "find", f, true, false, function(self, index)
    if index then
      return self.items[index], index
    end
  end, ...)
end

-- --- reduce ---

local Groups = {} -- a source whose items are lists of the inner source's items

function Groups:close(err)
  self.from:close(err)
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
    self.count = math.min(self.count, (size - self.taken) // (GROUPS_EACH * of.pool.size))
  end
  self.count = math.max(1, self.count)
  return self.count
end

function Groups:pull()
  local n = group_size(self)
  local items, count, packed, failed, err = self.from:pull(n)
  self.taken = self.taken + count
  if failed then -- said at the next pull, which finds nothing
    self.failed, self.err = failed, err
  end
  if count == 0 then
    return {}, 0, false, self.failed, self.err
  end
  return { { n = count, items = items, packed = packed } }, 1
end

function Groups:__index(key)
  if key == "busy" then
    return self.from.busy
  end
  return Groups[key]
end

-- What the workers run for one group. It knows nothing but f and combine.
local function partial(f, combine)
  return function(group)
    local items, acc = group.items, nil
    for i = 1, group.n do
      local value
      if group.packed then
        value = f(table.unpack(items[i], 1, items[i].n))
      else
        value = f(items[i])
      end
      if i == 1 then
        acc = value
      else
        acc = combine(acc, value)
      end
    end
    return acc
  end
end

-- combine(combine(initial, f(item 1)), f(item 2)) and so on; combine must not care how that is bracketed, for the
-- workers combine what they have. Without items it is `initial`.
function search.reduce(pool, f, items, combine, initial, chunksize)
  job.check_function(f, "pool:%s(f, items, combine, initial)", "reduce")
  if type(combine) ~= "function" then
    errors.raise("combine must be a function of two values, got %s; write pool:reduce(f, items, combine, initial)",
      errors.show(combine))
  end
  local has_initial = initial ~= nil
  local of = lists.begin(pool, "reduce", label.MAP, partial(f, combine), {
    wrap = function(from, self)
      local fixed = self.granule > 1 and self.granule or nil
      self.granule = 1
      return setmetatable({ from = from, job = self, count = 1, taken = 0, fixed = fixed, singly = true }, Groups)
    end,
    shape = function(self)
      local acc, first = initial, 1
      if not has_initial then
        acc, first = self.values[1], 2
      end
      for i = first, self.fed do
        acc = combine(acc, self.values[i])
      end
      return acc
    end,
  }, items, chunksize)
  of.f = f -- for messages: it is the user's function that they name
  return lists.finish(of)
end

return search
