-- SPDX-License-Identifier: MIT
-- Pools whose workers, and owners, are killed at random and at planned points, and an audit by name: each task that
-- was submitted ends exactly once, with its result, or because of a worker that was really killed.
-- Run by `make campaign`.
-- MP_KILLS (300) or MP_SECONDS: how long. MP_SEED.
--
-- Planned points: a worker is killed right after it has taken a task (while its arguments are decoded), in the task, by
-- os.exit, while it encodes the result, and some instructions after the last one of the task's own (lua_trap): in the
-- report, at the end of the lease, or in the next task.

local core = require("mproc.core")
local items = require("spec.support.items")
local mproc = require("mproc")
local trap = require("lua_trap")

local KILLS = tonumber(os.getenv("MP_KILLS")) or 300
local SECONDS = tonumber(os.getenv("MP_SECONDS")) or 0
local SEED = tonumber(os.getenv("MP_SEED")) or os.time()
local HANG = 2 -- s without a task's end
local TASKS, ITEMS = 40, 300 -- of a round
local RETRIES = 3
local STEPS = 12000 -- instructions; a report and the end of its lease have some thousands
local PIDS = 1 << 22
local PATIENCE = 5 -- s for what a dead process held

local killed = mproc.Array("uint8", PIDS) -- by pid: it was to die
local running = mproc.Array("integer", 8) -- pids of the workers of an owner that is to be killed
local planned = mproc.Value("integer")
local count = { operations = 0, random = 0, retried = 0, lost = 0, twice = 0, hung = 0, slowest = 0 }
local began = mproc.time()
local owner = mproc.getpid()

math.randomseed(SEED)
print(("  MP_SEED=%d"):format(SEED))

local function complain(kind, ...)
  count[kind] = count[kind] + 1
  io.stderr:write(("%s: "):format(kind), string.format(...), "\n")
end

-- --- deaths, in a worker ---

local function doom()
  if killed:add(mproc.getpid(), 1) == 1 then
    planned:add(1)
  end
end

local function die()
  doom()
  os.execute("kill -9 " .. mproc.getpid() .. " 2>&-") -- it may have been killed by others meanwhile
  mproc.sleep(60)
end

-- A value whose coming (in the worker) or going is a worker's death, once.
local Fatal = { __name = "campaign.Fatal" }
function Fatal.__mproc_encode(v)
  if v.when == "encoded" and v.budget[v.index] > 0 and mproc.getpid() ~= owner then
    v.budget:add(v.index, -1)
    die()
  end
  return { when = v.when, index = v.index, budget = v.budget }
end
mproc.register("campaign.Fatal", Fatal, {
  decode = function(v)
    if v.when == "decoded" and v.budget[v.index] > 0 and mproc.getpid() ~= owner then
      v.budget:add(v.index, -1)
      die()
    end
    return setmetatable(v, Fatal)
  end,
})

local DEATHS = {
  task = die,
  exit = function()
    doom()
    os.exit(0)
  end,
  after = function(steps)
    doom()
    trap.die_after(steps)
  end,
}

-- What all tasks run: notes that it has begun, dies if it is to, and gives its name back.
local function task(name, runs, budget, how, value)
  runs:add(name, 1)
  if DEATHS[how] and budget[name] > 0 then
    budget:add(name, -1)
    DEATHS[how](value)
  elseif how == "encoded" then
    return name, value
  end
  return name
end

-- --- the audit ---

local function was_killed(err)
  if type(err) ~= "table" or err.kind ~= "worker_died" then
    return false
  end
  for _, death in ipairs(err.deaths or {}) do
    if killed[death.pid] == 0 then
      return false
    end
  end
  return killed[err.pid] > 0
end

-- ended: how often `name` has ended. most: attempts that it may take.
local function judge(name, runs, most, ok, value, err)
  count.operations = count.operations + 1
  count.retried = count.retried + math.max(0, runs[name] - 1)
  if ok and value ~= name then
    complain("lost", "task %d gave %s", name, tostring(value))
  elseif not ok and not was_killed(err) then
    complain("lost", "task %d: %s", name, tostring(err))
  elseif runs[name] > most or (ok and runs[name] < 1) then
    complain("twice", "task %d ran %d times", name, runs[name])
  end
end

-- Seconds for which this process and the workers have waited for a CPU.
local function waited_for_cpu(pool)
  local sum = 0
  for _, pid in ipairs({ mproc.getpid(), table.unpack(pool:workers()) }) do
    local file <close> = io.open(("/proc/%d/schedstat"):format(pid))
    sum = sum + (file and tonumber((file:read("a") or ""):match("^%d+ (%d+)")) or 0)
  end
  return sum / 1e9
end

-- A child of this process that is not reaped: its pid names no other process. And how it is: "Z" for dead.
local function state_of(pid)
  local file <close> = io.open(("/proc/%d/stat"):format(pid))
  local state, parent = (file and file:read("a") or ""):match("%) (%a) (%d+)")
  return state, tonumber(parent)
end

local function kill_one(pool)
  local pids = pool:workers()
  local pid = pids[math.random(#pids)]
  local state, parent = state_of(pid or 0)
  if parent == owner and state ~= "Z" then
    if killed:add(pid, 1) == 1 then
      count.random = count.random + 1
    end
    os.execute("kill -9 " .. pid)
  end
end

-- Until `left` gives 0, and no longer than HANG without another number; one worker is killed now and then.
local function drive(pool, left)
  local since, last, waited = mproc.time(), left(), waited_for_cpu(pool)
  while last > 0 do
    pool:step(math.random() * 0.002)
    local now = left()
    local took = mproc.time() - since
    if now ~= last then
      since, last, waited = mproc.time(), now, waited_for_cpu(pool)
      count.slowest = math.max(count.slowest, took)
    elseif took > HANG and took > HANG + waited_for_cpu(pool) - waited then
      complain("hung", "%d tasks, none of which ends", now)
      os.exit(1)
    end
    if math.random(3) == 1 then
      kill_one(pool)
    end
  end
end

-- --- rounds ---

local KINDS = { "ok", "ok", "task", "exit", "after", "after", "decoded", "encoded" }

local function value_for(how, name, budget)
  if how == "decoded" or how == "encoded" then
    return setmetatable({ when = how, index = name, budget = budget }, Fatal)
  end
  return how == "after" and math.random(STEPS) or nil
end

local function submit_all(pool, runs, budget)
  local futures = {}
  for name = 1, TASKS do
    local how = KINDS[math.random(#KINDS)]
    budget[name] = 1
    futures[name] = pool:submit(task, name, runs, budget, how, value_for(how, name, budget))
  end
  return futures
end

local function singles(pool, attempts)
  local runs, budget = mproc.Array("integer", TASKS), mproc.Array("integer", TASKS)
  local ended = {}
  local left = TASKS
  local futures = submit_all(pool, runs, budget)
  for name, future in ipairs(futures) do
    future:add_done_callback(function()
      ended[name] = (ended[name] or 0) + 1
      left = left - 1
    end)
  end
  drive(pool, function() return left end)
  for name, future in ipairs(futures) do
    local err = future:exception(0)
    judge(name, runs, attempts, not err, not err and future:get(0) or nil, err)
    if ended[name] ~= 1 then
      complain("twice", "task %d ended %d times", name, ended[name] or 0)
    end
  end
end

-- Items at some of which the worker dies some time later.
local function item_task(runs, budget)
  return function(name)
    local how = name % 50 == 0 and "after" or "ok"
    for _ = 1, name % 7 * 300 do
      math.sqrt(name)
    end
    return (task(name, runs, budget, how, math.random(STEPS)))
  end
end

local function with_budgets(n)
  local runs, budget = mproc.Array("integer", n), mproc.Array("integer", n)
  budget:fill(1)
  return runs, budget
end

local function map(pool, attempts)
  local runs, budget = with_budgets(ITEMS)
  local future = pool:map_async(item_task(runs, budget), items.numbers(ITEMS), math.random(30))
  drive(pool, function()
    local begun = 1
    for _, n in ipairs(runs:totable()) do
      begun = begun + n
    end
    return future:ready() and 0 or begun
  end)
  local err = future:exception(0)
  if err then
    judge(1, runs, math.huge, false, nil, err)
    return
  end
  local list = future:get(0)
  for name = 1, ITEMS do
    judge(name, runs, attempts, true, list[name])
  end
end

-- Each item comes once, or its error does.
local function stream(pool, attempts)
  local runs, budget = with_budgets(ITEMS)
  local seen, errors = {}, 0
  local next_one = pool:imap_unordered(item_task(runs, budget), items.numbers(ITEMS), math.random(10))
  while true do
    local since, waited = mproc.time(), waited_for_cpu(pool)
    local ok, index, value = pcall(next_one)
    local took = mproc.time() - since
    if took > HANG and took > HANG + waited_for_cpu(pool) - waited then
      complain("hung", "an item came after %.1f s", took)
    end
    count.slowest = math.max(count.slowest, took)
    if ok and index == nil then
      break
    elseif ok then
      if seen[index] then
        complain("twice", "item %d came twice", index)
      end
      seen[index] = true
      judge(index, runs, attempts, true, value)
    else
      errors = errors + 1
      judge(1, runs, math.huge, false, nil, index)
    end
    if math.random(20) == 1 then
      kill_one(pool)
    end
  end
  for name = 1, ITEMS do
    errors = errors - (seen[name] and 0 or 1)
  end
  if errors ~= 0 then
    complain("lost", "%d errors more than items without a result", errors)
  end
end

local function round(on_crash)
  local attempts = on_crash == "retry" and RETRIES + 1 or 1
  local pool <close> = mproc.Pool{ processes = 3, on_crash = on_crash, retries = RETRIES,
    maxtasksperchild = math.random(3) == 1 and 20 or nil }
  singles(pool, attempts)
  map(pool, attempts)
  stream(pool, attempts)
end

local function await(what, done)
  local deadline = mproc.time() + PATIENCE
  while not done() do
    if mproc.time() > deadline then
      complain("hung", "%s", what)
      return
    end
    mproc.sleep(0.002)
  end
end

local function is_gone(pid)
  local state = state_of(pid)
  return not state or state == "Z" or state == "X"
end

-- A process that owns a pool is killed while it is busy: its workers end as well, and nothing is left.
local function orphan_round()
  running:fill(0)
  local process = mproc.Process(function()
    local pool <close> = mproc.Pool(3)
    for i, pid in ipairs(pool:workers()) do
      running[i] = pid
    end
    pool:map(function(i) return i * i end, items.numbers(1000000), 10)
  end):start()
  await("a pool that does not start", function() return running[3] ~= 0 end)
  mproc.sleep(math.random() * 0.01)
  process:kill()
  process:join()
  process:close()
  count.random = count.random + 1
  for i = 1, 3 do
    await("a worker outlives its pool's owner", function() return is_gone(running[i]) end)
  end
end

-- --- all of it ---

local function kills()
  return count.random + planned.value
end

local function objects()
  collectgarbage()
  collectgarbage()
  return core.stats().objects
end

local before = objects()
local rounds = 0
while (SECONDS > 0 and mproc.time() - began < SECONDS) or (SECONDS <= 0 and kills() < KILLS) do
  rounds = rounds + 1
  if rounds % 3 == 0 then
    orphan_round()
  else
    round(rounds % 3 == 1 and "error" or "retry")
  end
end
await("objects that are left", function() return objects() <= before end)

print(("campaign: pools; %d operations, %d kills, %d planned, %d abandoned, %d lost, %d twice, %d hung, %d ms"):format(
  count.operations, kills(), planned.value, 0, count.lost, count.twice, count.hung, count.slowest * 1000 // 1))
print(("  %d rounds, %d tasks run again"):format(rounds, count.retried))
os.exit(count.lost + count.twice + count.hung == 0)
