-- SPDX-License-Identifier: MIT
-- Lua's allocator fails at every request of every other call in turn (queues and pipes have specs of their own):
-- objects are made whole or not at all, locks are held or not held, and what failed works again.

local failalloc = require("failalloc")
local leaks = require("spec.support.leaks")
local core = require("mproc.core")
local mproc = require("mproc")
local requests = require("spec.support.requests")

local at_every_request = requests.fail_each

local out_of_memory = requests.out_of_memory

-- Lua asks for memory for a call that is deeper than any before. Where it gets none, not even __close can be called: so
-- that closing works is expected where the frames are there.
local FRAMES = 10

local function make_frames(n)
  if n > 0 then make_frames(n - 1) end
  return n
end

describe("with failing allocations", function()
  local methods = { "spawn" }
  if not os.getenv("ASAN_LUA") then -- whose vfork bears no second one in its child, as the start of a fork server has
    methods[2] = "forkserver"
    assert(mproc.get_context("forkserver").Process(function() end):start()):join() -- a server is no leak of a test
  end
  leaks.watch()

  local makers = {
    Lock = mproc.Lock, RLock = mproc.RLock, Event = mproc.Event, RWLock = mproc.RWLock, Condition = mproc.Condition,
    Semaphore = mproc.Semaphore, BoundedSemaphore = function() return mproc.BoundedSemaphore(3) end,
    Barrier = function() return mproc.Barrier(2, print, 1) end,
    ["Condition of a lock"] = function() return mproc.Condition(mproc.Lock()) end,
    Value = function() return mproc.Value("integer", 5) end,
    Array = function() return mproc.Array("double", { 1, 2, 3 }) end,
    ["lock of a Value"] = function() return mproc.Value("integer"):lock() end,
    JoinableQueue = mproc.JoinableQueue, SimpleQueue = mproc.SimpleQueue,
    Process = function() return mproc.Process{ target = print, args = { 1, { 2 } }, name = "p" } end,
  }
  for name, make in pairs(makers) do
    it(name .. " is made or not: what was begun is let go", function()
      collectgarbage()
      local before = core.stats().objects
      local tried = at_every_request(function() local _ = make() end, function(ok, err)
        assert.truthy(ok or out_of_memory(err), err)
        collectgarbage()
        collectgarbage()
        assert.equal(before, core.stats().objects)
      end)
      assert.is_true(tried > 0)
    end)
  end

  -- What a call holds when it has returned, and nothing when it has raised. hold(x), is_held(x), let_go(x).
  local holds = {
    ["Lock:with"] = { mproc.Lock, function(l) l:with(function() return { {} } end) end,
      function(l) return l:locked() end },
    ["Lock:guard"] = { mproc.Lock, function(l) local _ <close> = l:guard() end, function(l) return l:locked() end },
    ["RWLock:guard"] = { mproc.RWLock, function(l)
      local _ <close> = l:guard()
      local _ = { {} }
    end, function(l) return not l:write_acquire(0) or l:write_release() end },
    ["Semaphore:with"] = { mproc.Semaphore, function(s) s:with(function() return { {} } end) end,
      function(s) return s:get_value() ~= 1 end },
    ["BoundedSemaphore:guard"] = { mproc.BoundedSemaphore, function(s) local _ <close> = s:guard() end,
      function(s) return s:get_value() ~= 1 end },
    ["Condition:with and wait"] = { mproc.Condition, function(c) c:with(function() return c:wait(0) end) end,
      function(c) return c:locked() end },
    ["Value:update"] = { function() return mproc.Value("number", 1) end,
      function(v) v:update(function(x) return x, { {} } end) end, function(v) return v:lock():locked() end },
    ["Barrier:wait with an action"] = { function() return mproc.Barrier(1, function() return { {} } end) end,
      function(b)
        if b.broken then b:reset() end
        assert(b:wait(0))
      end, function(b) return b.n_waiting ~= 0 end },
  }
  for name, case in pairs(holds) do
    it(name .. " holds nothing once it has raised, and goes on", function()
      local make, use, is_held = table.unpack(case)
      local x = make()
      at_every_request(function()
        make_frames(FRAMES)
        use(x)
      end, function(ok, err)
        assert.truthy(ok or out_of_memory(err), err)
        assert.is_false(is_held(x) or false)
      end, failalloc.once)
      use(x)
    end)
  end

  it("tostring and owner of all kinds raise and change nothing", function()
    local l, s, r, q = mproc.Lock(), mproc.BoundedSemaphore(2), mproc.RWLock(), mproc.Queue()
    l:acquire()
    s:acquire()
    r:read_acquire()
    at_every_request(function() return tostring(l) .. tostring(s) .. tostring(r) .. tostring(q) end, function(ok, err)
      assert.truthy(ok or out_of_memory(err), err)
    end)
    l:release()
    s:release()
    r:read_release()
  end)

  it("an Array is copied or not", function()
    local a = mproc.Array("integer", 100)
    local list = {}
    for i = 1, 100 do list[i] = i end
    at_every_request(function()
      a:set(1, list)
      return a:sub(1, 100), a:totable()
    end, function(ok, x)
      assert.truthy(not ok and out_of_memory(x) or ok and x[100] == 100)
    end)
    assert.same(list, a:totable())
  end)

  it("wait tells what is ready or raises, and takes nothing", function()
    local q, e = mproc.Queue(), mproc.Event()
    q:put(1)
    at_every_request(function() return mproc.wait({ q, e }, 0) end, function(ok, list)
      assert.truthy(not ok and out_of_memory(list) or ok and list[1] == q and list[2] == nil)
      assert.equal(1, q:qsize())
    end)
    at_every_request(function() return mproc.wait({ e }, 0.001) end, function(ok, list)
      assert.truthy(not ok and out_of_memory(list) or ok and list[1] == nil)
    end)
  end)

  -- with: as that of at_every_request.
  local function start_with(Process, with)
    local ran = mproc.Value("integer")
    local started, failed = 0, 0
    local p
    local tried = at_every_request(function()
      p = nil
      p = Process(function() ran:add(1) end)
      p:start()
      return true
    end, function(ok, err)
      if not ok then
        assert.truthy(out_of_memory(err), err)
        failed = failed + 1
      end
      if p and p.pid then
        assert.is_true(p:join(20))
        started = started + (p.exitcode == 0 and 1 or 0)
        p:close()
      end
      assert.same({}, leaks.children()) -- what ran is known
    end, with)
    assert.is_true(tried > 0 and failed > 0)
    assert.equal(started, ran.value)
  end

  it("a process is started and known to its parent, or not started", function()
    start_with(mproc.Process)
  end)

  for _, method in ipairs(methods) do
    it("the same by " .. method, function() -- at some of them
      local Process = mproc.get_context(method).Process
      assert(Process(function() end):start()):join()
      local step = os.getenv("MPROC_FAULTS_COMPLETE") and 1 or 9
      start_with(Process, function(n, f) return failalloc.after(n * step - step + 1, f) end)
    end)
  end

  it("a result is had or asked for again", function()
    local p = mproc.Process(function() return { 1, { 2 }, ("x"):rep(1000) } end):start()
    assert.is_true(p:join(20))
    local got
    at_every_request(function() got = p:result(20) return got end, function(ok, err)
      assert.truthy(ok or out_of_memory(err), err)
    end)
    assert.same({ 1, { 2 }, ("x"):rep(1000) }, got)
    p:close()
  end)

  it("a pool's calls raise or return, and the pool goes on", function()
    local pool = mproc.Pool(2)
    local function double(x) return { x * 2 } end
    for name, call in pairs({
      apply = function() return pool:apply(double, { 21 })[1] end,
      submit = function() return pool:submit(double, 21):get(20)[1] end,
      map = function() return pool:map(double, { 19, 20, 21 })[3][1] end,
      imap = function()
        local last
        for _, v in pool:imap(double, { 20, 21 }) do last = v[1] end
        return last
      end,
    }) do
      local tried = at_every_request(call, function(ok, value)
        assert.truthy(ok and value == 42 or not ok and out_of_memory(value), name .. ": " .. tostring(value))
        assert.equal(10, pool:apply(double, { 5 })[1])
      end)
      assert.is_true(tried > 0)
    end
    pool:terminate()
  end)

  it("a pool is made or not, and then leaves no worker", function()
    local pool
    local tried = at_every_request(function() pool = nil pool = mproc.Pool(1) return true end, function(ok, err)
      assert.truthy(ok or out_of_memory(err), err)
      if pool then pool:terminate() end
      pool = nil
      collectgarbage()
      collectgarbage()
      for _, p in ipairs(mproc.active_children()) do p:join(20) end
      assert.same({}, leaks.children())
    end)
    assert.is_true(tried > 0)
  end)
end)
