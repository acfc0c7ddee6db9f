-- SPDX-License-Identifier: MIT
-- One operation, so and so many times, in one process: what bench/instructions.py counts. Usage: operations.lua NAME N

package.cpath = (os.getenv("BUILD") or "build") .. "/bench/?.so;" .. package.cpath

local mproc = require("mproc")
local raw = require("raw")
local values = require("bench.codec_values")

local WARM_UP = 300

local q = mproc.Queue()
local lock, semaphore, shared = mproc.Lock(), mproc.Semaphore(1), mproc.Value("integer")
local record, kib = values.small_record(), ("x"):rep(1 << 10)

local function put_get(value)
  return function()
    q:put(value)
    q:get()
  end
end

local empty, indexed = raw.objects()

local ten = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }
local hundred = {}
for i = 1, 100 do
  hundred[i] = 123456000 + i
end

local operations = {
  nothing = function() end,
  put_get_integer = put_get(123456789),
  put_get_record = put_get(record),
  put_get_kib_string = put_get(kib),
  put_many_get_many_10 = function()
    q:put_many(ten)
    q:get_many(#ten)
  end,
  put_many_get_many_100 = function()
    q:put_many(hundred)
    q:get_many(#hundred)
  end,
  put = function() q:put(123456789) end,
  get_from_empty = function() q:get_nowait() end,
  encode_decode_record = function() mproc.decode(mproc.encode(record)) end,
  lock_unlock = function()
    lock:acquire()
    lock:release()
  end,
  semaphore = function()
    semaphore:acquire()
    semaphore:release()
  end,
  value_add = function() shared:add(1) end,
  two_empty_calls = function()
    empty:first()
    empty:second()
  end,
  one_empty_field = function() return indexed.value end,
  value_get = function() return shared.value end,
}

local f = operations[arg[1]]
for _ = 1, WARM_UP + tonumber(arg[2]) do
  f()
end
