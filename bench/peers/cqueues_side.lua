-- SPDX-License-Identifier: MIT
-- The same jobs with cqueues' threads, which have a stream socket to their parent: prints one number.
-- Usage: cqueues_side.lua JOB COUNT. Integers and round trips go as packed eight bytes, strings as they are with known
-- lengths, tables by lua-cjson and with their length ahead: as a user would who has no more than that.

local cqueues = require("cqueues")
local thread = require("cqueues.thread")

local KIB, MIB = 1 << 10, 1 << 20

-- Runs f(socket, ...) in a thread of its own Lua state.
local function start(f, ...)
  local t, socket = thread.start(f, ...)
  socket:setmode("b", "bf")
  return t, socket
end

-- Microseconds to start and join an empty thread.
local function start_join(count)
  local began = cqueues.monotime()
  for _ = 1, count do
    local t, socket = thread.start(function() end)
    t:join()
    socket:close()
  end
  return (cqueues.monotime() - began) / count * 1e6
end

-- Microseconds from a message to the echo's answer.
local function round_trip(count)
  local t, socket = start(function(s)
    s:setmode("b", "bn")
    for word in function() return s:read(8) end do
      s:write(word)
      s:flush()
    end
  end)
  socket:setmode("b", "bn")
  local function trip(i)
    socket:write(("<i8"):pack(i))
    socket:flush()
    return (("<i8"):unpack(socket:read(8)))
  end
  for i = 1, 100 do
    trip(i)
  end
  local began = cqueues.monotime()
  for i = 1, count do
    assert(trip(i) == i)
  end
  local seconds = cqueues.monotime() - began
  socket:shutdown("w")
  t:join()
  return seconds / count * 1e6
end

-- Messages a second from a thread that runs `produce` to `consume`, once a message.
local function one_way(count, produce, consume, ...)
  local t, socket = start(produce, tostring(count), ...)
  local began = cqueues.monotime()
  socket:write("g")
  socket:flush()
  for _ = 1, count do
    consume(socket)
  end
  local seconds = cqueues.monotime() - began
  t:join()
  return count / seconds
end

local function integers(count)
  return one_way(count, function(s, n)
    s:setmode("b", "bf")
    s:read(1)
    for i = 1, tonumber(n) do
      s:write(("<i8"):pack(i))
    end
    s:flush()
  end, function(s)
    return (("<i8"):unpack(s:read(8)))
  end) / 1e6
end

local function tables(count)
  local decode = require("cjson").decode
  return one_way(count, function(s, n)
    local encode = require("cjson").encode
    local value = { id = 1, name = "x", tags = { 1, 2, 3 } }
    s:setmode("b", "bf")
    s:read(1)
    for _ = 1, tonumber(n) do
      s:write(("<s4"):pack(encode(value)))
    end
    s:flush()
  end, function(s)
    return decode(s:read((("<I4"):unpack(s:read(4)))))
  end) / 1e6
end

local function strings(count, length)
  return one_way(count, function(s, n, size)
    local value = ("x"):rep(tonumber(size))
    s:setmode("b", "bf")
    s:read(1)
    for _ = 1, tonumber(n) do
      s:write(value)
    end
    s:flush()
  end, function(s)
    return s:read(length)
  end, tostring(length))
end

local jobs = {
  start_join = start_join,
  round_trip = round_trip,
  integers = integers,
  tables = tables,
  kib_strings = function(count) return strings(count, KIB) / 1e6 end,
  mib_strings = function(count) return strings(count, MIB) * MIB / 1e9 end,
}

print(jobs[arg[1]](tonumber(arg[2])))
