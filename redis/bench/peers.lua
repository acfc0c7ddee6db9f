-- SPDX-License-Identifier: MIT
-- Side by side on one server: mproc, BullMQ, celery and RQ, two workers of one process each, alternating rounds,
-- medians and ratios. A peer that is not installed is left out. Run it from the tree's root:
--   make bench-redis        (NODE_PATH: where bullmq lies; ROUNDS=3)

local fleet = require("redis.spec.support.fleet")
local mproc = require("mproc")
local server = require("redis.spec.support.server")

local ROUNDS = tonumber(os.getenv("ROUNDS")) or 3
local PYTHON = os.getenv("PYTHON") or "/usr/bin/python3"
local LUA = os.getenv("LUA") or "lua5.4"
local PEERS = "redis/bench/peers"

local s = server.start()

local function run(command)
  return tonumber(server.output_of("timeout 60 " .. command .. " 2>/dev/null"))
end

local function has(command)
  return os.execute(command .. " >/dev/null 2>&1") == true
end

-- Starts a program in a process group of its own, and gives what ends that.
local function start(command)
  local group = server.output_of(("setsid sh -c 'echo $$; exec %s >/dev/null 2>&1 </dev/null' &"):format(command))
  return function()
    os.execute(("kill -KILL -%s 2>/dev/null"):format(group))
  end
end

-- --- the sides: each starts two workers and gives how a figure is taken ---

local sides = {
  { name = "mproc", rate = 20000, trip = 300, start = function()
    local f = fleet.start(s.url, 2)
    return function(what, n)
      return run(("%s %s/mproc_side.lua '%s' %s %d"):format(LUA, PEERS, s.url, what, n))
    end, function() f:stop() end
  end },
}

if has("node -e 'require(\"bullmq\")'") then
  table.insert(sides, { name = "BullMQ", rate = 1000, trip = 100, start = function()
    local one = start(("node %s/bullmq.js work %d"):format(PEERS, s.port))
    local two = start(("node %s/bullmq.js work %d"):format(PEERS, s.port))
    mproc.sleep(1.5)
    return function(what, n)
      return run(("node %s/bullmq.js %s %d %d"):format(PEERS, what, s.port, n))
    end, function() one() two() end
  end })
end

if has(PYTHON .. " -c 'import celery, redis'") then
  table.insert(sides, { name = "celery", rate = 300, trip = 50, start = function()
    local env = ("env PORT=%d PYTHONPATH=%s "):format(s.port, PEERS)
    local worker = env .. PYTHON .. " -m celery -A celery_side worker -c 1 --without-gossip --without-mingle -n w%d"
    local one, two = start(worker:format(1)), start(worker:format(2))
    mproc.sleep(3)
    return function(what, n)
      return run(("%s %s %s/celery_side.py %s %d"):format(env, PYTHON, PEERS, what, n))
    end, function() one() two() end
  end })
end

if has(PYTHON .. " -c 'import rq, redis'") then
  table.insert(sides, { name = "RQ", rate = 60, trip = 20, start = function()
    local env = ("env PORT=%d PYTHONPATH=%s "):format(s.port, PEERS)
    local worker = env .. PYTHON .. " -m rq.cli worker -u redis://127.0.0.1:" .. s.port .. "/2"
    local one, two = start(worker), start(worker)
    mproc.sleep(2)
    return function(what, n)
      return run(("%s %s %s/rq_side.py %s %d"):format(env, PYTHON, PEERS, what, n))
    end, function() one() two() end
  end })
end

-- --- rounds ---

local function median(list)
  table.sort(list)
  return list[#list // 2 + 1]
end

for _, side in ipairs(sides) do
  side.rates, side.trips, side.maps = {}, {}, {}
end
for _ = 1, ROUNDS do
  for _, side in ipairs(sides) do
    local measure, stop = side.start()
    table.insert(side.rates, measure("rate", side.rate))
    table.insert(side.trips, measure("trip", side.trip))
    if side.name == "mproc" then
      table.insert(side.maps, measure("first_map", 100000))
    end
    stop()
  end
end

local own_rate, own_trip = median(sides[1].rates), median(sides[1].trips)
print(("%-8s %12s %9s %12s %9s"):format("", "tasks/s", "ratio", "trip p50 ms", "ratio"))
for _, side in ipairs(sides) do
  local rate, trip = median(side.rates), median(side.trips)
  if rate and trip then
    print(("%-8s %12.0f %9.1f %12.2f %9.2f"):format(side.name, rate, own_rate / rate, trip * 1000, trip / own_trip))
  else
    print(("%-8s failed"):format(side.name))
  end
end
print(("\nmap of 100,000 tiny items without a chunksize: %.0f a second"):format(median(sides[1].maps)))
s:stop()
