-- SPDX-License-Identifier: MIT
-- How long managers and their objects live, and proxies that travel.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local managers = require("spec.support.managers")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

local SECONDS = 60

describe("an object of a manager", function()
  leaks.watch()

  it("goes with its last proxy", function()
    local m <close> = managers.start()
    local gone = mproc.Value("integer", 0)
    local a = m:create("Counter", 0, gone)
    do
      local _ <close> = m:create("Counter", 0, gone)
    end
    managers.until_value(gone, 1)
    m:create("Counter", 0, gone)
    collectgarbage()
    collectgarbage()
    managers.until_value(gone, 2)
    assert.equal(1, a:add(1))
  end)

  it("stays while a message has a proxy of it, and while another process has", function()
    local m <close> = managers.start()
    local gone, q, over = mproc.Value("integer", 0), mproc.Queue(), mproc.Event()
    do
      local c <close> = m:create("Counter", 0, gone)
      q:put(c)
    end
    local p = children.start(function()
      local c = q:get()
      c:add(5)
      over:wait()
      return c:get()
    end)
    proc.until_true(function() return q:empty() end, "the message taken")
    mproc.sleep(0.3)
    assert.equal(0, gone.value)
    over:set()
    assert.equal(5, children.results(p))
    managers.until_value(gone, 1)
  end)

  it("goes when the only process that has a proxy is killed", function()
    local m <close> = managers.start()
    local gone = mproc.Value("integer", 0)
    local p = children.parked(function() return m:create("Counter", 0, gone) end)
    mproc.sleep(0.2)
    assert.equal(0, gone.value)
    children.kill(p)
    managers.until_value(gone, 1)
  end)

  it("is gone for a proxy that is closed", function()
    local m <close> = managers.start()
    local kept
    do
      local c <close> = m:create("Counter")
      kept = c
    end
    blame.caller(function() kept:add(1) end, "the proxy of 'Counter' is closed")
    blame.caller(function() mproc.encode(kept) end, "cannot send value: the proxy is closed")
    assert.matches(", closed$", tostring(kept))
  end)

  it("goes, many of them", function()
    local m <close> = managers.start()
    local gone, list = mproc.Value("integer", 0), {}
    for i = 1, 300 do
      list[i] = m:create("Counter", i, gone)
    end
    assert.equal(300, list[300]:get())
    for i = 1, 300, 3 do
      list[i] = false
    end
    leaks.collect()
    managers.until_value(gone, 100)
    for i = 2, 300, 3 do
      assert.equal(i + 1, list[i]:add(1))
    end
    list = nil -- luacheck: ignore 311
    leaks.collect()
    managers.until_value(gone, 300)
  end)
end)

describe("proxies", function()
  leaks.watch()

  it("travel by queues, pipes, arguments, Dicts, tasks and results", function()
    local m <close> = managers.start()
    local c = m:create("Counter")
    local q, d = mproc.Queue(), mproc.Dict()
    local a, b = mproc.Pipe()
    q:put({ inside = c })
    d.counter = c
    a:send(c)
    assert.equal(1, q:get().inside:add(1))
    assert.is_true(d.counter == c)
    assert.equal(2, d.counter:add(1))
    assert.equal(3, b:recv():add(1))
    local p = children.start(function(given) return given:add(1), given end, c)
    local n, back = children.results(p)
    assert.equal(4, n)
    assert.is_true(back == c)
    assert.equal(5, back:add(1))
    d:close()
    local pool <close> = mproc.Pool(2)
    local sum = 0
    for _, n_now in ipairs(pool:map(function(k) return c:add(k) end, { 1, 1, 1, 1 })) do
      sum = sum + n_now
    end
    assert.equal(9, c:get())
    assert.equal(6 + 7 + 8 + 9, sum)
    assert.equal(10, pool:apply(function(given) return given:add(1) end, { c }))
    a:close()
    b:close()
  end)

  it("reach processes that began before there was a manager", function()
    local q, back = mproc.Queue(), mproc.Queue()
    local p = children.start(function()
      for proxy in function() return q:get() end do
        if proxy == "over" then return end
        back:put(proxy:add(1))
      end
    end)
    local m <close> = managers.start()
    local c = m:create("Counter")
    q:put(c)
    assert.equal(1, back:get(SECONDS))
    q:put(m:create("Counter", 5))
    assert.equal(6, back:get(SECONDS))
    q:put("over")
    children.finish(p)
  end)

  it("call from many processes at once, one call at a time", function()
    local m <close> = managers.start()
    local c = m:create("Counter")
    children.four(function()
      for _ = 1, 200 do
        c:add(1)
      end
    end)
    assert.equal(800, c:get())
  end)

  fork_it("of a handle that has travelled make and get objects", function()
    -- a metatable that this file alone has registered
    local m <close> = managers.start({ objects = { named = managers.Counter(7) } })
    local q = mproc.Queue()
    q:put(m)
    local p = children.start(function()
      local here = q:get()
      local named = here:get("named")
      named:add(1)
      return here:create("Counter", 3), here.pid, here == m
    end)
    local c, pid, same = children.results(p)
    assert.equal(m.pid, pid)
    assert.is_true(same)
    assert.equal(4, c:add(1))
    assert.equal(8, m:get("named"):get())
  end)
end)

describe("a manager", function()
  leaks.watch()

  it("ends at shutdown, in order, and once", function()
    local m = managers.start()
    local gone = mproc.Value("integer", 0)
    local c = m:create("Counter", 0, gone)
    local pid = m.pid
    m:shutdown()
    m:shutdown()
    m:close()
    assert.equal(1, gone.value)
    proc.until_true(function() return proc.state(pid) == nil end, "the end of the process, reaped")
    assert.matches("was shut down", tostring(managers.died(c.add, c, 1)))
    blame.caller(function() m:create("Counter") end, "is closed")
  end)

  it("ends with its scope, but not in a child that inherited it", function()
    local pid
    do
      local m <close> = managers.start()
      pid = m.pid
      local c = m:create("Counter")
      children.finish(children.start(function()
        local inherited <close> = m
        assert(inherited:create("Counter"):add(1) == 1)
      end))
      assert.equal(1, c:add(1))
    end
    proc.until_true(function() return not proc.state(pid) end, "the end of the manager") -- a server reaps its own
  end)

  it("is shut down by its owner alone", function()
    local m <close> = managers.start()
    local p = children.start(function()
      local ok, err = pcall(m.shutdown, m)
      m:close()
      return ok, err, pcall(m.create, m, "Counter")
    end)
    local ok, err, there, why = children.results(p)
    assert.is_false(ok)
    assert.matches("which alone can shut it down", err)
    assert.is_false(there)
    assert.matches("is closed", why)
    assert.equal(1, m:create("Counter"):add(1))
  end)

  it("lets calls that it has begun end at a shutdown, for a while", function()
    local m = managers.start()
    local c, begun = m:create("Counter"), mproc.Event()
    local p = children.start(function()
      begun:set()
      return c:sleep(0.3)
    end)
    assert.is_true(begun:wait(SECONDS))
    mproc.sleep(0.1)
    m:shutdown()
    assert.equal("slept", children.results(p))
  end)

  it("that is stuck in a method is ended all the same", function()
    local m = managers.start()
    local c, event, begun = m:create("Counter"), mproc.Event(), mproc.Event()
    local p = children.start(function() return select(2, pcall(c.wait, c, event, begun)) end)
    assert.is_true(begun:wait(SECONDS))
    local began = mproc.time()
    m:shutdown()
    assert.is_true(mproc.time() - began < 10)
    assert.equal("manager_died", children.results(p).kind)
  end)

  it("ends when nobody has a handle or a proxy any more", function()
    local m = managers.start()
    local c, pid = m:create("Counter"), m.pid
    m = nil -- luacheck: ignore 311
    leaks.collect()
    mproc.sleep(0.3)
    assert.equal(1, c:add(1))
    assert.truthy(proc.state(pid))
    c = nil -- luacheck: ignore 311
    leaks.collect()
    proc.until_true(function()
      mproc.active_children()
      return not proc.state(pid)
    end, "the manager's end")
  end)

  it("ends with its owner, however that ends", function()
    for _, last in ipairs({ "", "os.exit(0)", "os.exit(0, true)", "os.execute('kill -KILL ' .. mproc.getpid())" }) do
      local result = program.text([[
        local mproc = require("mproc")
        local m = mproc.Manager({ C = function() return { pid = mproc.getpid } end })
        local c = m:create("C")
        io.write(c:pid())
        io.flush()
        ]] .. last, { seconds = SECONDS })
      local pid = tonumber(result.out)
      assert.truthy(pid, result.err)
      proc.until_true(function() return not proc.state(pid) end, "the manager's end: " .. last)
    end
  end)

  it("runs at_exit at its end, and flushes what its methods wrote", function()
    local result = program.text([[
      local mproc = require("mproc")
      local m = mproc.Manager({ C = function()
        mproc.at_exit(function() print("at exit") end)
        return { say = function(_, s) print(s) end }
      end })
      local c = m:create("C")
      c:say("hello")
      m:shutdown()
    ]], { seconds = SECONDS })
    assert.equal("hello\nat exit\n", result.out)
    assert.equal("", result.err)
  end)

  it("is not ended by Ctrl-C", function()
    local m <close> = managers.start()
    local c = m:create("Counter")
    assert(os.execute("kill -INT " .. m.pid))
    assert.equal(1, c:add(1))
  end)

  it("may own managers, and be called by them", function()
    local m <close> = mproc.Manager({ Outer = function()
      local inner = mproc.Manager({ Counter = managers.Counter })
      return { make = function(_, n) return inner:create("Counter", n) end, manager = function() return inner end }
    end })
    local outer = m:create("Outer")
    local c = outer:make(3)
    assert.equal(4, c:add(1))
    assert.equal(5, outer:manager():create("Counter", 4):add(1))
  end)
end)
