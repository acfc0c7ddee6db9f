-- SPDX-License-Identifier: MIT
-- Scenarios of run.lua: queues, pipes, leases, waiting for many. Nothing is lost but what an instruction of the program
-- itself had in hand, nothing comes twice.

local engine = require("spec.faults.raise.engine")
local mproc = require("mproc")

local scenarios = {}

local MESSAGES = 12

local function filled(make)
  local q = (make or mproc.Queue)()
  for i = 1, MESSAGES do q:put(i) end
  return q
end

local function drain(q, seen)
  while true do
    local v, word = q:get(0)
    if v == nil then
      assert(word == "empty" or word == "closed", word)
      return
    end
    assert(not seen[v], "delivered twice: " .. tostring(v))
    seen[v] = true
  end
end

-- All messages are there once. What raised in the program's own code may have cost the one that it had in hand.
local function audit_messages(env, what)
  engine.collect()
  local seen, n = {}, 0
  for _, v in ipairs(env.got) do
    assert(not seen[v], "delivered twice: " .. tostring(v))
    seen[v] = true
  end
  drain(env.q, seen)
  for i = 1, MESSAGES do n = n + (seen[i] and 1 or 0) end
  local may_miss = what.raised and not what.inside and (env.batch or 1) or 0
  assert(n >= MESSAGES - may_miss, ("%d of %d messages are there"):format(n, MESSAGES))
end

local function reading(call, options)
  options = options or {}
  return {
    make = function()
      return { q = filled(options.make), got = {}, batch = options.batch }
    end,
    call = call,
    audit = audit_messages,
  }
end

scenarios["Queue:get"] = reading(function(env)
  for _ = 1, MESSAGES do table.insert(env.got, (env.q:get())) end
end)
scenarios["Queue:get_nowait"] = reading(function(env)
  for _ = 1, MESSAGES do table.insert(env.got, (env.q:get_nowait())) end
end)
scenarios["SimpleQueue:get"] = reading(function(env)
  for _ = 1, MESSAGES do table.insert(env.got, (env.q:get())) end
end, { make = mproc.SimpleQueue })
scenarios["Queue:get_many"] = reading(function(env)
  for _ = 1, 4 do table.move(env.q:get_many(3), 1, 3, #env.got + 1, env.got) end
end, { batch = 3 })
scenarios["Queue:items"] = reading(function(env)
  env.q:close()
  for i, v in env.q:items() do env.got[i] = v end
end)
scenarios["Queue:lease"] = reading(function(env)
  for _ = 1, MESSAGES do
    local v, lease <close> = env.q:lease()
    table.insert(env.got, v)
    lease:done()
  end
end)
-- A message that was noted and whose lease was not yet done comes again: at least once.
scenarios["Queue:lease"].audit = function(env, what)
  engine.collect()
  if what.raised then
    local first = env.q:get(0)
    if first ~= env.got[#env.got] then env.got[#env.got + 1] = first end
  end
  audit_messages(env, { raised = false })
end
scenarios["Queue:orphans"] = {
  make = function() return { q = mproc.Queue{ on_death = "report" } } end,
  call = function(env) env.result = env.q:orphans() end,
  audit = function(env) assert(#env.q:orphans() == 0) end,
}

scenarios["Queue:put"] = {
  once = true,
  make = function() return { q = mproc.Queue(), put = 0 } end,
  call = function(env)
    for i = 1, 5 do
      env.q:put({ i, ("x"):rep(100) })
      env.put = i
    end
  end,
  audit = function(env)
    local there = env.q:qsize()
    assert(there == env.put or there == env.put + 1, ("%d put, %d there"):format(env.put, there))
    for i = 1, there do assert(env.q:get(0)[1] == i, "out of order") end
    assert(env.q:put("next") and env.q:get(0) == "next", "the next put does not work")
  end,
}
scenarios["Queue:put_many"] = {
  once = true,
  make = function() return { q = mproc.Queue() } end,
  call = function(env) env.result = env.q:put_many({ 1, 2, 3, 4, 5 }, 1) end,
  audit = function(env, what)
    local there = env.q:qsize()
    assert(there == 5 or there == 0 and what.raised, there .. " are there")
    for i = 1, there do assert(env.q:get(0) == i, "out of order") end
  end,
}
scenarios["Queue:put, full"] = {
  make = function()
    local q = mproc.Queue(1)
    q:put(1)
    return { q = q }
  end,
  call = function(env)
    env.q:put(2, 0.001)
    env.q:put_nowait(2)
    env.q:put_many({ 2, 3 }, 0.001)
  end,
  audit = function(env)
    assert(env.q:qsize() == 1 and env.q:get(0) == 1)
    assert(env.q:put(2, 0))
  end,
}
scenarios["JoinableQueue"] = {
  make = function() return { q = filled(mproc.JoinableQueue), taken = 0, done = 0 } end,
  call = function(env)
    for i = 1, MESSAGES do
      env.q:get()
      env.taken = i
      env.q:task_done()
      env.done = i
    end
    assert(env.q:join(5))
  end,
  audit = function(env)
    local left = env.q:unfinished()
    assert(left == MESSAGES - env.done or left == MESSAGES - env.done - 1, left .. " are unfinished")
    while env.q:get(0) do env.q:task_done() end
    if env.q:unfinished() > 0 then env.q:task_done() end
    assert(env.q:join(5), "the next join does not end")
  end,
}
for _, make in ipairs({ "Queue", "SimpleQueue", "JoinableQueue", "Pipe", "Lock", "RLock", "Semaphore", "Event",
  "BoundedSemaphore", "Condition", "RWLock" }) do
  scenarios["mproc." .. make] = {
    make = function() return {} end,
    call = function(env) env.result = { mproc[make]() } end,
    audit = function(env)
      env.result = nil
      assert(mproc[make](), "the next cannot be made")
    end,
  }
end
scenarios["mproc.Queue with options"] = {
  make = function() return {} end,
  call = function(env)
    env.result = { mproc.Queue{ maxsize = 3, on_death = "report" }, mproc.JoinableQueue(3), mproc.Barrier(2, print, 3),
      mproc.Value("integer", 3), mproc.Array("double", { 1, 2 }) }
  end,
  audit = function() assert(mproc.Queue(3)) end,
}

scenarios["Connection"] = {
  make = function()
    local a, b = mproc.Pipe()
    return { a = a, b = b, sent = 0, got = 0 }
  end,
  call = function(env)
    for i = 1, 5 do
      env.a:send(i)
      env.sent = i
      env.a:send_bytes("bytes")
      assert(env.b:poll(1))
      assert(env.b:recv(1) == i)
      assert(env.b:recv_bytes() == "bytes")
    end
    env.b:recv(0.001)
  end,
  audit = function(env)
    while env.b:recv(0) do end -- luacheck: ignore 542
    assert(env.a:send("next") and env.b:recv(5) == "next", "the next does not work")
    env.a:close()
    assert(select(2, env.b:recv(5)) == "closed")
  end,
}
scenarios["mproc.wait"] = {
  make = function()
    local a, b = mproc.Pipe()
    return { q = mproc.Queue(), e = mproc.Event(), a = a, b = b }
  end,
  call = function(env)
    mproc.wait({ env.q, env.e, env.b }, 0.001)
    env.q:put(1)
    env.a:send(1)
    env.e:set()
    env.result = #mproc.wait({ env.q, env.e, env.b })
  end,
  audit = function(env, what)
    assert(what.raised or env.result == 3, "wrong result")
    env.e:set()
    local ready = mproc.wait({ env.q, env.e }, 5)
    assert(ready[#ready] == env.e, "the next wait does not work")
  end,
}
scenarios["fileno"] = {
  make = function() return { q = mproc.Queue() } end,
  call = function(env) env.fd = env.q:fileno() end,
  audit = function(env)
    local fd = env.q:fileno()
    assert(not env.fd or fd == env.fd, "another descriptor")
    env.q:put(1)
    assert(#mproc.wait({ fd }, 5) == 1)
  end,
}
scenarios["encode and decode"] = {
  make = function()
    return { q = mproc.Queue(), value = { 1, "two", { 3.5, print = print }, function() return 1 end } }
  end,
  call = function(env)
    local bytes = mproc.encode({ env.q, env.value })
    mproc.decode(bytes)
    mproc.decode(bytes, { functions = true })
    mproc.unsendable(env.value)
  end,
  audit = function() assert(mproc.decode(mproc.encode({ 5 }))[1] == 5) end,
}
scenarios["hooks of the codec"] = {
  make = function()
    local Class = {}
    Class.__mproc_encode = function(object) return { object.n } end
    mproc.register("raise.Class", Class, { decode = function(plain) return setmetatable({ n = plain[1] }, Class) end })
    return { q = mproc.Queue(), object = setmetatable({ n = 7 }, Class), got = 0 }
  end,
  call = function(env)
    env.q:put(env.object)
    env.put = true
    env.result = env.q:get()
  end,
  audit = function(env, what)
    assert(what.raised or env.result.n == 7, "wrong result")
    while env.q:get(0) do end -- luacheck: ignore 542
    env.q:put(env.object)
    assert(env.q:get(0).n == 7, "the next does not work")
  end,
}

return scenarios
