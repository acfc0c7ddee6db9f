-- SPDX-License-Identifier: MIT
-- Frozen tables where things go wrong: Lua's allocator fails at each request, the collector runs at each step, holders
-- are killed, user code closes what is being read.

local children = require("spec.support.children")
local failalloc = require("failalloc")
local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

local MOST_REQUESTS = 5000

-- Calls f with its nth allocation failing, for n = 1, 2, … until none is left to fail; check(ok, ...) after each. How
-- many failed.
local function at_every_request(f, check)
  for n = 1, MOST_REQUESTS do
    collectgarbage()
    local result = table.pack(failalloc.once(n, f))
    assert(result[2] or tostring(result[3]):find("memory", 1, true), result[3])
    check(table.unpack(result, 2, result.n))
    if not result[1] then
      return n - 1
    end
  end
  error("it never stopped asking for memory")
end

local function objects()
  leaks.collect()
  return require("mproc.core").stats().objects
end

describe("with failing allocations", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  local function sample(q)
    local t = { q = q, big = 1 << 60, list = { 1, 2, 3 }, mixed = { "a", {}, 0.5 } }
    for i = 1, 40 do
      t["key" .. i] = { id = i, name = "name" .. i }
    end
    t.self = t
    return t
  end

  it("a table is frozen or not, and what was begun goes", function()
    local t = sample(mproc.Queue())
    local before = objects()
    local failed = at_every_request(function() return mproc.freeze(t) end, function(ok, f)
      assert.equal(7, ok and f("key7", "id") or 7)
      f = nil -- luacheck: ignore 311
      assert.is_true(objects() <= before + 1)
    end)
    assert.equal(before, objects())
    assert.is_true(failed > 3)
    assert.is_true(collectgarbage("isrunning"))
  end)

  it("a frozen table is read, walked and thawed, or that raises and changes nothing", function()
    local f <close> = mproc.freeze(sample(mproc.Queue()))
    local calls = {
      function() return f.key1.name == "name1" end,
      function() return f("key1", "name") == "name1" and f("list", 2) == 2 and f.big == 1 << 60 end,
      function() return f.self == f and f.mixed[2] == f.mixed[2] end,
      function() return f.q:empty() end,
      function()
        local n = 0
        for k, v in pairs(f) do
          n = n + (k == "self" and v == f and 2 or 1)
        end
        return n == 46
      end,
      function() return mproc.thaw(f).key40.name == "name40" end,
      function() return tostring(f):find("fields") ~= nil end,
    }
    local failed = 0
    for _, call in ipairs(calls) do
      failed = failed + at_every_request(call, function(ok, value)
        assert.truthy(not ok or value == true)
      end)
    end
    assert.is_true(failed > 20)
    assert.equal("name1", f.key1.name)
  end)

  it("a frozen table arrives or not", function()
    local q, f = mproc.Queue(), mproc.freeze(sample(mproc.Queue()))
    at_every_request(function()
      q:put({ f.key1, f })
      return q:get(0)
    end, function(ok, got)
      assert.truthy(not ok or rawequal(got[2], f) and rawequal(got[1], f.key1))
      while q:get(0) do end -- luacheck: ignore 542
    end)
  end)

  -- Without room in the address space for what freeze maps for itself, more and more of it.
  it("a table is frozen or not where the process may map no more", function()
    local r = program.text([[
      local mproc, core = require("mproc"), require("mproc.core")
      local t = {}
      for i = 1, 20000 do
        t[i] = { id = i, name = "n" .. i }
      end
      local commands, done = mproc.Queue(), mproc.Queue()
      mproc.Process{ daemon = true, target = function()
        for _, command in commands:items() do
          done:put((os.execute(command)))
        end
      end }:start()
      local function limit(bytes)
        commands:put(("prlimit --pid %d --as=%s:"):format(mproc.getpid(), bytes))
        assert(done:get(20))
      end
      local function mapped()
        for line in io.lines("/proc/self/status") do
          local kib = line:match("^VmSize:%s+(%d+)")
          if kib then
            return kib * 1024
          end
        end
      end
      local objects, refused = core.stats().objects, 0
      for kib = 0, 24 << 10, 1024 do
        limit(mapped() + (kib << 10))
        local ok, f = pcall(mproc.freeze, t)
        limit("unlimited")
        if ok then
          assert(f[20000].name == "n20000")
          f = nil
          collectgarbage()
        else
          assert(f:find("no memory for all of it", 1, true), f)
          refused = refused + 1
        end
        assert(core.stats().objects == objects)
      end
      print(refused > 10 and refused < 25, refused)
    ]], { env = "MPROC_ARENA=64M" })
    assert.truthy(r.out:find("^true"), r.out .. r.err)
  end)

  it("shared memory is made or not, and viewed or not", function()
    local name = "mproc_spec_faults_" .. mproc.getpid()
    local before = objects()
    at_every_request(function()
      local m = mproc.SharedMemory({ size = 100 })
      m:view("double")[1] = 2
      return #m:read(), m:view("integer", 9, 2):totable()
    end, function(ok, n)
      assert.truthy(not ok or n == 100)
      assert.equal(before, objects())
    end)
    at_every_request(function()
      local m <close> = mproc.SharedMemory({ name = name, size = 100, create = true, unlink = true })
      local other <close> = mproc.SharedMemory({ name = name })
      return #m == #other and #other
    end, function(ok, n)
      assert.truthy(not ok or n == 100)
      leaks.collect()
      assert.is_nil(io.open("/dev/shm/" .. name))
    end)
  end)
end)

describe("frozen tables under the collector", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()
  after_each(function()
    collectgarbage("restart")
    collectgarbage("incremental")
  end)

  it("are the same object as long as one is held, in every mode", function()
    local t = { list = {} }
    for i = 1, 200 do
      t.list[i] = { id = i }
    end
    for _, mode in ipairs({ "incremental", "generational" }) do
      local f <close> = mproc.freeze(t)
      collectgarbage(mode)
      local held, by_table = {}, {}
      for i = 1, 200, 2 do
        held[i] = f.list[i]
        by_table[held[i]] = i
      end
      for _ = 1, 5 do
        collectgarbage("step")
        local _ = { {}, {} }
        for i = 1, 200 do
          local r = f.list[i]
          assert(r.id == i and r == f.list[i] and by_table[r] == (i % 2 == 1 and i or nil))
          assert(not held[i] or rawequal(held[i], r))
        end
      end
      for i = 1, 200 do
        assert(f.list[i] ~= f.list[i % 200 + 1])
      end
    end
  end)

  it("outlive the proxy that they were got from", function()
    local before = objects()
    local inner = mproc.freeze({ a = { b = { c = 5 } } }).a.b
    leaks.collect()
    assert.equal(5, inner.c)
    assert.equal(before + 1, objects())
    inner = nil -- luacheck: ignore 311
    assert.equal(before, objects())
  end)

  it("that a finalizer closes while they are read are closed, and never read on", function()
    local t = { list = {} }
    for i = 1, 2000 do
      t.list[i] = { id = i, text = "text" .. i }
    end
    for _, read in ipairs({
      function(f) return mproc.thaw(f) end,
      function(f) for _, r in pairs(f.list) do assert(r.text == "text" .. r.id) end end,
      function(f) for i = 1, 2000 do assert(f("list", i, "id") == i) end end,
      function(f) return f.list, mproc.thaw(f.list) end,
    }) do
      for delay = 1, 60, 7 do
        local f = mproc.freeze(t)
        local left = delay
        local function arm()
          setmetatable({}, { __gc = function()
            left = left - 1
            if left > 0 then
              arm()
            else
              getmetatable(f).__close(f)
            end
          end })
        end
        arm()
        repeat
          collectgarbage("step")
          local ok, message = pcall(read, f)
          assert(ok or message:find("closed", 1, true), message)
        until left <= 0
        assert.equal("mproc.Frozen: closed", tostring(f))
      end
    end
  end)
end)

describe("frozen tables whose holders die", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  local function used()
    leaks.collect()
    return require("mproc.core").stats().used
  end

  it("give all their memory back after the last holder, killed or not", function()
    local before = used()
    local text = ("x"):rep(20 << 20)
    local f = mproc.freeze({ text, q = mproc.Queue() })
    text = nil -- luacheck: ignore 311
    local holders = {}
    for i = 1, 3 do
      holders[i] = children.parked(function(g) return g, #g[1] end, f)
    end
    f = nil -- luacheck: ignore 311
    leaks.collect()
    assert.is_true(used() > before + (20 << 20))
    for i = 1, 3 do
      children.kill(holders[i])
    end
    local deadline = mproc.time() + 60
    while used() > before + 65536 do
      assert(mproc.time() < deadline, "it does not come back")
      mproc.sleep(0.01)
    end
  end)

  it("leave nothing of a maker that is killed while it freezes", function()
    local t = {}
    for i = 1, 20000 do
      t[i] = { id = i, name = "name" .. i }
    end
    local before = objects()
    for delay = 0, 40, 8 do
      local begun = mproc.Event()
      local p = children.start(function()
        begun:set()
        while true do
          mproc.freeze(t)
        end
      end)
      assert(begun:wait(60))
      mproc.sleep(delay / 1000)
      children.kill(p)
    end
    local deadline = mproc.time() + 60
    while objects() > before do
      assert(mproc.time() < deadline, "it does not go")
      mproc.sleep(0.01)
    end
  end)
end)
