-- SPDX-License-Identifier: MIT
-- Where a job's items come from: a list, several lists at once, or the iterator of a generic for; and what else stands
-- behind the function in a call: a chunksize, or a table of options.
--
-- source:pull(n) -> batch: { list =, count =, packed = } with up to n items; fewer only at the end. packed: each item
-- is a list of arguments, for the source gave several values at once: that is decided here alone, batch by batch. At
-- the end batch.failed and batch.err may say that reading raised; batch.interrupted, that Ctrl-C did; batch.waiting,
-- that it is being read further up in the stack. source:counted(): the batch has been counted, and the next may be
-- read. source.size: how many items there are, or nil. source:close() ends it early: true, or false or nil, and an
-- error. Code of the user's (iterators, __index, __len, __close) is called through core.outside.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")

local source = {}

local outside, slice, read_plain = core.outside, core.pool.slice, core.pool.read
local LENGTH_MAX = 1 << 31 -- of a list: no table has more
local PULL_MOST = 1 << 24 -- items read at once

local function close_nothing()
  return true
end

local function count_nothing() end

-- --- lists ---

local List = { close = close_nothing, counted = count_nothing }
List.__index = List

-- A finalizer may pull as well, while the batch is made: then it is made again.
function List:pull(n)
  local from, count, batch
  repeat
    from = self.at
    count = math.min(n, self.size - from)
    batch = { list = slice(self.list, from, count), count = count, packed = self.packed, base = 0 }
  until self.at == from
  self.at = from + count
  return batch
end

-- A list that is read by code of the user's, its __index; what that raises ends the items.
local Foreign = { close = close_nothing, packed = false, busy = false }
Foreign.__index = Foreign

-- Several lists: an item is a list of an element of each.
local Zip = { close = close_nothing, packed = true, busy = false }
Zip.__index = Zip

function Foreign:item(i)
  return self.list[i]
end

function Zip:item(i)
  local item = { n = #self.lists }
  for k, list in ipairs(self.lists) do
    item[k] = list[i]
  end
  return item
end

local function read_items(self, batch, n)
  local from = self.at
  for i = from + 1, from + n do
    batch.list[i - from] = self:item(i)
    batch.count, self.at = i - from, i
  end
end

-- What is read belongs to nobody when the coroutine that reads it is closed or dropped meanwhile.
local Reading = {}

function Reading.__close(reading)
  local self = reading.source
  if self then
    self.busy, self.left = false, true
  end
end

Reading.__gc = Reading.__close

-- Reads a batch by `read`, which runs as code of the user's: another reader finds nothing until its items have been
-- counted.
local function pull_outside(self, read, n)
  local batch = { list = {}, count = 0, packed = self.packed, base = 0 }
  if self.busy then
    batch.waiting = true
    return batch
  end
  self.busy = true
  local reading <close> = setmetatable({ source = self }, Reading)
  local ok, err = outside(read, self, batch, n)
  reading.source = nil
  if not ok then
    batch.failed, batch.err, batch.interrupted = true, err, ok == nil
  end
  return batch
end

local function counted(self)
  self.busy = false
end

local function pull_singly(self, n)
  local batch = pull_outside(self, read_items, math.min(n, self.size - self.at))
  if batch.failed and not batch.interrupted then
    self.size = self.at
  end
  return batch
end

Foreign.pull, Foreign.counted = pull_singly, counted
Zip.pull, Zip.counted = pull_singly, counted

-- --- iterators ---

local Iterator = { busy = false, ended = false, counted = counted }
Iterator.__index = Iterator

-- Items so far that were one value each become lists of one.
local function pack_all(batch)
  for k = 1, batch.count do
    batch.list[k] = { n = 1, batch.list[k] }
  end
  batch.packed = true
end

-- Stores what one call of the iterator gave. False at its end.
local function take(self, batch, ...)
  local first = ...
  if first == nil then
    return false
  end
  self.control = first
  if not batch.packed and select("#", ...) > 1 then
    pack_all(batch)
  end
  batch.list[batch.count + 1] = batch.packed and table.pack(...) or first
  batch.count = batch.count + 1
  return true
end

-- What core has read, of one value each, and what the iterator gave then. False at its end.
local function note_read(self, batch, ended, ...)
  local count = #batch.list
  if count > 0 then
    batch.count, self.control = count, batch.list[count]
  end
  if ended then
    return false
  end
  return select("#", ...) == 0 or take(self, batch, ...)
end

local function read_iterator(self, batch, n)
  local next_values, state, going_on = self.next, self.state, true
  while going_on and batch.count < n do
    if batch.packed then
      going_on = take(self, batch, next_values(state, self.control))
    else
      going_on = note_read(self, batch, read_plain(batch.list, next_values, state, self.control, n))
    end
  end
  self.ended = not going_on
end

function Iterator:pull(n)
  if self.ended or self.left then
    local batch = { list = {}, count = 0, packed = false, base = 0 }
    if self.left and not self.ended then
      self.ended = true
      batch.failed, batch.err = true, "the items' iterator was left while it was suspended: its coroutine was closed"
    end
    return batch
  end
  local batch = pull_outside(self, read_iterator, n)
  if not batch.packed then
    note_read(self, batch, true)
  end
  if batch.failed and not batch.interrupted then
    self.ended = true
  end
  return batch
end

local function close_value(value, err)
  local mt = debug.getmetatable(value)
  return mt.__close(value, err)
end

-- What a generic for does with the closing value at its end. True; or false and the error, or nil and it for Ctrl-C.
function Iterator:close(err)
  local closing = self.closing
  self.closing, self.ended = nil, true
  if closing then
    return outside(close_value, closing, err)
  end
  return true
end

-- --- what is given ---

local function has_method(value, name)
  local mt = debug.getmetatable(value)
  return type(mt) == "table" and rawget(mt, name) ~= nil
end

local function is_list(value)
  return type(value) == "table" or type(value) == "userdata" and has_method(value, "__len")
    and has_method(value, "__index")
end

-- A frozen table is a list, though it can be called as well.
local function is_iterator(value)
  return check.is_callable(value) and not core.is_frozen(value)
end

local KNOWN = { "chunksize", "zip", "progress", "timeout" }

-- Options are a table with a known option's name and nothing at [1].
local function is_options(value)
  if type(value) ~= "table" or getmetatable(value) ~= nil or rawget(value, 1) ~= nil then
    return false
  end
  for _, name in ipairs(KNOWN) do
    if rawget(value, name) ~= nil then
      return true
    end
  end
  return false
end

-- Behind a list, a table that has other names only is meant as options, too: it is no list.
local function is_misspelt(value)
  return type(value) == "table" and getmetatable(value) == nil and rawget(value, 1) == nil
    and rawget(value, "n") == nil and type(next(value)) == "string"
end

-- chunksize, or a table of options, or nil: options, checked.
local function read_options(given)
  if given == nil or type(given) == "number" then
    given = { chunksize = given }
  elseif not is_options(given) and not is_misspelt(given) then
    errors.raise("chunksize must be a whole number from 1 up (or a table of options), got %s", errors.show(given))
  end
  check.options(given, "there is", KNOWN)
  local chunksize = given.chunksize
  if chunksize ~= nil then
    chunksize = check.count("chunksize", chunksize, 1)
  end
  return {
    chunksize = chunksize, zip = given.zip, progress = given.progress,
    timeout = given.timeout ~= nil and check.seconds("timeout", given.timeout) or false,
  }
end

local function refuse_more(what, value)
  errors.raise("behind %s comes one chunksize or table of options, got %s as well", what, errors.show(value))
end

local function length_of(list)
  return list.n, #list
end

-- How long a list is: its n, or its length. Both may be code of the user's.
local function length(list)
  local n, count
  if debug.getmetatable(list) == nil then
    n, count = rawget(list, "n"), #list
  else
    local ok
    local has_n = type(list) == "table" or core.is_frozen(list)
    ok, n, count = outside(has_n and length_of or function(it) return nil, #it end, list)
    if not ok then
      error(n, 0)
    end
  end
  if n ~= nil then
    return check.count("the list's n", n, 0, "a count", LENGTH_MAX)
  end
  return check.count("the list's length", count, 0, "a count", LENGTH_MAX)
end

-- list, n: the number of lists.
local function zip(lists, n)
  local shortest = math.huge
  for i = 1, n do
    local list = lists[i]
    if not is_list(list) or is_iterator(list) then
      errors.raise("with zip = true, items is a list of lists, as in { { 1, 2 }, { \"a\", \"b\" } }; its element %d is "
        .. "%s", i, errors.show(list))
    end
    shortest = math.min(shortest, length(list))
  end
  if n == 0 then
    errors.raise("with zip = true, items is a list of lists, as in { { 1, 2 }, { \"a\", \"b\" } }; it is empty")
  end
  return setmetatable({ lists = table.move(lists, 1, n, 1, {}), at = 0, size = shortest }, Zip)
end

-- One list.
local function from_list(list, packed)
  if debug.getmetatable(list) then
    return setmetatable({ list = list, at = 0, size = length(list) }, Foreign)
  end
  return setmetatable({ list = list, at = 0, size = length(list), packed = packed or false }, List)
end
source.from_list = from_list

local function check_closing(value)
  if value and not has_method(value, "__close") then
    errors.raise("the iterator's fourth value is to be closed at its end, and %s cannot be; a chunksize or table of "
      .. "options comes behind that", errors.show(value))
  end
  return value or nil
end

-- An iterator and what follows it: the generic for's other values, a chunksize or options. A number alone is a
-- chunksize; options are so wherever they stand.
local function from_iterator(items, n, ...)
  local given = table.pack(...)
  local last = n
  if n > 4 then
    refuse_more("an iterator's four values", given[5])
  elseif n == 4 or n > 0 and is_options(given[n]) or n == 1 and type(given[1]) == "number" then
    last = n - 1
  end
  local options = read_options(last < n and given[n] or nil)
  if options.zip then
    errors.raise("zip = true takes a list of lists, not an iterator")
  end
  local state, control, closing = table.unpack(given, 1, last)
  return setmetatable({
    next = errors.callee(items), state = state, control = control, closing = check_closing(closing),
  }, Iterator), options
end

-- A list and what follows it: more lists, a chunksize or options.
local function from_lists(items, n, ...)
  local lists, count = { items, ... }, 1
  while count <= n and is_list(lists[count + 1]) and not is_options(lists[count + 1])
    and not is_misspelt(lists[count + 1]) do
    count = count + 1
  end
  if n > count then
    refuse_more(count > 1 and "the lists" or "the list", lists[count + 2])
  end
  local options = read_options(lists[count + 1])
  if options.zip and count > 1 then
    errors.raise("zip = true takes one list of lists, got %d lists", count)
  elseif count > 1 then
    return zip(lists, count), options
  elseif options.zip then
    return zip(items, length(items)), options
  end
  return from_list(items), options
end

-- What stands behind f in a call. Returns the source, and the options as a table: chunksize, progress, timeout.
function source.read(items, ...)
  if is_iterator(items) then
    return from_iterator(items, select("#", ...), ...)
  elseif not is_list(items) then
    errors.raise("items must be a list or an iterator, got %s", errors.show(items))
  end
  return from_lists(items, select("#", ...), ...)
end

-- All that an iterator has, as a list: an asynchronous call takes it at once.
function source.read_all(from)
  if from.size then
    return from
  end
  local all, packed = {}, false
  local n = 0
  repeat
    local batch = from:pull(1024)
    from:counted()
    if batch.packed and not packed then
      packed = true
      for k = 1, n do
        all[k] = { n = 1, all[k] }
      end
    end
    for k = 1, batch.count do
      n = n + 1
      all[n] = packed and not batch.packed and { n = 1, batch.list[k] } or batch.list[k]
    end
    if batch.failed then
      from:close(batch.err)
      error(batch.err, 0)
    end
  until batch.count < 1024
  local ok, err = from:close()
  if not ok then
    error(err, 0)
  end
  all.n = n
  return from_list(all, packed)
end

source.PULL_MOST = PULL_MOST

return source
