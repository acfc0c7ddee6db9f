-- SPDX-License-Identifier: MIT
-- Where a job's items come from: a list, several lists at once, or the iterator of a generic for. Used by
-- pool_lists.lua, pool_stream.lua and pool_feed.lua.
--
-- source:pull(n) -> list, count[, packed][, failed, err]: up to n items; fewer only at the end. packed: an iterator
-- gave several values at once, so each item is a list of arguments. source.size: how many there are, or nil.
-- source:close() ends an iterator early, as a break does.

local errors = require("mproc.errors")

local source = {}

local List = {}
List.__index = List

function List:pull(n)
  local from = self.at + 1
  local to = math.min(from + n - 1, self.size)
  self.at = to
  return table.move(self.list, from, to, 1, {}), to - from + 1
end

function List.close() end

local function read_to(self, items, from, to)
  for i = from + 1, to do
    items[i - from] = self:item(i)
    self.at = i
  end
end

-- For what is read by code of the user's, its __index: what that raises ends the items, as an iterator's error does.
local function pull_singly(self, n)
  local from, items = self.at, {}
  local ok, err = pcall(read_to, self, items, from, math.min(from + n, self.size))
  if not ok then
    self.size = self.at
  end
  return items, self.at - from, self.packed, not ok, err
end

local Foreign = { pull = pull_singly, close = List.close, packed = false }
Foreign.__index = Foreign

function Foreign:item(i)
  return self.list[i]
end

local Zip = { pull = pull_singly, close = List.close, packed = true }
Zip.__index = Zip

function Zip:item(i)
  local item = { n = #self.lists }
  for k, list in ipairs(self.lists) do
    item[k] = list[i]
  end
  return item
end

local Iterator = {}
Iterator.__index = Iterator

-- Items so far that were one value each become lists of one.
local function pack_all(items, count)
  for k = 1, count do
    items[k] = { n = 1, items[k] }
  end
end

-- Stores what one call of the iterator gave. False at its end.
local function take(self, items, ...)
  local first = ...
  self.control = first
  if first == nil then
    return false
  end
  local packed = select("#", ...) > 1
  if packed and not items.packed then
    items.packed = true
    pack_all(items.list, items.count)
  end
  items.count = items.count + 1
  items.list[items.count] = items.packed and table.pack(...) or first
  return true
end

local function pull_all(self, items, n)
  while items.count < n do
    if not take(self, items, self.next(self.state, self.control)) then
      self.ended = true
      return
    end
  end
end

-- A second pull while the first is suspended (an iterator that yields) finds nothing yet.
function Iterator:pull(n)
  local items = { list = {}, count = 0, packed = false }
  if self.ended or self.busy then
    return items.list, 0
  end
  self.busy = true
  local ok, err = pcall(pull_all, self, items, n)
  self.busy = false
  if not ok then
    self.ended = true
  end
  return items.list, items.count, items.packed, not ok, err
end

function Iterator:close(err)
  local closing = self.closing
  self.closing, self.ended = nil, true
  local mt = closing and debug.getmetatable(closing)
  if type(mt) == "table" and mt.__close then
    mt.__close(closing, err)
  end
end

local function is_iterator(items)
  if type(items) == "function" then
    return true
  end
  local mt = debug.getmetatable(items)
  return type(mt) == "table" and mt.__call ~= nil
end

local function is_list(items)
  local mt = debug.getmetatable(items)
  return type(items) == "table" or type(items) == "userdata" and type(mt) == "table" and mt.__len and mt.__index
end

local function length(list)
  local n = type(list) == "table" and list.n
  if n and (math.type(n) ~= "integer" or n < 0) then
    errors.raise("the list's n must be a count, got %s", errors.show(n))
  end
  return n or #list
end

local function zip(lists)
  local shortest = math.huge
  for i = 1, #lists do
    if not is_list(lists[i]) or is_iterator(lists[i]) then
      errors.raise("with zip = true, items is a list of lists, as in { { 1, 2 }, { \"a\", \"b\" } }; its element %d is "
        .. "%s", i, errors.show(lists[i]))
    end
    shortest = math.min(shortest, length(lists[i]))
  end
  if #lists == 0 then
    errors.raise("with zip = true, items is a list of lists, as in { { 1, 2 }, { \"a\", \"b\" } }; it is empty")
  end
  return setmetatable({ lists = lists, at = 0, size = shortest }, Zip)
end

-- chunksize, or a table of options: chunksize, zip, progress.
local KNOWN = { chunksize = true, zip = true, progress = true }

local function read_options(options)
  if options == nil or type(options) == "number" then
    options = { chunksize = options }
  elseif type(options) ~= "table" then
    errors.raise("chunksize must be a whole number from 1 up (or a table of options), got %s", errors.show(options))
  end
  for key in pairs(options) do
    if not KNOWN[key] then
      errors.raise("unknown option %s; there is chunksize, zip and progress", errors.show(key))
    end
  end
  local chunksize = options.chunksize
  if chunksize ~= nil and (not math.tointeger(chunksize) or chunksize < 1) then
    errors.raise("chunksize must be a whole number from 1 up, got %s", errors.show(chunksize))
  end
  return options, math.tointeger(chunksize)
end

-- A list, and no table of options: those have names only.
local function is_another(value)
  return is_list(value) and (#value > 0 or type(value) == "table" and value.n ~= nil)
end

-- Several lists one after another, and the options behind them.
local function read_lists(first, ...)
  local lists, rest = { first }, table.pack(...)
  while is_another(rest[#lists]) do
    lists[#lists + 1] = rest[#lists]
  end
  if rest.n > #lists then
    errors.raise("behind the lists comes one chunksize or table of options, got %s as well",
      errors.show(rest[#lists + 1]))
  end
  local given, chunksize = read_options(rest[#lists])
  return zip(lists), chunksize, { zip = true, progress = given.progress }
end

-- What stands behind f in a call: items and options, or several lists (f gets an element of each) and options. An
-- iterator may be followed by the generic for's other values: pool:imap(f, io.lines(name)); a chunksize then comes
-- fifth.
-- Returns the source, the chunksize or nil, the table of options.
function source.read(items, ...)
  if is_iterator(items) then
    local state, control, closing, options
    if select("#", ...) < 2 then
      options = ...
    else
      state, control, closing, options = ...
    end
    local given, chunksize = read_options(options)
    return setmetatable({ next = items, state = state, control = control, closing = closing }, Iterator), chunksize,
      given
  elseif not is_list(items) then
    errors.raise("items must be a list or an iterator, got %s", errors.show(items))
  end
  if is_another((...)) then
    return read_lists(items, ...)
  end
  local given, chunksize = read_options((...))
  if given.zip then
    return zip(items), chunksize, given
  end
  local kind = debug.getmetatable(items) and Foreign or List
  return setmetatable({ list = items, at = 0, size = length(items) }, kind), chunksize, given
end

return source
