-- SPDX-License-Identifier: MIT
-- What owners and workers write into streams and hashes. Used by the keeper and by worker programs: the only place
-- that knows these formats.
--
-- A task entry, its fields in this order (streams store repeated names once):
--   k  number of the chunk in its pool
--   p  the pool, 16 hex digits
--   f  "module.function"
--   m  version digit, verb (m s c), flags (n: no result is wanted, t: only whether it is true), then options:
--      ;t=SECONDS for each item  ;r=N extra attempts when a child dies
--   n  how many items
--   a  the body of the pool's own message, encoded abroad: for map and star the list, for a call the arguments
-- and, of what was split off a chunk:  o  the item's offset from 0, d  how many workers died of it, h  their hosts
--
-- A result entry: pairs of label -> records, one for each chunk that was committed at once. A label is k, or k:o. The
-- records, one for each item in order, are string.pack("<I1I8s4", status, nanoseconds, bytes): status as core.pool
-- has them (DONE, RETURNED, FAILED, SKIPPED), bytes of the codec, encoded abroad. The entry "hello" -> anything is
-- none.
--
-- What a worker program tells of itself is name=value;…: see INFO.

local message = {
  VERSION = "1", -- of m
  HELLO = "hello", -- the field of the entry by which an owner makes its result stream
  RECORD = "<I1I8s4",
}

local RECORD_START = "<I1I8I4"
local RECORD_HEAD = RECORD_START:packsize()

local MODES_KEPT = 100 -- whose texts have been read
local VERBS = { map = "m", star = "s", call = "c" }
local VERB_OF = { m = "map", s = "star", c = "call" }
local INFO = { -- names in their order, and how a text becomes the value
  { "processes", math.tointeger }, -- of the local pool
  { "prefetch", math.tointeger }, -- chunks for each of them, in hand or running
  { "done", math.tointeger }, -- items
  { "failed", math.tointeger }, -- of these
  { "busy", tonumber }, -- seconds that processes have worked
  { "hand", math.tointeger }, -- chunks
  { "trip", tonumber }, -- seconds to the server and back
  { "since", tonumber }, -- seconds of the server's clock
  { "at", tostring }, -- the entry that runs alone: see worker/suspects.lua
  { "version", tostring }, -- of the code
  { "host", tostring },
}

-- --- tasks ---

-- How a task is to be run, with these flags and options: what its entry says of it.
function message.mode(task)
  local m = message.VERSION .. VERBS[task.verb] .. (task.no_result and "n" or "") .. (task.test and "t" or "")
  if task.timeout then
    m = ("%s;t=%.17g"):format(m, task.timeout)
  end
  if (task.retries or 0) > 0 then
    m = ("%s;r=%d"):format(m, task.retries)
  end
  return m
end

local function parse_mode(m)
  local version = m:match("^%d+")
  local verb, flags, options = m:match("^%d+(%a)(%a*)(.*)$")
  if version and version ~= message.VERSION then
    return nil, ("the task's message is of version %s, and this worker knows version %s: workers are updated before "
      .. "owners"):format(version, message.VERSION)
  elseif not version or not VERB_OF[verb or ""] or flags:find("[^nt]") then
    return nil, ("the task's message has a mode that this worker does not know: %q"):format(m)
  end
  local timeout, retries = options:match(";t=([%d.e+-]+)"), options:match(";r=(%d+)")
  return {
    verb = VERB_OF[verb], no_result = flags:find("n") ~= nil, test = flags:find("t") ~= nil,
    timeout = tonumber(timeout), retries = math.tointeger(tonumber(retries)) or 0,
  }
end

local modes, modes_left = {}, MODES_KEPT -- text -> mode: there are few

-- The same of a text: verb, no_result, test, timeout, retries, which nobody changes; or nil and what is wrong.
function message.read_mode(m)
  local mode, why = modes[m], nil
  if not mode then
    mode, why = parse_mode(m)
    if mode and modes_left > 0 then
      modes[m], modes_left = mode, modes_left - 1
    end
  end
  return mode, why
end

-- task: k, pool, f, m (its mode, or what mode() makes it of: verb ("map", "star", "call"), no_result, test, timeout
-- (seconds or nil), retries), n, bytes. A list of fields for XADD.
function message.task(task)
  return { "k", task.k, "p", task.pool, "f", task.f, "m", task.m or message.mode(task), "n", task.n, "a", task.bytes }
end

local function pairs_of(list)
  local fields = {}
  for i = 1, #list, 2 do
    fields[list[i]] = list[i + 1]
  end
  return fields
end

-- The values of an entry's fields, k p f m n a o d h; those that are not there are nil. Nearly all are as message.task
-- has made them.
local function values_of(list)
  if list[1] == "k" and list[3] == "p" and list[5] == "f" and list[7] == "m" and list[9] == "n" and list[11] == "a"
    and not list[13] then
    return list[2], list[4], list[6], list[8], list[10], list[12]
  end
  local t = pairs_of(list)
  return t.k, t.p, t.f, t.m, t.n, t.a, t.o, t.d, t.h
end

-- An entry of the tasks' stream: id, k, pool, f, m, n, bytes, offset (or nil), deaths, label; or nil and what is
-- wrong, when no owner of this project wrote it.
function message.read_task(id, list)
  local k, p, f, m, n, a, o, d, h = values_of(list or {})
  n = n == "1" and 1 or math.tointeger(tonumber(n))
  if not (k and p and f and m and a and n) or n < 0 or n > math.max(1, #a) then -- an item takes a byte at least
    return nil, "the entry is no task"
  end
  return {
    id = id, k = k, pool = p, f = f, m = m, n = n, bytes = a, offset = o, label = o and k .. ":" .. o or k,
    deaths = d and math.tointeger(tonumber(d)) or 0, hosts = h,
  }
end

-- --- results ---

function message.record(status, nanoseconds, bytes)
  return message.RECORD:pack(status, nanoseconds, bytes)
end

-- The same end for n items.
function message.records(n, status, bytes)
  return message.record(status, 0, bytes):rep(n)
end

-- Where the record behind the one at `at` begins; behind all when that is cut.
function message.next_record(records, at)
  if #records - at + 1 < RECORD_HEAD then
    return #records + 1
  end
  local _, _, length = RECORD_START:unpack(records, at)
  return at + RECORD_HEAD + length
end

-- Iterates over a result entry's list of fields: k, offset of the first item (nil: the whole chunk), records. Nothing
-- for a hello.
function message.results(list)
  local i = -1
  return function()
    i = i + 2
    while list[i] == message.HELLO do
      i = i + 2
    end
    if list[i] == nil then
      return nil
    end
    local k, offset = list[i]:match("^(%d+):?(%d*)$")
    return math.tointeger(tonumber(k)), math.tointeger(tonumber(offset)), list[i + 1]
  end
end

-- --- workers ---

-- info: a table with INFO's names.
function message.info(info)
  local parts = {}
  for i, field in ipairs(INFO) do
    parts[i] = ("%s=%s"):format(field[1], tostring(info[field[1]] or ""):gsub("[;=%c]", "?"))
  end
  return table.concat(parts, ";")
end

function message.read_info(text)
  local given, info = {}, {}
  for name, value in text:gmatch("(%a+)=([^;]*)") do
    given[name] = value
  end
  for _, field in ipairs(INFO) do
    local value = given[field[1]]
    info[field[1]] = value and (field[2] == tostring and value or field[2](tonumber(value)))
  end
  return info
end

return message
