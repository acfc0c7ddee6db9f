-- SPDX-License-Identifier: MIT
-- What is left when a manager, its caller or its owner is killed, at various moments.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local managers = require("spec.support.managers")
local mproc = require("mproc")

local SECONDS = 60

describe("a manager that is killed", function()
  leaks.watch()

  it("makes calls raise at once, those to come as well", function()
    local m = managers.start({ name = "bank" })
    local c = m:create("Counter")
    managers.kill(m)
    local err = managers.died(c.add, c, 1)
    assert.equal("bank", err.name)
    assert.equal(m.pid, err.pid)
    assert.matches("^the manager 'bank' %(pid %d+%) has died", tostring(err))
    managers.died(c.add, c, 1)
    managers.died(c.call, c, "add", {}, 10)
    managers.died(m.create, m, "Counter")
    managers.died(m.get, m, "x")
    assert.matches("ended%)$", tostring(m))
    m:shutdown()
  end)

  it("in the middle of a call ends that, and those that wait", function()
    local m = managers.start()
    local c, event, begun = m:create("Counter"), mproc.Event(), mproc.Event()
    local function call(method, ...)
      local ok, err = pcall(c[method], c, ...)
      return ok, err.kind, tostring(err), mproc.time()
    end
    local first = children.start(call, "wait", event, begun)
    assert.is_true(begun:wait(SECONDS))
    local second = children.start(call, "add", 1)
    mproc.sleep(0.1)
    managers.kill(m)
    local killed = mproc.time()
    for p, said in pairs({ [first] = "; whether wait was carried out is not known$", [second] = "has died" }) do
      local ok, kind, text, at = children.results(p)
      assert.is_false(ok)
      assert.equal("manager_died", kind)
      assert.matches(said, text)
      assert.is_true(at - killed < 2)
    end
    m:close()
  end)

  it("by its own method is one, too", function()
    local m = managers.start()
    local c = m:create("Counter")
    managers.died(c.quit, c, 3)
    m:shutdown()
    assert.equal(0, #mproc.active_children())
  end)

  it("while it makes an object", function()
    local m = mproc.Manager({ Deadly = function() os.execute("kill -KILL " .. mproc.getpid()) end })
    managers.died(m.create, m, "Deadly")
    m:shutdown()
  end)

  -- At moments of a stream of calls that are none in particular: each call comes to one end.
  it("at any moment leaves nobody waiting, and nothing behind", function()
    for round = 1, 12 do
      local m = managers.start()
      local c = m:create("Counter")
      local callers = {}
      for i = 1, 2 do
        callers[i] = children.start(function()
          local done = 0
          while true do
            local ok, err = pcall(function()
              local own <close> = m:create("Counter", done)
              own:keep(c)
              done = own:add(1)
              c:add(1)
            end)
            if not ok then
              return done, type(err) == "table" and err.kind or tostring(err)
            end
          end
        end)
      end
      mproc.sleep(0.003 * round)
      managers.kill(m)
      for _, p in ipairs(callers) do
        assert.equal("manager_died", select(2, children.results(p)))
      end
      m:close()
    end
  end)

  it("is no matter to another one", function()
    local a, b <close> = managers.start(), managers.start()
    local of_a, of_b = a:create("Counter"), b:create("Counter")
    of_b:keep(of_a)
    assert.equal(1, of_b:use("add", 1))
    managers.kill(a)
    local ok, err = pcall(of_b.use, of_b, "add", 1)
    assert.is_false(ok)
    assert.equal("manager_died", err.kind)
    assert.equal(1, of_b:add(1))
    a:close()
  end)
end)

describe("a caller that is killed", function()
  leaks.watch()

  it("in the middle of a call is no matter to the manager", function()
    local m <close> = managers.start()
    local c, event, begun = m:create("Counter"), mproc.Event(), mproc.Event()
    local p = children.start(function() c:wait(event, begun) end)
    assert.is_true(begun:wait(SECONDS))
    children.kill(p)
    event:set()
    assert.equal(1, c:get())
    assert.equal(2, c:add(1))
  end)

  it("at any moment leaves no object behind", function()
    local m <close> = managers.start()
    local gone, made = mproc.Value("integer", 0), mproc.Value("integer", 0)
    for round = 1, 12 do
      local p = children.start(function()
        while true do
          made:add(1)
          local _ <close> = m:create("Counter", 0, gone)
          made:add(0)
        end
      end)
      mproc.sleep(0.002 * round)
      children.kill(p)
    end
    local c = m:create("Counter", 5)
    assert.equal(6, c:add(1))
    -- Each was made, unless its request was never read: the last of each round at most.
    local function settled()
      collectgarbage()
      return made.value - gone.value <= 12
    end
    require("spec.support.proc").until_true(settled, "the objects' end")
  end)
end)

describe("an owner that is killed", function()
  leaks.watch()

  it("takes its manager along, as its other users learn", function()
    local q, answer = mproc.Queue(), mproc.Queue()
    local user = children.start(function()
      local c = q:get()
      answer:put(c:add(1))
      q:get()
      local ok, err = pcall(c.add, c, 1)
      return ok, err.kind
    end)
    local owner = children.start(function()
      local m = managers.start()
      q:put(m:create("Counter"))
      mproc.sleep(100)
      return m
    end)
    assert.equal(1, answer:get(SECONDS))
    children.kill(owner)
    q:put("go on")
    local ok, kind = children.results(user)
    assert.is_false(ok)
    assert.equal("manager_died", kind)
  end)
end)
