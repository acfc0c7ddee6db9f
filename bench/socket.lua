-- SPDX-License-Identifier: MIT
-- Claims: 100 bytes and their answer over a Unix socket come at Python's rate at least, both made by send_bytes and
-- recv_bytes of a Client and a Listener; and 1 MiB strings at 1 GB/s.

local harness = require("bench.harness")
local trips = require("bench.trips")
local mproc = require("mproc")

local BATCH = 500
local SHORT, LONG = ("x"):rep(100), ("x"):rep(1 << 20)
local LONG_COUNT = 2000

-- Both ends: here a client, and in a process of its own a listener's connection, with which it calls f.
local function with_pair(f, run)
  local listener <close> = assert(mproc.Listener({ authkey = false }))
  local p = mproc.Process(function()
    local c <close> = assert(listener:accept())
    f(c)
  end):start()
  local here <close> = assert(mproc.Client({ address = listener.address, authkey = false }))
  local figure = run(here)
  here:close()
  p:join()
  p:close()
  return figure
end

local function echo(c)
  for s in function() return (c:recv_bytes()) end do
    c:send_bytes(s)
  end
end

harness.run({
  title = "100 bytes over a socket, us",
  better = "less",
  mproc = function()
    return with_pair(echo, function(here)
      return trips.each(function(n)
        for _ = 1, n do
          here:send_bytes(SHORT)
          here:recv_bytes()
        end
      end, BATCH)
    end)
  end,
  python = harness.python("socket_round_trip", 10000),
  reach = "<= Python's",
  reached = function(found)
    local python = found.sides.python
    return not python or python.ratio.median <= 1
  end,
  show_others = true,
})

-- A second time 1 MiB each way.
for _, there in ipairs({ true, false }) do
  local function give(c)
    for _ = 1, LONG_COUNT do
      c:send_bytes(LONG)
    end
  end
  local function take(c)
    for _ = 1, LONG_COUNT do
      c:recv_bytes()
    end
  end
  harness.run({
    title = there and "1 MiB to a Listener, GB/s" or "1 MiB from a Listener, GB/s",
    better = "more",
    mproc = function()
      return with_pair(there and function(c) take(c) c:send_bytes("") end or give, function(here)
        local began = mproc.time()
        if there then
          give(here)
          here:recv_bytes()
        else
          take(here)
        end
        return LONG_COUNT * #LONG / (mproc.time() - began) / 1e9
      end)
    end,
    python = harness.python(there and "socket_to_listener" or "socket_from_listener", 400),
    reach = ">= 1",
    reached = function(found)
      return found.median >= 1
    end,
    show_others = true,
  })
end
