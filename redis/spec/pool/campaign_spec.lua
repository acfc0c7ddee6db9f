-- SPDX-License-Identifier: MIT
-- Maps while everything dies at random: worker programs and their processes, keepers, the server, other owners; and
-- while workers are frozen. Each item has its one result, and nothing is left at the server. FAR_MAPS: how many maps
-- (200; 10,000 by hand before a release); FAR_SEED: of the random numbers.

local fleet = require("redis.spec.support.fleet")
local keys = require("mproc.far.redis.keys")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local pretty = require("pl.pretty")
local program = require("spec.support.program")
local server = require("redis.spec.support.server")
local tasks = require("redis.spec.support.tasks")

if not server.there() then
  pending("the campaign: skipped, there is no redis-server here")
  return
end

local MAPS = tonumber(os.getenv("FAR_MAPS")) or 200
local SEED = tonumber(os.getenv("FAR_SEED")) or os.time()
local AT_ONCE = 4 -- maps
local ITEMS = 40 -- at most, of a map
local WORKERS = 3
local LEASE = 0.4
local SERVER = { "--appendonly", "yes", "--auto-aof-rewrite-min-size", "1mb" } -- or each restart takes longer
local ROUND_SECONDS = 60 -- of maps at once: more is a hang

local K = keys.of("spec")

local acts, told = {}, {}

-- What happened, so that one that fails can be read.
local function note(what)
  told[what] = (told[what] or 0) + 1
end

local function some(n)
  return math.random(n)
end

function acts.kill_worker(c)
  local i = some(WORKERS)
  c.fleet:kill(i)
  c.fleet:start(i)
end

function acts.freeze_worker(c)
  local i = some(WORKERS)
  c.fleet:signal(i, "STOP")
  table.insert(c.frozen, { i = i, pid = c.fleet.pids[i], at = mproc.time() + math.random() * 1.5 })
end

function acts.kill_child(c)
  local pid = c.fleet.pids[some(WORKERS)]
  local file = io.open(("/proc/%d/task/%d/children"):format(pid, pid))
  local children = file and file:read("a") or ""
  if file then
    file:close()
  end
  for child in children:gmatch("%d+") do
    os.execute(("kill -KILL %s 2>/dev/null"):format(child))
  end
end

function acts.kill_keeper()
  for _, pid in ipairs(leaks.children()) do
    os.execute("kill -KILL " .. pid)
  end
end

function acts.kill_server(c)
  c.server:kill()
  c.server:restart()
end

-- Another owner, which ends in the middle of its map.
function acts.kill_owner(c)
  table.insert(c.owners, server.output_of(([[{ timeout -s KILL %.2f %s -e '
    local mproc, tasks = require("mproc"), require("redis.spec.support.tasks")
    local pool = mproc.Pool{ url = "%s" }
    local items = {} for i = 1, 200 do items[i] = { i, 0.005 } end
    pool:map(tasks.slow, items, 3)' >/dev/null 2>&1 & echo $!; }]]):format(0.2 + math.random() * 0.6, program.lua,
    c.server.url)))
end

-- How often each comes, of 20.
local OFTEN = {
  { 6, "kill_worker" }, { 5, "freeze_worker" }, { 4, "kill_child" }, { 2, "kill_keeper" }, { 2, "kill_server" },
  { 1, "kill_owner" },
}

local function act(c)
  local at = some(20)
  for _, each in ipairs(OFTEN) do
    at = at - each[1]
    if at <= 0 then
      note(each[2])
      return acts[each[2]](c)
    end
  end
end

local function thaw(c, all)
  for i = #c.frozen, 1, -1 do
    local it = c.frozen[i]
    if all or mproc.time() >= it.at then
      os.execute(("kill -CONT %d 2>/dev/null"):format(it.pid))
      table.remove(c.frozen, i)
    end
  end
end

-- A map of random length, and what is to come of it.
local function start_map(pool)
  local items, n = {}, some(ITEMS)
  for i = 1, n do
    items[i] = { some(1 << 30), math.random() < 0.2 and math.random() * 0.02 or 0 }
  end
  return pool:map_async(tasks.slow, items, some(8)), items
end

-- What the server has, who lives, and what the workers have said: so that a hang can be read.
local function describe_state(c)
  local lines = {}
  local function add(name, ...)
    local ok, reply = pcall(c.server.call, c.server, ...)
    lines[#lines + 1] = name .. ": " .. (ok and pretty.write(reply, "") or tostring(reply)):sub(1, 2000)
  end
  thaw(c, true)
  add("tasks", "XRANGE", K.tasks, "-", "+", "COUNT", 20)
  add("consumers", "XINFO", "CONSUMERS", K.tasks, "w")
  add("pending", "XPENDING", K.tasks, "w", "-", "+", 20)
  add("leases", "ZRANGE", K.workers, 0, -1, "WITHSCORES")
  add("told", "HGETALL", K.info)
  add("time", "TIME")
  add("results", "KEYS", K.results)
  for i, pid in ipairs(c.fleet.pids) do
    lines[#lines + 1] = ("worker %d: pid %d, %s"):format(i, pid, server.runs(pid) and "runs" or "is gone")
  end
  lines[#lines + 1] = "owner: " .. pretty.write(c.pool:stats(), "")
  lines[#lines + 1] = "workers: " .. c.fleet:said():sub(-3000)
  return table.concat(lines, "\n")
end

-- A child that is killed costs the item that ran: on_crash = "retry" runs it again.
local function check(c, future, items)
  local deadline = mproc.time() + ROUND_SECONDS
  while not future:ready() do
    if mproc.time() >= deadline then
      error("a map hangs\n" .. describe_state(c))
    end
    future:wait(0.05)
    thaw(c)
  end
  local values = future:get()
  assert.equal(#items, #values)
  for i, item in ipairs(items) do
    assert.equal(item[1], values[i])
  end
end

local function round(c)
  local futures = {}
  for i = 1, AT_ONCE do
    futures[i] = { start_map(c.pool) }
  end
  for _ = 1, some(3) do
    c.pool:step(math.random() * 0.1)
    thaw(c)
    act(c)
  end
  for _, each in ipairs(futures) do
    check(c, each[1], each[2])
  end
end

-- Nothing of owners that were killed is left once their streams have expired, which is done here at once.
local function await_empty(c)
  local deadline = mproc.time() + 30
  local left
  repeat
    for _, key in ipairs(c.server:call("KEYS", K.results)) do
      c.server:call("DEL", key)
    end
    mproc.sleep(0.1)
    left = #c.server:call("XRANGE", K.tasks, "-", "+")
  until left == 0 or mproc.time() > deadline
  assert.equal(0, left)
end

describe("maps over several machines", function()
  leaks.watch()

  it("have one result for each item, whatever dies", function()
    math.randomseed(SEED)
    local c = { server = server.start(SERVER), frozen = {}, owners = {} }
    c.fleet = fleet.start(c.server.url, WORKERS, { lease = LEASE })
    c.pool = mproc.Pool{ url = c.server.url, on_crash = "retry", retries = 50 }
    local done = 0
    local ok, err = xpcall(function()
      while done < MAPS do
        round(c)
        done = done + AT_ONCE
      end
      c.pool:join()
    end, debug.traceback)
    thaw(c, true)
    if not ok then
      print(err)
      c.pool:terminate()
    else
      await_empty(c)
    end
    mproc.sleep(3 * LEASE) -- those that were killed are missed
    c.fleet:stop()
    local left = ok and c.server:keys()
    if left and left[1] then
      print(describe_state(c))
    end
    c.server:stop()
    local names = {}
    for name, n in pairs(told) do
      names[#names + 1] = ("%s %d"):format(name, n)
    end
    table.sort(names)
    print(("%d maps, seed %d: %s"):format(done, SEED, table.concat(names, ", ")))
    assert(ok, err)
    assert.same({}, left)
  end)
end)
