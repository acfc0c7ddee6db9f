-- SPDX-License-Identifier: MIT
-- mproc.freeze_heap() and the option of that name: what children copy of a heap that they inherit, and that all of Lua
-- still works on it. Freezing lasts for the life of a Lua state, so each case is a program of its own.

local blame = require("spec.support.blame")
local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

-- Sanitizers and valgrind keep books of their own in anonymous memory: shares say nothing there.
local INSTRUMENTED = os.getenv("ASAN_LUA") or os.getenv("VALGRIND_LUA")
local SECONDS = INSTRUMENTED and 300 or 60 -- for each program

local PRELUDE = [[
local mproc = require("mproc")
local smaps = require("spec.support.smaps")
local MIB = 2^20

-- A heap of many kinds of objects, of so many MiB.
local function build(mib)
  local list, i = {}, 0
  local full = collectgarbage("count") + mib * 1024
  while collectgarbage("count") < full do
    for _ = 1, 500 do
      i = i + 1
      local x = i
      list[i] = { id = i, name = "name " .. i, tags = { i, i + 1, i + 2 }, f = function() return x end,
        long = i % 10 == 0 and ("x"):rep(100) .. i or nil }
    end
  end
  return list
end

-- Fails unless the list is as it was built.
local function verify(list, from)
  for i = from or 1, #list do
    local r = list[i]
    assert(r.id == i and r.name == "name " .. i and r.tags[3] == i + 2 and r.f() == i)
    assert(not r.long or r.long == ("x"):rep(100) .. i)
  end
end

-- Starts a process that calls work() and then stays until finish() is called.
local function stopped_after(work, options)
  local done, go = mproc.Queue(), mproc.Queue()
  options = options or {}
  options.target = function()
    local result = work()
    done:put(result or true)
    go:get()
    return result
  end
  local p = assert(mproc.Process(options):start())
  local result = done:get(SECONDS)
  return p, function() go:put(true); p:join(); assert(p.exitcode == 0) end, result
end

local function share(work, options)
  local before = smaps.anonymous()
  local p, finish = stopped_after(work, options)
  local copied, all = smaps.copied(before, p.pid)
  finish()
  return copied / all
end

local kept
local function garbage() local t for i = 1, 1e6 do t = { i } end return t[1] end
local function keep() kept = {} for i = 1, 3e5 do kept[i] = { i, i } end end
local function strings() for i = 1, 2e5 do kept = "child " .. i end end
]]

local function run(source)
  local r = program.text(PRELUDE:gsub("SECONDS", SECONDS) .. source:gsub("SECONDS", SECONDS), { seconds = SECONDS })
  assert.is_false(r.timed_out)
  assert.equal(0, r.code, r.out .. r.err)
  return r
end

-- The program prints "ok" when all its assertions hold.
local function holds(source)
  local r = run(source .. "\nprint('ok')")
  assert.equal("ok\n", r.out, r.err)
  return r
end

describe("a frozen heap", function()
  local mproc
  setup(function() mproc = require("mproc") end)
  leaks.watch()

  describe("is shared", function()
    local function it_holds(what, source)
      it(what, function()
        if INSTRUMENTED then
          return pending("not under a sanitizer")
        end
        holds(source)
      end)
    end

    it_holds("with children that make garbage or keep tables; a plain one is not", [[
      local list = build(50)
      assert(share(garbage) > 0.5)
      assert(mproc.freeze_heap() == true)
      for _, work in ipairs({ garbage, keep }) do
        local s = share(work)
        assert(s < 0.05 and #list > 0, s)
      end
    ]])

    it_holds("with children that make strings, but for the table of strings", [[
      local list = build(50)
      assert(mproc.freeze_heap())
      for _, work in ipairs({ strings, function() verify(list) end }) do
        local s = share(work)
        assert(s < 0.15, s)
      end
    ]])

    it_holds("but for the objects that a child changes, with those that change some", [[
      local list = build(50)
      assert(mproc.freeze_heap())
      local s = share(function()
        for i = 1, 100 do list[i].extra = { i } end
        garbage()
        for i = 1, #list do assert(list[i].id == i and list[i].f() == i) end
        for i = 1, 100 do assert(list[i].extra[1] == i) end
      end)
      assert(s < 0.05, s)
    ]])

    it_holds("by the option of a process, once for all that follow", [[
      local list = build(50)
      local s = share(garbage, { freeze_heap = true })
      assert(s < 0.05, s)
      s = share(garbage)
      assert(s < 0.05 and #list > 0, s)
    ]])

    it_holds("with what has come since it was frozen", [[
      local list = build(10)
      assert(mproc.freeze_heap())
      list[0] = build(40)
      local s = share(garbage)
      assert(s < 0.05, s)
    ]])

    it_holds("with grandchildren, as is what the child has made", [[
      local list = build(25)
      assert(mproc.freeze_heap())
      local p = mproc.Process(function()
        local own = build(25)
        local s = share(garbage)
        verify(own)
        verify(list)
        return s
      end):start()
      local s = p:result(SECONDS)
      assert(s < 0.05, s)
    ]])

    it_holds("with a pool's workers, and with those that replace them", [[
      local list = build(50)
      local pool <close> = mproc.Pool{ processes = 2, freeze_heap = true, maxtasksperchild = 3 }
      local before = smaps.anonymous()
      for _ = 1, 4 do
        pool:map(garbage, { 1, 2, 3, 4 }, 1)
        for _, pid in ipairs(pool:workers()) do
          local ok, copied, all = pcall(smaps.copied, before, pid) -- it may be leaving
          assert(not ok or copied / all < 0.05)
        end
      end
      verify(list)
    ]])

    it_holds("until the program chooses the incremental collector", [[
      local list = build(20)
      assert(mproc.freeze_heap())
      collectgarbage("incremental")
      assert(share(function() collectgarbage() verify(list) end) > 0.5)
      assert(collectgarbage("incremental") == "incremental")
    ]])
  end)

  describe("is still right", function()
    it("in a child that reads, changes, grows and drops parts of it, and collects all", function()
      holds([[
        local list = build(20)
        assert(mproc.freeze_heap())
        local n = #list
        local p = mproc.Process(function()
          for i = 1, n, 3 do list[i].tags[3] = nil; list[i].tags = { i, i + 1, i + 2 } end
          for i = n + 1, 2 * n do list[i] = list[i - n] end
          for i = 2 * n, n + 1, -1 do list[i] = nil end
          for i = 1, n, 7 do
            for k = 1, 20 do list[i]["key" .. k] = { k } end
          end
          garbage()
          collectgarbage()
          verify(list)
          for i = 1, n // 2 do list[i] = false end
          collectgarbage()
          keep()
          collectgarbage("incremental")
          collectgarbage()
          verify(list, n // 2 + 1)
          for i = 1, #kept do assert(kept[i][1] == i) end
          return "right"
        end):start()
        assert(p:result(SECONDS) == "right")
        verify(list)
        list = nil
        collectgarbage()
        build(5)
      ]])
    end)

    it("in all its coroutines, closures and upvalues", function()
      holds([[
        local shared = 0
        local coroutines, closures = {}, {}
        for i = 1, 2000 do
          coroutines[i] = coroutine.wrap(function(a)
            local here = { a }
            while true do here[#here + 1] = coroutine.yield(#here) end
          end)
          coroutines[i](i)
          closures[i] = function(x) shared = shared + (x or 0) return shared + i end
        end
        assert(mproc.freeze_heap())
        local function use()
          for round = 2, 5 do
            for i = 1, #coroutines do assert(coroutines[i]({ i }) == round) end
            garbage()
          end
          closures[1](5)
          for i = 1, #closures do assert(closures[i]() == 5 + i) end
        end
        local p = mproc.Process(function() use() collectgarbage() return "right" end):start()
        assert(p:result(SECONDS) == "right")
        use()
      ]])
    end)

    it("for finalizers: each object's runs once, where it is dropped", function()
      holds([[
        local log = {}
        local mt = { __gc = function(o) log[#log + 1] = o.name end }
        local function object(name) return setmetatable({ name = name }, mt) end
        local a, b = object("a"), object("b")
        assert(mproc.freeze_heap())
        local p = mproc.Process(function()
          object("child's")
          garbage()
          local early = table.concat(log, " ")
          a = nil
          collectgarbage()
          collectgarbage()
          return early, table.concat(log, " "), b.name
        end):start()
        local early, late = p:result(SECONDS)
        assert(early == "child's" and late == "child's a")
        assert(#log == 0 and a.name == "a" and b.name == "b")
        a = nil
        collectgarbage()
        assert(table.concat(log, " ") == "a")
        b = nil -- the other one runs when the state closes
      ]])
    end)

    it("for weak tables and ephemerons", function()
      holds([[
        local keys, values = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "v" })
        local anchor = {}
        for i = 1, 1000 do
          local k = { i }
          anchor[i] = k
          keys[k] = { k }
          values[i] = k
        end
        local function count(t) local n = 0 for _ in pairs(t) do n = n + 1 end return n end
        assert(mproc.freeze_heap())
        local p = mproc.Process(function()
          local mine = { "mine" }
          keys[mine], values.mine = { mine }, mine
          do
            local other = {}
            keys[other], values.other = { other }, other
          end
          garbage()
          collectgarbage("step", 0)
          assert(values.mine == mine and keys[mine][1] == mine and values.other == nil)
          assert(count(keys) == 1001 and count(values) == 1001)
          for i = 1, 500 do anchor[i] = nil end
          collectgarbage()
          assert(count(keys) == 501 and count(values) == 501)
          return "right"
        end):start()
        assert(p:result(SECONDS) == "right")
        assert(count(keys) == 1000 and count(values) == 1000)
      ]])
    end)

    it("for blocks of every size, grown and shrunk, on both sides", function()
      holds([[
        local function make(n) local unit = n .. "," return unit:rep(n // #unit) .. ("-"):rep(n % #unit) end
        local function check(s, n) assert(#s == n and s == make(n)) return s end
        local function text(n) return check(make(n), n) end
        local sizes = {}
        for i = 0, 22 do
          for _, d in ipairs(i < 12 and { -25, -1, 0, 1, 7 } or { -1, 0, 1 }) do
            local n = (1 << i) + d
            if n > 0 and n < 6e6 then sizes[#sizes + 1] = n end
          end
        end
        local function table_of(n) local t = {} for i = 1, n do t[i] = i end return t end
        local before, tables = {}, {}
        for i, n in ipairs(sizes) do before[i] = text(n) end
        for i = 1, 16 do tables[i] = table_of(1 << i) end
        assert(mproc.freeze_heap())
        local function use()
          local new = {}
          for round = 1, 2 do
            for i, n in ipairs(sizes) do new[i] = text(n) check(before[i], n) end
            for i = 1, #sizes, 2 do new[i] = nil end
            collectgarbage("step", 0)
          end
          for i, t in ipairs(tables) do
            for k = #t + 1, 3 * #t do t[k] = k end
            for k = #t, (1 << i) // 4 + 1, -1 do t[k] = nil end
            t.x = i -- the array shrinks
            for k = 1, #t do assert(t[k] == k) end
          end
          for i, n in ipairs(sizes) do check(before[i], n) if new[i] then check(new[i], n) end end
          return "right"
        end
        local p = mproc.Process(function()
          use()
          local q = mproc.Process(function() use() collectgarbage() return use() end):start()
          assert(q:result(SECONDS) == "right")
          return use()
        end):start()
        assert(p:result(SECONDS) == "right")
        use()
      ]])
    end)

    it("when it is frozen again, in the parent and in a child", function()
      holds([[
        local list = build(5)
        for _ = 1, 3 do
          assert(mproc.freeze_heap())
          list[#list + 1] = nil
          local p = mproc.Process(function()
            assert(mproc.freeze_heap())
            garbage()
            local q = mproc.Process(function() garbage() verify(list) return "right" end):start()
            assert(q:result(SECONDS) == "right")
            verify(list)
            return "right"
          end):start()
          assert(p:result(SECONDS) == "right")
          garbage()
          verify(list)
        end
      ]])
    end)
  end)

  describe("in a worker that lives long", function()
    -- By how many MiB the worker grew from its second task to its thirtieth, and the heap's size.
    local function growth(task)
      local r = run([[
        local list = build(20)
        local pool <close> = mproc.Pool{ processes = 1, freeze_heap = true }
        local function rss()
          local file <close> = io.open("/proc/self/statm")
          return tonumber((file:read("a"):match("^%d+ (%d+)"))) * 4096
        end
        local function task() ]] .. task .. [[ return rss() end
        pool:apply(task)
        local first, most = pool:apply(task), 0
        for _ = 3, 30 do most = math.max(most, pool:apply(task)) end
        print((most - first) / MIB, #list)
      ]])
      return tonumber(r.out:match("^%S+"))
    end

    it("takes no more for garbage that it makes again and again", function()
      assert.truthy(growth("for i = 1, 3e5 do local _ = { i } end") < 8 or INSTRUMENTED)
    end)

    it("takes no more for strings of many pages", function()
      assert.truthy(growth("local s = ('x'):rep(5000) for i = 4, 400 do local _ = s:rep(i) end") < 16 or INSTRUMENTED)
    end)

    it("takes a bounded part of what it kept for a while, task after task", function()
      -- 30 times 20 MiB: without an end to it that would be 580
      local grown = growth("local t = {} for i = 1, 1e5 do t[i] = { i, { i } } end")
      assert.truthy(grown < 300 or INSTRUMENTED, grown)
    end)
  end)

  it("goes back to the system in the parent that drops it", function()
    if INSTRUMENTED then
      return pending("not under a sanitizer")
    end
    holds([[
      local function rss()
        local file <close> = io.open("/proc/self/statm")
        return tonumber((file:read("a"):match("^%d+ (%d+)"))) * 4096
      end
      local list = build(40)
      assert(mproc.freeze_heap())
      local more, full = build(40), rss()
      list, more = nil, nil
      collectgarbage()
      assert(mproc.freeze_heap()) -- this gives back what malloc holds
      assert(not list and not more and rss() < full - 40 * MIB)
    ]])
  end)

  it("leaves the collector stopped where it is stopped", function()
    holds([[
      collectgarbage("stop")
      assert(mproc.freeze_heap())
      assert(not collectgarbage("isrunning"))
      local p = mproc.Process(function() return collectgarbage("isrunning") end):start()
      assert(p:result(SECONDS) == false)
      collectgarbage("restart")
      assert(collectgarbage("incremental") == "generational")
    ]])
  end)

  it("may be frozen in a coroutine, and not by a finalizer", function()
    holds([[
      assert(coroutine.wrap(function() return mproc.freeze_heap() end)())
      local ok, message
      setmetatable({}, { __gc = function() ok, message = pcall(mproc.freeze_heap) end })
      collectgarbage()
      assert(ok == false and message:find("finalizer"))
    ]])
  end)

  describe("without memory", function()
    it("gives Lua's error, and the process goes on", function()
      if INSTRUMENTED then
        return pending("it limits the address space")
      end
      holds([[
        list = build(20) -- a global: an upvalue of a task would be sent
        local pool <close> = mproc.Pool{ processes = 1, freeze_heap = true, rlimit = { as = 400 * 2^20 } }
        local function hoard(size)
          local all, unit = {}, ("x"):rep(500)
          while true do all[#all + 1] = size == 0 and {} or unit:rep(size // 500) .. #all end
        end
        for _, size in ipairs({ 0, 5000, 100000, 3000000 }) do
          local ok, err = pcall(pool.apply, pool, hoard, { size })
          assert(not ok and tostring(err):find("not enough memory"), err)
          assert(pool:apply(function() verify(list) return garbage() end) == 1e6)
        end
        assert(#pool:workers() == 1)
      ]])
    end)

    it("fails whole at each allocation, and blocks stay as they were", function()
      holds([[
        local failalloc = require("failalloc")
        local list = build(1)
        assert(mproc.freeze_heap())
        local function use()
          local t = {}
          for i = 1, 40 do t[i] = { "s" .. i, function() return i end } end
          return #(("x"):rep(70000) .. #t), coroutine.wrap(function() return list[1].name .. #t end)()
        end
        local n, failed = 0, nil
        repeat
          n = n + 1
          failed = failalloc.after(n, use)
        until not failed
        assert(n > 10)
        verify(list)
      ]])
    end)
  end)

  it("is refused to a state whose host has an allocator of its own", function()
    holds([[
      local failalloc = require("failalloc")
      local failed, called, ok, message, name = failalloc.after(math.maxinteger, mproc.freeze_heap)
      assert(not failed and called and ok == nil and name == "EPERM" and message:find("allocator"))
      failed, called, ok, message, name = failalloc.after(math.maxinteger, function()
        return mproc.Process{ target = print, freeze_heap = true }:start()
      end)
      assert(not failed and called and ok == nil and name == "EPERM", message)
    ]])
  end)

  it("is asked for with true or false", function()
    blame.caller(function() mproc.Process{ target = print, freeze_heap = 1 } end, "freeze_heap", "true or false")
    blame.caller(function() mproc.Pool{ processes = 1, freeze_heap = "yes" } end, "freeze_heap", "true or false")
    blame.caller(function() mproc.Process{ target = print, freeze_heep = true } end, "did you mean 'freeze_heap'?")
  end)
end)
