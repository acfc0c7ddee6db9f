-- SPDX-License-Identifier: MIT
-- finalizers_program.lua WHAT MODE SECONDS: calls of a pool, a queue, a lock or containers while finalizers, and hooks
-- of the codec, use the same ones at any allocation. Everything comes to what it comes to without them. "done" at last.

local mproc = require("mproc")

local what, mode, seconds = arg[1], arg[2], tonumber(arg[3])

if mode == "generational" then
  collectgarbage("generational", 5, 20)
else
  collectgarbage("incremental", 50, 400)
end
math.randomseed(os.time())

-- use() is called by finalizers: one at a time, now and then in a place where another is at work.
local use, depth, uses, faults = nil, 0, 0, {}

local function in_finalizer()
  if depth > 1 then return end
  depth = depth + 1
  local ok, err = pcall(use)
  depth = depth - 1
  uses = uses + 1
  if not ok then faults[#faults + 1] = tostring(err) end
end

local Trash = { __gc = in_finalizer }
local function litter(n)
  for _ = 1, n do setmetatable({}, Trash) end
end

-- Objects whose hooks litter and use.
local Object = {}
Object.__mproc_encode = function(object)
  litter(2)
  if math.random(4) == 1 then in_finalizer() end
  return { object.n }
end
mproc.register("finalizers.Object", Object, { decode = function(plain)
  if math.random(4) == 1 then in_finalizer() end
  return setmetatable({ n = plain[1] }, Object)
end })
local function object(n) return setmetatable({ n = n }, Object) end

local function check(right, text, ...)
  if not right then error(text:format(...), 2) end
end

local function no_finalizers() return false end

local rounds = {}

function rounds.pool()
  local pool = mproc.Pool(2)
  local n = 0
  use = function()
    n = n + 1
    local mine = n
    local how = mine % 5
    if how == 0 then
      check(pool:apply(function(x) return { x, mine } end, { 3 })[2] == mine, "apply in a finalizer is wrong")
    elseif how == 1 then
      local list = pool:map(function(x) return x + mine end, { 1, 2 })
      check(#list == 2 and list[1] == 1 + mine and list[2] == 2 + mine, "map in a finalizer is wrong")
    elseif how == 2 then
      pool:submit(function() return mine end):add_done_callback(function(f)
        check(f:get() == mine, "submit in a finalizer is wrong")
      end)
    elseif how == 3 then
      pool:step(0)
    else
      local _, x = pool:imap(function(x) return x * mine end, { 1, 2, 3 }, 1)()
      check(x == mine, "imap in a finalizer is wrong: %s %s, not %d", tostring(_), tostring(x), mine)
    end
  end
  local function round(i)
    litter(6)
    local tag = { i }
    local list = pool:map(function(x) return { x, tag[1], "mine" } end, { i, i + 1, i + 2 }, i % 3 + 1)
    for k = 1, 3 do
      check(type(list[k]) == "table" and list[k][1] == i + k - 1 and list[k][2] == i and list[k][3] == "mine",
        "map: item %d of round %d is wrong", k, i)
    end
    litter(3)
    check(pool:apply(function(o) return o.n + i end, { object(5) }) == 5 + i, "apply of round %d is wrong", i)
    local futures = {}
    for k = 1, 4 do
      litter(1)
      futures[k] = pool:submit(function(x) return object(x + i) end, k)
    end
    for k = 1, 4 do check(futures[k]:get(20).n == k + i, "submit of round %d is wrong", i) end
    local count = 0
    for k, x in pool:imap_unordered(function(x) return x * i end, { 1, 2, 3, 4 }, 1) do
      litter(1)
      check(x == k * i, "imap_unordered of round %d is wrong", i)
      count = count + 1
    end
    check(count == 4, "imap_unordered of round %d gave %d of 4", i, count)
  end
  return round, function()
    check(pool:join(20), "join does not end: %s", tostring(pool))
  end
end

function rounds.queue()
  local q, other = mproc.Queue(), mproc.JoinableQueue()
  local theirs = 0
  use = function()
    if q:qsize() > 30 then return end
    local mine = theirs + 1
    theirs = mine
    q:put({ "finalizer", mine, ("x"):rep(mine % 300) })
    other:put(object(mine))
    local o = other:get(0)
    if o then other:task_done() end
  end
  local finalizers_next = {}
  local function round(i)
    litter(5)
    for k = 1, 5 do
      q:put({ "main", i, k, object(k), ("y"):rep(i * 37 % 40000) })
      litter(2)
    end
    local expected = 1
    while expected <= 5 do
      litter(1)
      local message = q:get(20)
      check(type(message) == "table", "a message was lost")
      if message[1] == "main" then
        check(message[2] == i and message[3] == expected and message[4].n == expected, "out of order in round %d", i)
        expected = expected + 1
      else
        check(not finalizers_next[message[2]], "delivered twice")
        check(#message[3] == message[2] % 300, "the message of a finalizer is wrong")
        finalizers_next[message[2]] = true
      end
    end
    local list = {}
    for k = 1, 10 do list[k] = object(k) end
    local many = mproc.Queue()
    check(many:put_many(list) == 10, "put_many of round %d", i)
    list = many:get_many(10)
    for k = 1, list.n do check(list[k].n == k, "get_many of round %d", i) end
  end
  return round, function()
    use = no_finalizers
    while true do
      local message = q:get(0)
      if not message then break end
      finalizers_next[message[2]] = true
    end
    for k = 1, theirs do check(finalizers_next[k], "the message %d of a finalizer is lost", k) end
  end
end

function rounds.sync()
  local lock, permits, value, event = mproc.RLock(), mproc.BoundedSemaphore(3), mproc.Value("integer"), mproc.Event()
  local own = mproc.Value("integer")
  local theirs, mine = 0, 0
  use = function()
    theirs = theirs + 1
    if lock:acquire(0) then lock:release() end
    lock:with(function() value:add(1) end)
    if permits:acquire(0) then permits:release() end
    local _ = mproc.Lock()
    event:set()
  end
  local function round()
    litter(4)
    lock:with(function(x)
      litter(2)
      mine = mine + 1
      value:add(x)
    end, 1)
    do
      local _ <close> = permits:guard()
      litter(3)
      check(permits:get_value() <= 2, "the permit is not held")
    end
    local before = own.value -- the finalizers leave it alone: update would be called again, over and over
    check(own:update(function(x)
      litter(1)
      return x + 1
    end) == before + 1, "update")
    local made = { mproc.Queue(), mproc.Semaphore(2), mproc.Condition(), mproc.Array("integer", 5) }
    check(made[3]:with(function() litter(2) return 5 end) == 5, "with of a condition")
    check(event:wait(0) or true, "event")
  end
  return round, function()
    use = no_finalizers
    check(not lock:locked() and permits:get_value() == 3, "something is held")
    check(value.value == theirs + mine, "%d additions are %d", theirs + mine, value.value)
  end
end

function rounds.process()
  use = function()
    local p = mproc.Process(function(x) return x + 1 end, 4):start()
    check(p:result(20) == 5, "the result in a finalizer is wrong")
    p:join()
    p:close()
  end
  local function round(i)
    litter(1)
    local p = mproc.Process(function(o) return object(o.n + i), "two" end, object(3)):start()
    litter(1)
    local o, two = p:result(20)
    check(o.n == 3 + i and two == "two", "the result of round %d is wrong", i)
    p:join()
    p:close()
  end
  return round, function()
    use = no_finalizers
    collectgarbage()
    check(#mproc.active_children() == 0, "children are left")
  end
end

-- What the main program and the finalizers change are different keys of the same containers, but for the sums.
function rounds.container()
  local d, l, s, ns = mproc.Dict{ sum = 0 }, mproc.List{ 0 }, mproc.Set(), mproc.Namespace{ sum = 0 }
  local theirs, mine = 0, 0
  use = function()
    theirs = theirs + 1
    local n = theirs
    local value = n % 16 == 0 and object(n) or { n = n } -- hooks litter: seldom, or there would be no end
    d:add("sum", 1)
    d["f" .. n % 7] = value
    check(d["f" .. n % 7].n >= n, "a finalizer's value is wrong")
    l:add(1, 1)
    if #l < 40 then
      l:append(n)
    else
      l:remove(2)
    end
    s:add("f" .. n % 5)
    ns.last = n
    local f = mproc.freeze{ n, { n }, name = "x" }
    check(f[2][1] == n and mproc.thaw(f)[1] == n, "a frozen table of a finalizer is wrong")
  end
  local function round(i)
    litter(4)
    mine = mine + 1
    d:add("sum", 1)
    d:set_many{ a = object(i), b = { i, object(i) }, ["m" .. i % 9] = i }
    litter(2)
    check(d.a.n == i and d.b[1] == i and d.b[2].n == i, "values of round %d are wrong", i)
    check(d:update("a", function(o)
      litter(1)
      return object(o.n + 1)
    end).n == i + 1, "update of round %d is wrong", i)
    local seen = {}
    for k, v in pairs(d) do
      litter(1)
      check(not seen[k], "%s comes twice", k)
      seen[k] = v
    end
    check(seen.a.n == i + 1 and seen.sum, "pairs misses some")
    check(d:totable().b[1] == i, "totable of round %d is wrong", i)
    l:add(1, 1)
    local own = mproc.List()
    own:extend{ object(3), object(1), object(2) }
    litter(2)
    own:sort(function(x, y)
      litter(1)
      return x.n < y.n
    end)
    for k, o in ipairs(own:totable()) do check(o.n == k, "sort of round %d is wrong", i) end
    check(s:add(i) and s:has(i) and s:remove(i), "the set of round %d is wrong", i)
    local t = { i, { "text", ("z"):rep(i * 37 % 5000) } }
    t.self = t
    local f = mproc.freeze(t)
    litter(2)
    check(f.self[1] == i and #f[2][2] == i * 37 % 5000, "the frozen table of round %d is wrong", i)
    check(d:pop("a").n == i + 1 and d:exchange("b", nil)[2].n == i, "what was taken in round %d is wrong", i)
  end
  return round, function()
    use = no_finalizers
    check(d.sum == theirs + mine and l[1] == d.sum, "%d additions are %d and %d", theirs + mine, d.sum, l[1])
    check(not d:lock():locked() and not l:lock():locked(), "something is held")
    check(#l <= 41 and #d:keys() == #d, "they count wrong")
  end
end

local round, finish = rounds[what]()
local begun, i = mproc.time(), 0
repeat
  i = i + 1
  round(i)
until mproc.time() - begun > seconds or faults[1]
finish()
assert(not faults[1], faults[1])
assert(uses > 0, "no finalizer ran")
io.stderr:write(("%d rounds, %d uses in finalizers and hooks\n"):format(i, uses))
print("done")
