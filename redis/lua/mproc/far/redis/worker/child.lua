-- SPDX-License-Identifier: MIT
-- What runs in the processes of a worker program: items come as bytes and leave as bytes. Called through the local
-- pool by mproc.far.redis.worker.hand.
-- Invariant: bytes of a task are decoded without functions, hooks and handles; each item has exactly one record.

local allow = require("mproc.far.redis.worker.allow")
local lazy = require("mproc.lazy") -- gives the modules that mproc itself uses: there is one context in a process
local context = lazy.load("mproc.pool.worker.context")
local core = require("mproc.core")
local errors = require("mproc.errors")
local far_errors = require("mproc.far.redis.errors")
local message = require("mproc.far.redis.message")
local partial = lazy.load("mproc.pool.worker.partial")
local protocol = lazy.load("mproc.pool.protocol")

local child = {}

local MAX_BYTES = 8 << 20 -- of an item's result
local MAX_TOTAL = 64 << 20 -- of a chunk's
local NANO = 1e9

local describe, call, time = context.describe, protocol.call, core.time
local pack, unpack = protocol.pack_abroad, protocol.unpack_abroad
local DONE, RETURNED, FAILED = protocol.DONE, protocol.RETURNED, protocol.FAILED

-- --- start ---

-- The initializer of the local pool. name: of the worker program; code: --begin's, or nil.
function child.begin(name, code)
  context.current().name = name
  if code then
    assert(load(code, "=--begin"))()
  end
end

function child.ready() end

-- --- functions ---

local known = {} -- name -> function

-- The field of a module that has that name; or nil and the error.
local function field_of(worker, name)
  local module, field = allow.read(name)
  local ok, found = pcall(require, module)
  if not ok then
    return nil, far_errors.unknown_function(worker, name, errors.text_of(found))
  end
  local f = type(found) == "table" and rawget(found, field) or nil
  if type(f) ~= "function" then
    return nil, far_errors.unknown_function(worker, name, ("module '%s' has no function '%s' there"):format(module,
      field))
  end
  return f
end

-- The function; or nil and the error. Of a reduce, which has two names, what combines a group of items.
local function function_of(worker, name)
  if known[name] then
    return known[name]
  end
  local one, combine = allow.both(name)
  local f, err = field_of(worker, one or name)
  if f and one then
    combine, err = field_of(worker, combine)
    f = combine and partial(f, combine)
  end
  known[name] = f
  return f, err
end

-- --- results ---

local function failure(nanoseconds, err)
  return message.record(FAILED, nanoseconds, pack("error", err) or pack("error", errors.text_of(err)))
end

-- run: what is told of a chunk. One record for what an item gave, or raised.
local function record(run, nanoseconds, ok, ...)
  run.nanoseconds = run.nanoseconds + nanoseconds
  local mode, bytes, reason = run.mode, nil, nil -- luacheck: no unused
  if not ok then
    run.failed = run.failed + 1
    return failure(nanoseconds, (...))
  elseif mode.no_result then
    bytes = pack("result", nil)
  elseif mode.test then
    bytes = pack("result", not not (...))
  elseif mode.verb == "call" then
    bytes, reason = pack("result", ...)
  else
    bytes, reason = pack("result", (...))
  end
  local most = math.min(MAX_BYTES, MAX_TOTAL - run.bytes)
  if bytes and #bytes > most then
    bytes, reason = nil, far_errors.too_large("result", #bytes, MAX_BYTES)
  end
  if not bytes then
    run.failed = run.failed + 1
    return failure(nanoseconds, reason)
  end
  run.bytes = run.bytes + #bytes
  return message.record(mode.verb == "call" and RETURNED or DONE, nanoseconds, bytes)
end

local function timed(run, began, ...)
  return record(run, (time() - began) * NANO // 1 | 0, ...)
end

local function run_one(run, f, ...)
  return timed(run, time(), call(f, describe, ...))
end

-- --- chunks ---

local function star(run, f, item)
  local n = type(item) == "table" and (item.n or #item)
  if math.type(n) ~= "integer" or n < 0 then
    return record(run, 0, false, ("starmap takes a list of arguments for each call, but this item is a %s"):format(
      type(item)))
  end
  return run_one(run, f, table.unpack(item, 1, n))
end

-- A chunk's items are one value, the list; a call's arguments are values of their own.
local function run_all(run, f, n, bytes)
  if run.mode.verb == "call" then
    return run_one(run, f, unpack(bytes))
  end
  local items, records, one = unpack(bytes), {}, run.mode.verb == "star" and star or run_one
  if type(items) ~= "table" then
    error("the task's bytes are no list of items", 0)
  end
  for i = 1, n do
    records[i] = one(run, f, items[i])
  end
  return table.concat(records)
end

-- Runs a chunk of n items: its records, how many failed, seconds. attempt: how often it was tried, this time
-- included.
function child.run(worker, name, m, n, bytes, attempt)
  local f, err = function_of(worker, name)
  if not f then
    return failure(0, err):rep(n), n, 0
  end
  context.current().attempt = attempt
  local run = { mode = message.read_mode(m), failed = 0, bytes = 0, nanoseconds = 0 }
  local records = run_all(run, f, n, bytes)
  return records, run.failed, run.nanoseconds / NANO
end

-- The bytes of a chunk's n items, in chunks of `size` each. Runs nothing.
function child.split(n, bytes, size)
  local items, each = unpack(bytes), {}
  if type(items) ~= "table" then
    error("the task's bytes are no list of items", 0)
  end
  for first = 1, n, size do
    local last = math.min(first + size - 1, n)
    each[#each + 1] = assert(pack("items", table.move(items, first, last, 1, { n = last - first + 1 })))
  end
  return each
end

return child
